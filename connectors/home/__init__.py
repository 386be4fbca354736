"""A home: its folder, settings, roles, regional key, and how its database files are opened."""

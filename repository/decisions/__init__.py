"""Pure functions: (what is known of an entity, what is reported) to events."""

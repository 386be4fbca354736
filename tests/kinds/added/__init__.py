"""A kind that the project does not have: what a newcomer writes to add one. Copied into a copy of the project, never loaded here."""

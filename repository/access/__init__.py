"""The records of the access log, and their store."""

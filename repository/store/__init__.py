"""A publisher's event store, and the log that is read from it."""

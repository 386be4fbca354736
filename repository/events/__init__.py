"""An event's identity and its stored bytes, one by one and in columns."""

"""One query under limits: in this process, or over the socket of the one that owns the base."""

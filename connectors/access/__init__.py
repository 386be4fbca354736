"""The access log: who asked what of the base; written, looked into, sealed."""

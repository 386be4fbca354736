"""Control records: what a publisher decided about one subject's data, and who may see it."""

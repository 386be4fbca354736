"""Files that hold secrets: the regional key, and the keys of those who sign."""

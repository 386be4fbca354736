"""Source profiles: how one layout of dump becomes facts of one kind."""

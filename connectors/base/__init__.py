"""The information base: its one file, its one owner, and what the owner does between two batches."""

"""One file per kind of fact: the names of its events, and what can't be."""

"""Merkle trees, seals, members and proofs; nothing here reads a database."""

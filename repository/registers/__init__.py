"""Registers and number schemes of the field: divisions, identity numbers, text forms."""

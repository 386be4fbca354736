"""Seals made and judged, and the keys and members they rest on."""

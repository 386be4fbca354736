"""From dumps and live lines to recorded events."""

"""The demonstration `yrd demo`."""

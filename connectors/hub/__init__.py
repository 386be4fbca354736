"""The hub: one process owns the base, follows the logs, answers the others, and says how it fares."""

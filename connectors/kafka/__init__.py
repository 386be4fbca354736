"""Kafka: names, topics, permissions, the relay, and the log that is read from it."""

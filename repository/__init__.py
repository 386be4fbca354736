"""The write side: what a publisher decides, records and signs. Knows no broker, no analytical database."""

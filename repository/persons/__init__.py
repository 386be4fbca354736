"""The encrypted field `personal`, and the key store behind it."""

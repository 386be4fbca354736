"""The contracts between publishers and readers: Avro schemas, how they are loaded, how they may change."""

"""The logs that the hub reads, as the settings name them: stores or topics, of listed members, and whole logs to be checked."""

import projections  # noqa: F401 - before a test loads the database engine

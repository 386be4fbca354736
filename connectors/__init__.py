"""The outside world: profiles, dumps, homes, sockets, the command `yrd`."""

import projections  # noqa: F401 - sets up the database engine's memory before anything here loads the engine

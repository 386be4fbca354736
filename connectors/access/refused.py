"""The refusal of a read: below the access log, which refuses what it can't record, and below everything that reads."""


class ReadRefused(RuntimeError):  # noqa: N818 - a refusal is an answer, the reader's own fault
    """A read that gave no result; the message is one sentence."""

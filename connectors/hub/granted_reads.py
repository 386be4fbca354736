"""Reading under a grant: who reads, whether a grant holds for them, and the query with plain fields in its result."""

import os
import pwd
from datetime import UTC, datetime

import pyarrow as pa

from connectors.home.folder import Home
from connectors.hub import hub
from connectors.persons.decryption import GRANTS_OF_NAME, decrypted, live_grants


def reader() -> str:
    """The account that reads, as the operating system knows it: nobody names themselves."""
    return pwd.getpwuid(os.getuid()).pw_name


def read_under_grant(home: Home, sql: str, name: str, purpose: str | None = None) -> pa.Table:
    """The result of one SELECT with the personal fields that the grant opens. Raises GrantRefused, KeyUnreadable, ReadRefused.

    The grant is looked up first: a query is not even asked for who has none.
    """
    rows = hub.read(home, GRANTS_OF_NAME, [name], purpose=purpose).to_pylist()
    grants = live_grants(rows, name, reader(), datetime.now(UTC))
    return decrypted(home, hub.read(home, sql, purpose=purpose, granted=True), grants)

"""Personal cells of a dump while it is compared: DuckDB stages digests and places, and no field of a row.

By the digest an unchanged row is recognised; at the place its fields lie, encrypted under a key that lives as long as the import.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from connectors.home.folder import Home
from connectors.persons.cipher_process import CipherProcess, Waiting, worth_it
from connectors.persons.columns import BYTES, packed_columns
from connectors.persons.key_store import KeyStore
from connectors.persons.spill import SpilledRows
from repository.persons.key_blocks import SUBJECT_BYTES, cut
from repository.persons.personal import NONCE_BYTES, Plain, decode_group, encrypt_rows, unpacked
from repository.persons.subject_keys import DIGEST_BYTES, ENTRY_BYTES


class StagedCells:
    """The staged personal cells of one import, and the blobs that are made of them."""

    def __init__(self, home: Home, key_store: KeyStore) -> None:
        self.home, self.key_store = home, key_store
        self._spilled: SpilledRows | None = None
        self._ciphers: CipherProcess | None = None

    def close(self) -> None:
        with ExitStack() as closing:
            for each in (self._spilled, self._ciphers):
                if each is not None:
                    closing.callback(each.close)

    @property
    def spilled(self) -> SpilledRows:
        """Where the fields of staged rows lie."""
        if self._spilled is None:
            self._spilled = SpilledRows(self.home.folder)
        return self._spilled

    def encrypt(self, columns: Mapping[str, pl.Series], tokens: pl.Series) -> pl.Series:
        """A cell per row: the keyed digest of what it states, and where that lies encrypted. Null where there is no token."""
        rows = packed_columns(columns, len(tokens))
        parts = (tokens.fill_null("").to_arrow().cast(BYTES), pa.scalar(",".join(columns).encode(), BYTES), rows)
        stated = pc.binary_join_element_wise(*parts, pa.scalar(b"\0", BYTES))
        digests, places = self.key_store.keys.digests_of(stated.to_pylist()), self.spilled.put(rows.to_pylist())
        cells = pl.Series(list(map(bytes.__add__, digests, places)), dtype=pl.Binary).to_frame("personal")
        return cells.select(pl.when(tokens.is_not_null()).then("personal")).to_series()

    def decrypt(self, cell: bytes, names: Sequence[str]) -> Plain:
        """What a cell states of the fields `names`; those it leaves empty are None."""
        stated: dict[str, Any] = dict.fromkeys(names)
        for record in unpacked(self.spilled.get(cell[DIGEST_BYTES:])):
            stated |= decode_group(record) if record else {}
        return Plain(stated)

    def begin_blobs(self, entities: Sequence[str], events: Sequence[str], cells: Sequence[bytes]) -> Waiting:
        """Begin with the blobs of the first events of new subjects; the function returned gives them.

        Their keys are durable before this returns.
        """
        subjects, rows = _id_bytes(entities), [self.spilled.get(cell[DIGEST_BYTES:]) for cell in cells]
        made = self.key_store.keys.for_new(subjects, 1)
        ids, keys = [made[subject].id for subject in subjects], [made[subject].secret for subject in subjects]
        batch = (rows, ids, keys, _id_bytes(events), fresh_nonces(len(rows)), self.home.settings.personal_cipher)
        if self._ciphers is None and worth_it(len(rows)):
            self._ciphers = CipherProcess()
        return partial(encrypt_rows, *batch) if self._ciphers is None else self._ciphers.start(*batch)


class StatedDigests:
    """Digests of what sources stated of the personal fields of each event: a row with the same digest is unchanged."""

    def __init__(self, key_store: KeyStore) -> None:
        self.key_store = key_store
        self._pending: list[bytes] = []

    def remember(self, entities: Sequence[str], events: Sequence[str], cells: Sequence[bytes]) -> None:
        """Remember that events say what staged cells state; kept by `keep` when they are recorded for certain."""
        digests = (cell[:DIGEST_BYTES] for cell in cells)
        self._pending += map(b"".join, zip(_id_bytes(entities), _id_bytes(events), digests, strict=True))

    def keep(self) -> None:
        """Keep what was remembered. Lost when the process ends before: then the rows are decided one by one once more."""
        if self._pending:
            self.key_store.keys.note_digests(self._pending)
            self._pending = []

    def kept(self) -> pl.DataFrame:
        """Columns event_id (text) and digest, to compare staged rows with."""
        entries = self.key_store.keys.digests()
        number = len(entries) // ENTRY_BYTES
        whole = pa.Array.from_buffers(pa.binary(ENTRY_BYTES), number, [None, pa.py_buffer(entries)])
        events, digests = pc.binary_slice(whole, DIGEST_BYTES, 2 * DIGEST_BYTES), pc.binary_slice(whole, 2 * DIGEST_BYTES)
        return pl.DataFrame({"event_id": events, "digest": digests}).with_columns(pl.col("event_id").bin.encode("hex")).unique()


def _id_bytes(identities: Sequence[str]) -> list[bytes]:
    """The 16 bytes of each of many UUIDs."""
    return cut(bytes.fromhex("".join(identities).replace("-", "")), SUBJECT_BYTES)


def fresh_nonces(number: int) -> list[bytes]:
    """Random nonces of 12 bytes, from one call of the system."""
    return cut(os.urandom(NONCE_BYTES * number), NONCE_BYTES)

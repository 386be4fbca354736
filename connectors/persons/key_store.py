"""A publisher's key store as its home has it: where it lies, opened when a personal field asks for it, erasures carried out.

keys/master-<code>.key   the publisher's master key
keys/<code>.sqlite       its subjects' keys, unless the setting key_store_url names a database
"""

from pathlib import Path
from uuid import UUID

from connectors.home.folder import Home
from connectors.home.refused import Refused
from repository.controls.subject_measure import ERASURE, KIND
from repository.events.encoding import decode_own
from repository.persons.subject_keys import SubjectKeys, load_master
from repository.store.publisher import Publisher


def master_file(home: Home, code: str) -> Path:
    """Where a home keeps the master key of a publisher."""
    return home.folder / "keys" / f"master-{code}.key"


def key_store_file(home: Home, code: str) -> Path:
    """Where a home keeps the subjects' keys of a publisher, unless the setting key_store_url names a database."""
    return home.folder / "keys" / f"{code}.sqlite"


class KeyStore:
    """The key store of one publisher, opened at its first use."""

    def __init__(self, home: Home, store: Publisher, keys: SubjectKeys | None = None) -> None:
        """`keys`: opened already, such as ones in memory; None: the home's."""
        self.home, self.store = home, store
        self._keys = keys

    @property
    def keys(self) -> SubjectKeys:
        """The key store, opened, with every erasure of the log carried out, also where the store is an old copy.

        Raises ValueError, KeyUnreadable or KeyExposed where the master key is missing, another's, or open to others.
        """
        if self._keys is None:
            keys = self._opened()
            self._carry_out_erasures(keys)
            self._keys = keys
        return self._keys

    def close(self) -> None:
        if self._keys is not None:
            self._keys.close()

    def carry_out_erasures(self) -> None:
        """Destroy what the log says is erased, where there is a key store."""
        if self.home.settings.key_store_url or key_store_file(self.home, self.store.code).exists():
            self._carry_out_erasures(self.keys)

    def _opened(self) -> SubjectKeys:
        code = self.store.code
        path, file = master_file(self.home, code), key_store_file(self.home, code)
        if not path.exists() and not file.exists():
            raise Refused(
                f"Personal fields need a master key, and {path} is missing: "
                f"make it with `yrd personal-keys create --publisher {code}`."
            )
        master, url = load_master(path), self.home.settings.key_store_url
        return SubjectKeys.in_postgres(url, f"yrd_keys_{code}", master) if url else SubjectKeys.in_file(file, master)

    def _carry_out_erasures(self, keys: SubjectKeys) -> None:
        """From where the key store has followed the log to its end."""
        recorded = self.store.controls(keys.noted_position())
        for notification in recorded:
            kind, record = decode_own(notification.state)
            if kind == KIND and record["measure"] == ERASURE and record["in_force"]:
                keys.destroy(UUID(str(record["subject_id"])), record["subject_version"])
        if recorded:
            keys.note_position(recorded[-1].id)

"""The regional key at a home: from it come the pseudonyms under which residents appear in the log."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from connectors.home.folder import Home
from repository.keys.regional import DEMO_KEY, RegionalKey, load, refuse_demo_key, token
from repository.registers.identifiers import identity

Tokeniser: TypeAlias = Callable[[str, str], str]
"""(id type, number as the cell gives it) -> token; ValueError where the number is not one."""


def key_file(home: Home) -> Path:
    """Where the home keeps the regional key."""
    return home.folder / "keys" / "regional.key"


def regional_key(home: Home) -> RegionalKey | None:
    """The home's key; a synthetic home without one uses the published demonstration key. None where there is none."""
    path = key_file(home)
    if not path.exists():
        return DEMO_KEY if home.settings.synthetic else None
    key = load(path)
    refuse_demo_key(key, home.settings.synthetic)
    return key


def tokeniser(home: Home) -> Tokeniser | None:
    """The function from identity to pseudonym; None where the home has no key. Made-up numbers pass in synthetic homes only."""
    key = regional_key(home)
    if key is None:
        return None

    def made(id_type: str, number: str) -> str:
        known = identity(id_type, number, synthetic=home.settings.synthetic)
        return token(key, known.id_type, known.number)

    return made

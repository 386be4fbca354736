"""One TOML table of a profile while it is read: every value is taken with its type, the rest is an error.

Every error is a ProfileError that names the file, the key, the value and the way out.
"""

import difflib
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from repository.registers import text


class ProfileError(ValueError):
    """A profile cannot be used: which file, which key, which value, and what to do about it."""

    def __init__(self, file: str, key: str, value: object, way_out: str) -> None:
        self.file, self.key, self.value, self.way_out = file, key, value, way_out
        shown = "" if value is None else f" = {text_of(value)}"
        super().__init__(f"{file}: {key}{shown}: {way_out}")


def text_of(value: object) -> str:
    """A value as a profile would write it, at most 80 characters."""
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return shown if len(shown) <= 80 else shown[:79] + "…"


def did_you_mean(word: str, known: list[str]) -> str:
    """Ending of a message about an unknown word: the nearest known one and the list."""
    near = difflib.get_close_matches(word, known, 1, 0.6)
    meant = f'did you mean "{near[0]}"? ' if near else ""
    return f"{meant}Known: {', '.join(known)}."


class Table:
    """One table of a profile while it is read: what is not taken from it by `done` is an error."""

    def __init__(self, file: str, where: str, content: Mapping[str, Any]) -> None:
        self.file, self.where, self.left, self.asked = file, where, dict(content), list[str]()

    def wrong(self, key: str, value: object, way_out: str) -> ProfileError:
        """Error about one key of this table."""
        return ProfileError(self.file, f"{self.where}.{key}" if self.where else key, value, way_out)

    def take(self, key: str, default: Any = None) -> Any:
        """The value as TOML gave it."""
        self.asked.append(key)
        return self.left.pop(key, default)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; without a default it must be given."""
        value = self.take(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            missing = value is None
            raise self.wrong(key, value, "is missing; give a text." if missing else "must be a text in quotes.")
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """One of several words."""
        value = self.take(key, default)
        if value not in allowed:
            raise self.wrong(key, value, f"must be one of {', '.join(allowed)}.")
        return str(value)

    def number(self, key: str, low: float, high: float, default: float) -> float:
        """A number between two bounds, both included."""
        value = self.take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.wrong(key, value, f"must be a number from {low:g} to {high:g}.")
        return value

    def truth(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.take(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, value, "must be true or false, without quotes.")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; one text alone counts as a list of one."""
        value = self.take(key, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            raise self.wrong(key, value, 'must be a list of texts, such as ["未知", "无"].')
        return tuple(listed)

    def words(self, key: str) -> dict[str, str]:
        """A table of texts by text."""
        content = self.take(key, {})
        if not isinstance(content, dict) or not all(isinstance(each, str) for each in content.values()):
            raise self.wrong(key, content, 'must be a table of texts, such as { "民营" = "private" }.')
        return content

    def table(self, key: str) -> "Table":
        """A table inside this one; empty where it is not given."""
        content = self.take(key, {})
        if not isinstance(content, dict):
            raise self.wrong(key, content, "must be a table.")
        return Table(self.file, f"{self.where}.{key}" if self.where else key, content)

    def table_if_given(self, key: str) -> "Table | None":
        """A table inside this one; None where it is not given."""
        given = key in self.left
        table = self.table(key)
        return table if given else None

    def tables(self, key: str) -> list["Table"]:
        """A list of tables, as [[key]] writes it."""
        content = self.take(key, [])
        if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
            raise self.wrong(key, content, f"must be a list of tables: write [[{key}]] before each.")
        where = f"{self.where}.{key}" if self.where else key
        return [Table(self.file, f"{where}[{number}]", each) for number, each in enumerate(content, 1)]

    def day(self, key: str) -> date | None:
        """A date, written as 2026-02-01 with or without quotes."""
        value = self.take(key)
        if value is None or type(value) is date:
            return value
        try:
            return text.day(str(value))
        except ValueError as error:
            raise self.wrong(key, value, f"is not a date: {error}") from None

    def pattern(self, key: str, groups: int | None = None) -> re.Pattern[str] | None:
        """A regular expression with a given number of groups; None where it is not given."""
        value = self.text(key, "")
        if not value:
            return None
        try:
            found = re.compile(value)
        except re.error as error:
            raise self.wrong(key, value, f"is not a regular expression ({error}); write it in single quotes.") from None
        if groups is not None and found.groups != groups:
            raise self.wrong(key, value, f"must have {groups} pair of brackets around what to take, as in '(\\d+)张'.")
        return found

    def done(self) -> None:
        """ProfileError for the first key that nobody asked for."""
        for key, value in self.left.items():
            raise self.wrong(key, value, f"is not a key here; {did_you_mean(key, sorted(set(self.asked)))}")

"""Texts that lead to somebody, taken out of what people read: a key, a pseudonym, a serial number."""

import re
from collections.abc import Collection

SHORTEST_TELLING = 8
"""Characters from which a text, by itself, leads to somebody. A shorter one, such as the serial number 1, may mean anything."""


class Naming:
    """Texts that lead to persons, looked for as whole words; a short one only in what is told of the row whose key it is."""

    def __init__(self, texts: Collection[str], instead: str) -> None:
        self.texts, self.instead = frozenset(texts), instead
        telling = sorted((text for text in texts if len(text) >= SHORTEST_TELLING), key=len, reverse=True)
        self._words = [_word(text) for text in telling]

    def without(self, value: str, column: str, reason: str) -> tuple[str, str]:
        """Value and reason of a rejection without the texts; the value is the row's key where no `column` is named."""
        words = [word for word in self._words if word.search(value) or word.search(reason)]
        if value in self.texts and not column:
            words.append(_word(value))
        gone = any(word.search(value) for word in words)
        for word in words:
            reason = word.sub(self.instead, reason)
        return (self.instead if gone else value), reason


def _word(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")

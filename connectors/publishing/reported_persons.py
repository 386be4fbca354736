"""Persons in live facts: a line's identity becomes a token at once, personal fields become `Plain`. No message shows a value."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from connectors.home.regional_key import Tokeniser
from repository.kinds.register import PERSONS
from repository.persons.personal import Plain
from schemas.contracts import PERSONAL, PERSONAL_FIELD, FieldType, codes, fields

IDENTITY: Final = "identity"
PREFIX: Final = f"{PERSONAL_FIELD}."


class NotAPerson(ValueError):
    """A line whose person cannot be told, or that states personal fields which are none."""


def with_token(kind: str, given: dict[str, Any], tokeniser: Tokeniser | None) -> dict[str, Any]:
    """The line with the token in place of `identity`: {"id_type": ..., "number": ...}. Raises NotAPerson or IdentifierError."""
    if IDENTITY not in given:
        return given
    rule = PERSONS.get(kind)
    if rule is None:
        raise NotAPerson(f'"{IDENTITY}" is for kinds that can be about persons ({", ".join(PERSONS)}); {kind} is not one.')
    identity = given[IDENTITY]
    if not isinstance(identity, dict) or set(identity) != {"id_type", "number"}:
        raise NotAPerson('"identity" takes an object with id_type and number; nothing else identifies a person.')
    if tokeniser is None:
        raise NotAPerson("The home has no regional key, which makes the tokens of persons; import it with `yrd key import`.")
    token = tokeniser(str(identity["id_type"]), str(identity["number"]))
    rest = {name: value for name, value in given.items() if name != IDENTITY}
    implied = dict([rule.only]) if rule.only is not None else {}
    return rest | implied | {rule.token: token} | ({"business_key": token} if rule.token_is_key else {})


def personal_fields(value: object, typed: Callable[[str, FieldType, Any], object]) -> Plain:
    """Personal fields from a JSON object, each in the type of its field; None states that it is unknown. Raises NotAPerson."""
    if not isinstance(value, Mapping):
        raise NotAPerson(f'"{PERSONAL_FIELD}" takes an object of personal fields: {", ".join(fields(PERSONAL))}.')
    return Plain({name: _field(name, each, typed) for name, each in value.items()})


def _field(name: str, value: object, typed: Callable[[str, FieldType, Any], object]) -> object:
    if name not in fields(PERSONAL):
        raise NotAPerson(f'"{name}" is no personal field; known are {", ".join(fields(PERSONAL))}.')
    allowed = codes(PERSONAL, name)
    try:
        made = typed(name, fields(PERSONAL)[name], value)
    except ValueError:
        raise NotAPerson(f'"{PREFIX}{name}" does not hold what its field takes; correct the value.') from None
    if allowed is not None and made is not None and made not in allowed:
        raise NotAPerson(f'"{PREFIX}{name}" takes one of {", ".join(sorted(allowed))}.')
    return made or None


def folded(given: Mapping[str, object]) -> dict[str, object]:
    """Assignments to `personal.<field>` as one to `personal`; the others as they are."""
    plain = {path: value for path, value in given.items() if not path.startswith(PREFIX)}
    personal = {path.removeprefix(PREFIX): value for path, value in given.items() if path.startswith(PREFIX)}
    return plain | ({PERSONAL_FIELD: personal} if personal else {})

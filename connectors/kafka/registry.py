"""Numbers of contracts on topics: from a Confluent-compatible schema registry, or from the lock file of the contracts.

A number that can't be looked up now is waited for (RegistryUnavailable); one that nobody knows means that no contract here
wrote the record, and no other schema is tried on it. What talks to a registry is the extra `registry`, loaded where one is set.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Protocol

from fastavro.schema import SchemaParseException

from connectors.kafka import names
from repository.store.log import LogUnavailable
from schemas import ids
from schemas.contracts import Contract, versions

if TYPE_CHECKING:
    import httpx

COMPATIBILITY = "FULL_TRANSITIVE"
NOT_FOUND = 404
CONFLICT = 409
TIMEOUT_S = 10
ASK_AGAIN_S = 0.5


class RegistryUnavailable(LogUnavailable):
    """The schema registry does not answer; records that need it wait."""


class SchemaRefused(RuntimeError):
    """A contract may not be registered; the message says why. Never retried."""


class SchemaNumbers(Protocol):
    """What relay and log need: the number of a contract under a topic, and the contract of a number."""

    def number_of(self, topic: str, known: Contract) -> int: ...

    def contract_of(self, number: int) -> Contract | None: ...


class LockedNumbers:
    """The numbers in schemas/ids.lock: the same in every release, and no server is needed."""

    def __init__(self) -> None:
        known = {(each.kind, each.version): each for kind in {line.kind for line in ids.locked()} for each in versions(kind)}
        self._contracts = {line.id: known[line.kind, line.version] for line in ids.locked()}
        self._numbers = {contract: number for number, contract in self._contracts.items()}

    def number_of(self, topic: str, known: Contract) -> int:  # noqa: ARG002 - one number for all topics
        return self._numbers[known]

    def contract_of(self, number: int) -> Contract | None:
        return self._contracts.get(number)


class Registry:
    """A Confluent-compatible schema registry. Raises RegistryUnavailable, SchemaRefused."""

    def __init__(self, url: str) -> None:
        import httpx

        self.url = url.rstrip("/")
        self._silences = (httpx.HTTPError, httpx.InvalidURL)
        self._client = httpx.Client(timeout=TIMEOUT_S, headers={"Accept": "application/vnd.schemaregistry.v1+json"})
        self._numbers: dict[tuple[str, Contract], int] = {}
        self._contracts: dict[int, Contract] = {}
        self._silent: tuple[float, RegistryUnavailable] | None = None
        """Until when (monotonic) it is not asked again, and what was said of it: each record would ask."""

    def number_of(self, topic: str, known: Contract) -> int:
        """The number of a contract under a topic's subject; registered on first use."""
        key = (topic, known)
        if key not in self._numbers:
            self._numbers[key] = self._register(topic, known)
        return self._numbers[key]

    def _register(self, topic: str, known: Contract) -> int:
        from schemas.compatibility import problems

        found = problems()
        if found:
            raise SchemaRefused(f"{found[0]} Nothing was registered.")
        subject = names.subject(topic)
        # Some registries know a subject's rule only once it has a schema; then there is nothing yet that could not fit.
        ruled = self._rule(subject)
        answer = self._ask("POST", f"/subjects/{subject}/versions", {"schema": known.text, "schemaType": "AVRO"})
        if answer.status_code == CONFLICT:
            raise SchemaRefused(
                f"The registry at {self.url} has versions under {subject} that {known.kind} version {known.version} does not "
                f"fit ({_said(answer)}); another system writes there, or an earlier version was changed."
            )
        number = int(self._whole(answer)["id"])
        if not ruled and not self._rule(subject):
            raise SchemaRefused(f"The registry at {self.url} knows no {COMPATIBILITY} for {subject}; set it there.")
        return number

    def _rule(self, subject: str) -> bool:
        """Have the registry refuse what does not fit every earlier version; whether it knows the subject."""
        answer = self._ask("PUT", f"/config/{subject}", {"compatibility": COMPATIBILITY})
        if answer.status_code == NOT_FOUND:
            return False
        self._whole(answer)
        return True

    def contract_of(self, number: int) -> Contract | None:
        """The contract with a number; None where no contract here is that schema."""
        if number not in self._contracts:
            answer = self._ask("GET", f"/schemas/ids/{number}")
            if answer.status_code == NOT_FOUND:
                return None
            found = _contract_in(self._whole(answer).get("schema"))
            if found is None:
                return None
            self._contracts[number] = found
        return self._contracts[number]

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> httpx.Response:
        if self._silent is not None and time.monotonic() < self._silent[0]:
            raise self._silent[1]
        try:
            answer = self._client.request(method, self.url + path, json=body)
        except self._silences as error:
            raise self._unavailable(f"does not answer ({error or type(error).__name__})") from error
        if answer.status_code >= 500:
            raise self._unavailable(f"is not well ({_said(answer)})")
        return answer

    def _unavailable(self, what: str) -> RegistryUnavailable:
        error = RegistryUnavailable(
            f"The schema registry at {self.url} {what}; see that it runs and that YRD_SCHEMA_REGISTRY_URL is right."
        )
        self._silent = time.monotonic() + ASK_AGAIN_S, error
        return error

    def _whole(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code != 200:
            raise SchemaRefused(f"The schema registry at {self.url} refused {answer.request.url.path}: {_said(answer)}.")
        body = answer.json()
        return body if isinstance(body, dict) else {}


def _contract_in(text: Any) -> Contract | None:
    """The contract that a registry's schema is, docs aside: a fingerprint would not see a changed logical type."""
    try:
        schema = json.loads(text)
        return ids.by_shape().get(ids.shape(schema)) if isinstance(schema, dict) else None
    except (ValueError, TypeError, SchemaParseException):
        return None


def _said(answer: httpx.Response) -> str:
    """What the registry says of an error, in one line."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    message = body.get("message") if isinstance(body, dict) else None
    return " ".join(f"{answer.status_code} {message or answer.reason_phrase}".split())[:300]


def schema_numbers(url: str) -> SchemaNumbers:
    """The registry where one is set, else the lock file."""
    return Registry(url) if url else LockedNumbers()

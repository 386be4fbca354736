"""Connections to Kafka from the settings: what each client wants to be told, and what can be wrong with it, in sentences."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer
from kafka import errors as kafka_errors

from connectors.home.settings import SettingError, Settings, secret
from repository.store.log import LogUnavailable

Client = TypeVar("Client", KafkaAdminClient, KafkaConsumer)
CLIENT_ID = "yrd"
REASON = re.compile(r"\w*(?:Authentication|Authorization)FailedError|Handshake failed:[^(]*|Connection refused")
NOT_LET_IN = re.compile(r"(?:Authentication|Authorization)Failed")
NO_OUTAGE = re.compile(rf"{NOT_LET_IN.pattern}|certificate verify failed")
FIRST_TRY_MS = 3_000
FOREVER_MS = 2**31 - 1


class _LastWords(logging.Handler):
    """Keeps the last reason that the client logged: a time-out does not say why nobody let us in, and the log does."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said = ""

    def emit(self, record: logging.LogRecord) -> None:
        found = REASON.search(record.getMessage())
        if found:
            self.said = " ".join(found[0].split())


LAST_WORDS = _LastWords()
# The client tells of every reconnection, at length and on standard error; what a person needs is said in sentences here.
_client_log = logging.getLogger("kafka")
_client_log.propagate = False
_client_log.addHandler(LAST_WORDS)

WORTH_TRYING = (kafka_errors.RetriableError, kafka_errors.UnknownBrokerIdError, OSError)
"""A client that has lost all its brokers asks one that it no longer knows: that is an outage, and no refusal."""
REFUSED_BY_BROKER = (kafka_errors.AuthorizationError, kafka_errors.SaslAuthenticationFailedError)


class KafkaRefused(RuntimeError):
    """Kafka answers and refuses; the message says what, and what to change. Never retried."""


class NotLetIn(KafkaRefused):
    """The account is unknown, its password wrong, or it may not do this."""


def connection(settings: Settings) -> dict[str, Any]:
    """What kafka-python's clients need to connect. Raises SettingError."""
    given: dict[str, Any] = {
        "bootstrap_servers": [each.strip() for each in settings.kafka_bootstrap.split(",") if each.strip()],
        "client_id": CLIENT_ID,
        "security_protocol": settings.kafka_security,
        "reconnect_backoff_max_ms": 1000,
        "bootstrap_timeout_ms": settings.kafka_wait_s * 1000,
    }
    if settings.kafka_security.startswith("SASL"):
        given |= {
            "sasl_mechanism": settings.kafka_mechanism,
            "sasl_plain_username": _username(settings),
            "sasl_plain_password": secret("kafka_password_file", settings.kafka_password_file),
        }
    if settings.kafka_security.endswith("SSL") and settings.kafka_ca_file:
        given["ssl_cafile"] = settings.kafka_ca_file
    return given


def librdkafka_connection(settings: Settings) -> dict[str, Any]:
    """The same for librdkafka. Raises SettingError."""
    given: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap,
        "client.id": CLIENT_ID,
        "security.protocol": settings.kafka_security,
        "reconnect.backoff.max.ms": 1000,
        "log_level": 0,
    }
    if settings.kafka_security.startswith("SASL"):
        given |= {
            "sasl.mechanism": settings.kafka_mechanism,
            "sasl.username": _username(settings),
            "sasl.password": secret("kafka_password_file", settings.kafka_password_file),
        }
    if settings.kafka_security.endswith("SSL") and settings.kafka_ca_file:
        given["ssl.ca.location"] = settings.kafka_ca_file
    return given


def _username(settings: Settings) -> str:
    if not settings.kafka_username:
        raise SettingError(
            f"kafka_security is {settings.kafka_security} and kafka_username is not set; set YRD_KAFKA_USERNAME, such as "
            "publisher-33, or for a broker on this machine without accounts YRD_KAFKA_SECURITY=PLAINTEXT."
        )
    return settings.kafka_username


def administrator(settings: Settings) -> KafkaAdminClient:
    """An administrating client that has found its brokers. Raises KafkaError.

    The library takes a refused account for an outage, and tries until its time is over. So it is given little time first, after
    which its last words tell the two apart: who mistyped a password is told so at once.
    """
    wait_ms = settings.kafka_wait_s * 1000
    given = connection(settings) | {"request_timeout_ms": wait_ms}
    try:
        return started(KafkaAdminClient, given | {"bootstrap_timeout_ms": min(FIRST_TRY_MS, wait_ms)})
    except kafka_errors.KafkaTimeoutError:
        if NO_OUTAGE.search(LAST_WORDS.said) or wait_ms <= FIRST_TRY_MS:
            raise
    return started(KafkaAdminClient, given | {"bootstrap_timeout_ms": wait_ms - FIRST_TRY_MS})


def started(make: type[Client], given: Mapping[str, Any]) -> Client:
    """One of kafka-python's clients that has found its brokers. Raises KafkaError.

    One that finds none leaves a running thread behind: it is ended, since who follows Kafka tries again and again.
    """
    running: list[Any] = []

    def network(**settings: Any) -> Any:
        running.append(make.DEFAULT_CONFIG["kafka_client"](**settings))
        return running[-1]

    try:
        return make(**given, kafka_client=network)
    except BaseException:
        for each in running:
            each.close()
        raise


@contextmanager
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    """An administrating client, closed at the end; its errors come out as sentences."""
    with sentences(settings):
        client = administrator(settings)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def sentences(settings: Settings) -> Iterator[None]:
    """Turn what Kafka's client raises into LogUnavailable (worth trying again) or KafkaRefused."""
    LAST_WORDS.said = ""
    try:
        yield
    except kafka_errors.KafkaConfigurationError as error:
        raise SettingError(f"A setting of Kafka's can't be used: {error}.") from error
    except (kafka_errors.KafkaError, OSError) as error:
        raise verdict(settings, error) from error


def verdict(settings: Settings, error: BaseException) -> LogUnavailable | KafkaRefused:
    """What an error of the client comes to: not let in, worth trying again, or refused."""
    said = LAST_WORDS.said
    if isinstance(error, REFUSED_BY_BROKER):
        return refusal(settings, error)
    if NOT_LET_IN.search(said):
        return refusal(settings, said)
    if isinstance(error, WORTH_TRYING):
        return unavailable(settings, said or error)
    return KafkaRefused(f"Kafka at {settings.kafka_bootstrap} refused: {_words(error)}.")


def unavailable(settings: Settings, error: BaseException | str) -> LogUnavailable:
    """The sentence for a broker that does not answer."""
    said = error if isinstance(error, str) else _words(error)
    return LogUnavailable(
        f"Kafka at {settings.kafka_bootstrap} does not answer ({said}); see that it runs and that YRD_KAFKA_BOOTSTRAP and "
        "YRD_KAFKA_SECURITY are right."
    )


def refusal(settings: Settings, error: BaseException | str) -> NotLetIn:
    """The sentence for a broker that does not let this account do what it wants."""
    said = error if isinstance(error, str) else _words(error)
    who = settings.kafka_username or "us without an account"
    return NotLetIn(
        f"Kafka at {settings.kafka_bootstrap} does not let {who} do this ({said}); check account and password file, and what "
        "`yrd kafka acl` lists."
    )


def _words(error: BaseException) -> str:
    words = " ".join(str(error).split())
    name = type(error).__name__
    return words if words.startswith(name) else f"{name} {words}".strip()

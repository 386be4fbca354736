"""Connections to Kafka from the settings: what each client wants to be told, and what can be wrong with it, in sentences."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors

from connectors.settings import SettingError, Settings, secret
from repository.log import LogUnavailable

CLIENT_ID = "yrd"
FOREVER_MS = 2**31 - 1

# The clients tell of every reconnection, at length and on standard error; what a person needs is said in sentences here.
logging.getLogger("kafka").setLevel(logging.CRITICAL)

REFUSED_BY_BROKER = (kafka_errors.AuthorizationError, kafka_errors.SaslAuthenticationFailedError)


class KafkaRefused(RuntimeError):
    """Kafka answers and refuses; the message says what, and what to change. Never retried."""


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


@contextmanager
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    """An administrating client, closed at the end; its errors come out as sentences."""
    with sentences(settings):
        client = KafkaAdminClient(request_timeout_ms=settings.kafka_wait_s * 1000, **connection(settings))
        try:
            yield client
        finally:
            client.close()


@contextmanager
def sentences(settings: Settings) -> Iterator[None]:
    """Turn what Kafka's client raises into LogUnavailable (worth trying again) or KafkaRefused."""
    try:
        yield
    except REFUSED_BY_BROKER as error:
        raise refusal(settings, error) from error
    except (kafka_errors.KafkaTimeoutError, kafka_errors.RetriableError, OSError) as error:
        raise unavailable(settings, error) from error
    except kafka_errors.KafkaConfigurationError as error:
        raise SettingError(f"A setting of Kafka's can't be used: {error}.") from error
    except kafka_errors.KafkaError as error:
        raise KafkaRefused(f"Kafka at {settings.kafka_bootstrap} refused: {_words(error)}.") from error


def unavailable(settings: Settings, error: BaseException | str) -> LogUnavailable:
    """The sentence for a broker that does not answer."""
    said = error if isinstance(error, str) else _words(error)
    return LogUnavailable(
        f"Kafka at {settings.kafka_bootstrap} does not answer ({said}); see that it runs and that YRD_KAFKA_BOOTSTRAP and "
        "YRD_KAFKA_SECURITY are right."
    )


def refusal(settings: Settings, error: BaseException | str) -> KafkaRefused:
    """The sentence for a broker that does not let this account do what it wants."""
    said = error if isinstance(error, str) else _words(error)
    who = settings.kafka_username or "without an account"
    return KafkaRefused(
        f"Kafka at {settings.kafka_bootstrap} does not let {who} do this ({said}); check account and password file, and what "
        "`yrd kafka acl` lists."
    )


def _words(error: BaseException) -> str:
    words = " ".join(str(error).split())
    name = type(error).__name__
    return words if words.startswith(name) else f"{name} {words}".strip()

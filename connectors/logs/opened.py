"""The log that the setting `log` names, opened: the stores of this home, or the topics at Kafka; listed members' alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from connectors.home.folder import Home
from connectors.logs.listed import listed
from repository.store.log import EmbeddedLog, Log


@contextmanager
def opened_log(home: Home, new_too: bool = False) -> Iterator[Log]:
    """The log, closed at the end; `new_too`: also what publishers without a store yet will record, for who waits for it."""
    if home.settings.log == "kafka":
        from connectors.kafka.log import KafkaLog

        # With the office's key its own log lists the members, whoever the settings name.
        log = KafkaLog(home.settings, None if home.settings.office_key else home.settings.publishers)
        try:
            yield listed(home, log)
        finally:
            log.close()
        return
    with home.stores(new_too) as stores:
        yield listed(home, EmbeddedLog(stores))

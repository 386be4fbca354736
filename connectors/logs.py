"""The log that the setting `log` names, opened: the stores of this home, or the topics at Kafka."""

from collections.abc import Iterator
from contextlib import contextmanager

from connectors.home import Home
from connectors.kafka.log import KafkaLog
from repository.log import EmbeddedLog, Log


@contextmanager
def opened_log(home: Home, new_too: bool = False) -> Iterator[Log]:
    """The log, closed at the end; `new_too`: also what publishers without a store yet will record, for who waits for it."""
    if home.settings.log == "kafka":
        log = KafkaLog(home.settings, home.settings.publishers)
        try:
            yield log
        finally:
            log.close()
        return
    with home.stores(new_too) as stores:
        yield EmbeddedLog(stores)

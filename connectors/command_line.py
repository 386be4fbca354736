"""The command `yrd`. Exit status: 0 done, 1 failed, 2 wrong usage. Every error is one sentence on standard error."""

import sqlite3
import sys

import duckdb
import typer
from eventsourcing.domain import EventSourcingError

from connectors.access.refused import ReadRefused
from connectors.base.files import BaseDamaged
from connectors.collecting import collect_rarely
from connectors.commands import access_log, administering, audit, broker, privacy, publishing, reading, sealing
from connectors.commands.demo import demo
from connectors.home.folder import Busy
from connectors.kafka.connecting import KafkaRefused
from connectors.kafka.registry import SchemaRefused
from connectors.proof.sealing import LogAltered
from connectors.publishing.known_facts import KnownLost
from connectors.reading.conversations import SocketTaken
from repository.store.log import LogChanged, LogUnavailable
from repository.store.publisher import StoreChanged

app = typer.Typer(
    name="yrd",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Shared information base of basic public services: publish changes, keep history, ask across regions.",
)
for name, command in (
    ("demo", demo.demo),
    ("init", publishing.init),
    ("import", publishing.import_),
    ("report", publishing.report),
    ("heartbeat", publishing.heartbeat),
    ("correct", publishing.correct),
    ("retract", publishing.retract),
    ("link", publishing.link_),
    ("rejections", publishing.rejections_),
    ("relay", broker.relay),
    ("project", reading.project),
    ("query", reading.query),
    ("status", reading.status),
    ("rebuild", reading.rebuild),
    ("settings", administering.settings),
    ("seal", sealing.seal),
    ("erase", privacy.erase),
    ("readmit", privacy.readmit),
    ("restrict", privacy.restrict),
    ("hold", privacy.hold),
):
    app.command(name)(command)
for name, group in (
    ("quarantine", reading.quarantine),
    ("gaps", reading.gaps),
    ("profiles", administering.profiles),
    ("schemas", administering.schemas),
    ("kafka", broker.kafka),
    ("key", administering.key),
    ("signer", sealing.signer),
    ("member", sealing.member),
    ("audit", audit.audit),
    ("access", access_log.access),
    ("keys", privacy.keys),
    ("grant", privacy.grant),
    ("subject", privacy.subject),
):
    app.add_typer(group, name=name)

FAILURES = (
    ValueError,
    LookupError,
    OSError,
    Busy,
    BaseDamaged,
    KnownLost,
    LogAltered,
    LogChanged,
    LogUnavailable,
    KafkaRefused,
    SchemaRefused,
    ReadRefused,
    SocketTaken,
    StoreChanged,
    EventSourcingError,
    duckdb.Error,
    sqlite3.Error,
)
"""What can go wrong outside this program, or in what it was given: a sentence. Anything else is our fault and shows itself."""


def main() -> None:
    """Run the command line and leave with its exit status."""
    collect_rarely()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit status."""
    try:
        app(arguments, prog_name="yrd")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except KeyboardInterrupt:
        return _failed("Stopped; what was not finished was not recorded.")
    except FAILURES as error:
        return _failed(_sentence(error))
    return 0


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return " ".join(str(error).split()) or type(error).__name__


def _failed(sentence: str) -> int:
    sys.stderr.write(f"yrd: {sentence}\n")
    return 1


if __name__ == "__main__":
    main()

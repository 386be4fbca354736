"""The command `yrd`. Exit status: 0 done, 1 failed, 2 wrong usage. Every error is one sentence on standard error."""

import sys

import typer

from connectors.collecting import collect_rarely
from connectors.commands import access_log, administering, audit, broker, privacy, publishing, reading, sealing
from connectors.commands.demo import demo
from connectors.commands.printing import warn

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
    ("personal-keys", privacy.keys),
    ("grant", privacy.grant),
    ("subject", privacy.subject),
):
    app.add_typer(group, name=name)

RENAMED = {"keys": "personal-keys"}
"""Former names, which are understood until the next release."""

OURS = ("schemas", "repository", "projections", "connectors")
FOREIGN = (
    ("builtins", "OSError"),
    ("builtins", "UnicodeError"),
    ("duckdb", "Error"),
    ("psycopg", "Error"),
    ("eventsourcing.domain", "EventSourcingError"),
    ("pyarrow", "ArrowInvalid"),
    ("sqlite3", "Error"),
)
"""What libraries raise for what lies outside this program, by module and name: none of them is loaded to look for its errors."""
EXTRAS = {
    "avro": "contracts",
    "confluent_kafka": "librdkafka",
    "httpx": "registry",
    "prometheus_client": "metrics",
    "psycopg": "postgres",
    "psycopg_pool": "postgres",
}
"""Libraries that only some need -> the extra that installs them."""


def main() -> None:
    """Run the command line and leave with its exit status."""
    collect_rarely()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit status. What it can't do is told in a sentence; a mistake in the program is raised."""
    try:
        app(_renamed(arguments), prog_name="yrd")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except KeyboardInterrupt:
        return _failed("Stopped; what was not finished was not recorded.")
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        return _failed(sentence)
    return 0


def _renamed(arguments: list[str]) -> list[str]:
    if not arguments or arguments[0] not in RENAMED:
        return arguments
    former, *rest = arguments
    warn(f"yrd: `yrd {former}` is now `yrd {RENAMED[former]}`; the next release does not know the old name any more.")
    return [RENAMED[former], *rest]


def _sentence(error: Exception) -> str | None:
    """What a person is told of an error; None where it is no person's fault but ours."""
    if isinstance(error, ModuleNotFoundError) and (extra := EXTRAS.get((error.name or "").split(".")[0])):
        return (
            f"This needs {error.name}, which is not installed; install the extra {extra}: pip install 'yrd-repository[{extra}]'."
        )
    if type(error).__module__.split(".")[0] not in OURS and not isinstance(error, _foreign()):
        return None
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return " ".join(str(error).split()) or type(error).__name__


def _foreign() -> tuple[type[Exception], ...]:
    """The errors of FOREIGN that can have been raised: those of modules that are loaded."""
    return tuple(getattr(sys.modules[module], name) for module, name in FOREIGN if module in sys.modules)


def _failed(sentence: str) -> int:
    sys.stderr.write(f"yrd: {sentence}\n")
    return 1


if __name__ == "__main__":
    main()

"""Commands about Kafka: topics, permissions, and the relay that sends a publisher's events."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from connectors.commands.deferred import deferred
from connectors.commands.options import DEFAULT_HOME, HomeOption, JsonOption, PublisherOption
from connectors.commands.printing import print_json, print_outcome, print_table, say, talk, tell

with deferred():
    from connectors.home import folder
    from connectors.hub import following_seals, hub, metrics
    from connectors.kafka import permissions, topics
    from connectors.kafka import relay as relays

kafka = typer.Typer(no_args_is_help=True, help="Kafka: topics and who may use them.")
OnlyOption = Annotated[
    str | None, typer.Option("--publisher", help="Topics of this publisher only; default: of all members.", show_default=False)
]


@kafka.command("init")
def kafka_init(publisher: OnlyOption = None, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Make the topics, add partitions where the setting asks for more, and check that nothing is lost on them."""
    opened = folder.Home(home)
    done = topics.prepare(opened.settings, _publishers(opened, publisher))
    if as_json:
        print_json(done)
        return
    rows = [(name, "made") for name in done.made]
    rows += [(name, f"grown to {number} partitions") for name, number in done.grown.items()]
    print_table("", ("topic", ""), [*rows, *((name, "is as it must be") for name in done.unchanged)])


@kafka.command("acl")
def kafka_acl(
    apply: Annotated[bool, typer.Option("--apply", help="Create them at the brokers; default: print the commands.")] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Print or apply who may use which topics: a publisher writes its own, the hub reads all."""
    opened = folder.Home(home)
    settings = opened.settings
    rules = permissions.apply(settings, settings.publishers) if apply else permissions.rules(settings.publishers)
    if as_json:
        print_json(rules)
    elif apply:
        print_table("", ("principal", "may", "topics"), [(r.principal, r.operation, f"{r.prefix}*") for r in rules])
    else:
        for rule in rules:
            say(rule.command(settings.kafka_bootstrap))


def _publishers(home: folder.Home, publisher: str | None) -> tuple[str, ...]:
    return home.settings.publishers if publisher is None else (home.member(publisher),)


def relay(
    publisher: PublisherOption,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as events are recorded, until stopped.")] = False,
    start: Annotated[
        int | None,
        typer.Option("--from-position", min=1, help="Send again from this position on; what is recorded as sent stays."),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Send a publisher's events to its topics, each at least once and in order."""
    opened = folder.Home(home)
    # A long import holds the store; the relay goes on sending and notes its position later.
    with relays.alone(opened, opened.member(publisher)), opened.store(publisher, wait_s=1) as store:
        sender, stop = relays.Relay(store, opened.settings, tell), hub.stopping_at_signals()
        measured = metrics.served(opened.settings, lambda: metrics.of_relay(publisher, sender.standing))
        # Where no hub follows this home, its relay is who seals what is due between two imports.
        with measured, following_seals.sealing(opened, stop) if follow else nullcontext():
            if follow:
                talk.print(f"Relaying publisher {publisher}; end with Ctrl-C.")
            done = sender.run(stop, follow, start)
    print_outcome(as_json, done, f"{done.events:,} events sent; all up to position {done.acknowledged:,} is acknowledged.")

"""The part of `yrd status` that is about proof."""

from typing import Any

from connectors.commands.printing import print_table, say

SEAL_COLUMNS = ("publisher", "seal_no", "tree_size", "verdict", "first_bad_position", "proved_size", "records_after")
SKEW = ("publisher", "stepped_back_s", "stepped_back_at_position", "ahead_of_log_s", "ahead_of_hub_s")


def print_proof_status(found: dict[str, Any]) -> None:
    """Print the seals and what was found of them, and what was refused; nothing where there is nothing to say."""
    if found["seals"]:
        print_table("Seals", SEAL_COLUMNS, [[row[name] for name in SEAL_COLUMNS] for row in found["seals"]])
    for row in found["seals"]:
        if row["verdict"] != "accepted":
            say(f"Seal {row['seal_no']} of {row['publisher']} is {row['verdict']}: {row['reason']}")
            if row["expected"]:
                say(f"  expected {row['expected']}\n  found    {row['found']}")
    _print_access_log(found["access_log"])
    for topic in found["unlisted_topics"]:
        say(f"{topic} is not read: it is of no listed member, or of no kind that this release knows.")
    for row in found["refused_member_records"]:
        say(f"Member record {row['number']} of {row['member']} is refused: {row['reason']}")
    if found["clock_skew"]:
        print_table(
            "Clocks that disagree (order is by position all the same)", SKEW, [[r[n] for n in SKEW] for r in found["clock_skew"]]
        )


def _print_access_log(found: dict[str, Any] | None) -> None:
    """The access log where it has seals, or something is wrong with them."""
    if found is None:
        return
    if found["trouble"]:
        say(found["trouble"])
    elif found["seal"] is not None:
        say(f"Access log: seal {found['seal']} covers {found['tree_size']:,} records; {found['records_after']:,} came after it.")

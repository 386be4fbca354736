"""Questions about the facts themselves: who changed them, did they arrive, how fresh and how doubtful are they."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from tests.support import controls
from tests.support.bases import NOON, EventRecord, Logs, ask, base, batch_id_of, benefit_of_shanghai, picked
from tests.support.controls import BENEFIT_2025, CLOVER_HOME, MAPLE_HOME, NANJING, OCTOBER, amount, counted


def test_change_log_shows_every_change_before_and_after() -> None:
    logs = Logs()
    logs.report("32", CLOVER_HOME)
    more = {f"offers[{controls.BEDS}].capacity": 150, f"offers[{controls.BEDS}].price": Decimal("4500.5"), "phone": "025-0"}
    logs.report("32", replace(CLOVER_HOME, valid_from=date(2026, 6, 1), fields=more, operator="desk 3", reason="new wing"))
    rows = ask(logs.base(), "change_log(?)", CLOVER_HOME.business_key)
    assert [picked(r, "version field before after") for r in rows] == [
        (1, None, None, None),
        (2, "phone", None, "025-0"),
        (2, f"offers[{controls.BEDS}].capacity", "120", "150"),
        (2, f"offers[{controls.BEDS}].price", None, "4500.5000"),
    ]
    last = rows[-1]
    assert picked(last, "event_type operation valid_from") == ("CapacityChanged", "assert", date(2026, 6, 1))
    assert picked(last, "operator reason source recorded_at") == ("desk 3", "new wing", "listing of homes", NOON)


def test_change_log_names_the_document_and_keeps_money_exact() -> None:
    rows = ask(benefit_of_shanghai(), "change_log(?)", BENEFIT_2025.business_key)
    values = [picked(r, "before after doc_no") for r in rows if r["field"] == "value"]
    assert values == [
        ("2255.0000", "2305.0000", "沪人社规〔2025〕9号"),
        ("2305.0000", "2340.0000", "沪人社规〔2026〕7号"),
    ]


def test_change_log_keeps_all_eighteen_digits() -> None:
    large = amount(NANJING, "city", "12345678901234.5678")
    larger = replace(large, fields={"value": Decimal("12345678901234.5679")})
    rows = ask(base(("32", large), ("32", larger)), "change_log(?)", large.business_key)
    assert (rows[-1]["before"], rows[-1]["after"]) == ("12345678901234.5678", "12345678901234.5679")


def test_change_log_shows_corrections_retractions_and_what_reappears() -> None:
    logs = Logs()
    [first] = logs.report("32", CLOVER_HOME)
    [corrected] = logs.correct(first, {f"offers[{controls.BEDS}].capacity": 12}, "misread", NOON + timedelta(hours=1))
    logs.retract(corrected, "was right", NOON + timedelta(hours=2))
    rows = ask(logs.base(), "change_log(?)", str(first["entity_id"]))
    assert [picked(r, "version operation before after") for r in rows] == [
        (1, "assert", None, None),
        (2, "correct", "120", "12"),
        (3, "retract", None, None),
        (4, "assert", "12", "120"),
    ]
    assert rows[1]["corrects_event_id"] == first["event_id"] and rows[2]["reason"] == "was right"


def test_change_log_of_a_late_report_compares_with_what_held_then() -> None:
    logs = Logs()
    for fact in (
        counted(NANJING, "total", 3),
        counted(NANJING, "total", 1, date(2000, 11, 1)),
        counted(NANJING, "total", 2, controls.CENSUS_2010),
    ):
        logs.report("32", fact)
    rows = ask(logs.base(), "change_log(?)", f"{NANJING}|total")
    assert [(r["valid_from"].year, r["before"], r["after"]) for r in rows] == [
        (2020, None, None),
        (2000, None, None),
        (2010, "1", "2"),
    ]


def test_change_log_of_a_whole_entry_is_json() -> None:
    logs = Logs()
    token = controls.PERSON_A
    logs.report("32", controls.enrolled(token, "329999", {controls.EMPLOYEE_MEDICAL: "320100"}, date(2025, 1, 1)))
    logs.report("32", controls.enrolled(token, "329999", {controls.UNEMPLOYMENT_INSURANCE: "320100"}, date(2026, 1, 1)))
    [row] = [r for r in ask(logs.base(), "change_log(?)", token) if r["version"] == 2]
    assert row["field"] == f"enrolments[{controls.UNEMPLOYMENT_INSURANCE}]" and row["before"] is None
    assert row["after"] == f'{{"item_code":"{controls.UNEMPLOYMENT_INSURANCE}","division_code":"320100","scheme":null}}'


def an_import(logs: Logs) -> list[EventRecord]:
    batch = batch_id_of("32", "listing of homes")
    return [e for fact in (CLOVER_HOME, MAPLE_HOME) for e in logs.report("32", fact, batch=batch)]


COUNTS = {
    "fact_kind": "supply",
    "rows_read": 5,
    "rows_mapped": 3,
    "rows_rejected": 1,
    "rows_skipped": 1,
    "facts_new": 2,
    "facts_unchanged": 1,
}


def test_reconciliation_balances_what_was_announced_with_what_arrived() -> None:
    logs = Logs()
    logs.batch("32", "listing of homes", an_import(logs), said=COUNTS)
    [row] = ask(logs.base(), "reconciliation")
    assert picked(row, "verdict finding announced arrived facts") == ("balanced", None, 2, 2, 3)
    assert row["announced_xor"] == row["arrived_xor"] != 0


def test_reconciliation_waits_for_events_and_for_the_batch_record() -> None:
    logs = Logs()
    events = an_import(logs)
    del logs.records[-1]
    [row] = ask(logs.base(), "reconciliation")
    assert picked(row, "verdict finding publisher") == ("still arriving", "the batch record has not arrived", "32")
    logs.batch("32", "listing of homes", events, said=COUNTS)
    [row] = ask(logs.base(), "reconciliation")
    assert picked(row, "verdict arrived announced") == ("still arriving", 1, 2)


@pytest.mark.parametrize("said", [{"events_xor": 1}, {"events": 1}, {"rows_skipped": 0}])
def test_reconciliation_finds_what_differs(said: dict[str, object]) -> None:
    logs = Logs()
    logs.batch("32", "listing of homes", an_import(logs), said=COUNTS | said)
    [row] = ask(logs.base(), "reconciliation")
    assert row["verdict"] == "differs" and row["finding"]


def test_reconciliation_of_a_heartbeat_balances_at_nothing() -> None:
    logs = Logs()
    logs.batch("32", "listing of homes", [], said={"fact_kind": "supply"})
    [row] = ask(logs.base(), "reconciliation")
    assert picked(row, "verdict arrived announced") == ("balanced", 0, 0)


def test_freshness_tells_silence_from_nothing_new() -> None:
    logs = Logs()
    logs.batch("32", "listing of homes", an_import(logs), said=COUNTS | {"expected_every_days": 30})
    logs.report("33", controls.home("水杉院", "330106", 50))
    connection = logs.base()

    def verdicts(days: int) -> dict[str, str]:
        return {r["publisher"]: r["verdict"] for r in ask(connection, "freshness(?)", NOON + timedelta(days=days))}

    assert verdicts(-1) == {}
    assert verdicts(30) == {"32": "fresh", "33": "no cadence declared"}
    assert verdicts(31) == {"32": "silent", "33": "no cadence declared"}
    logs.batch("32", "listing of homes", [], NOON + timedelta(days=20), {"fact_kind": "supply", "expected_every_days": 30})
    connection = logs.base()
    assert verdicts(10)["32"] == "fresh" and verdicts(50)["32"] == "no change" and verdicts(51)["32"] == "silent"


def test_freshness_keeps_sources_and_kinds_apart() -> None:
    logs = Logs()
    logs.batch("32", "listing of homes", an_import(logs), said=COUNTS)
    logs.report("32", counted(NANJING, "total", 9))
    rows = ask(logs.base(), "freshness(?)", NOON)
    assert [picked(r, "kind source") for r in rows] == [("service_object", "census"), ("supply", "listing of homes")]
    assert rows[1]["last_event_at"] == rows[1]["last_batch_at"] == rows[1]["last_word_at"] == NOON


def test_flagged_lists_each_doubt_about_what_holds_today() -> None:
    doubted = controls.home("疑园", "320106", 10, flags=("division_by_address", "uscc_check_digit"))
    rows = ask(base(("32", doubted), ("32", CLOVER_HOME)), "flagged")
    assert [picked(r, "flag kind business_key") for r in rows] == [
        ("division_by_address", "supply", doubted.business_key),
        ("uscc_check_digit", "supply", doubted.business_key),
    ]


def test_duplicate_enrolment_pairs_publishers_and_bounds_the_overlap() -> None:
    medical = controls.EMPLOYEE_MEDICAL, controls.RESIDENT_MEDICAL
    moved = controls.enrolled(controls.PERSON_A, "339999", {medical[1]: "330100"}, date(2026, 3, 1))
    connection = base(
        ("32", controls.enrolled(controls.PERSON_A, "329999", {medical[0]: "320100"}, date(2025, 1, 1))),
        ("33", replace(moved, stated_to=date(2027, 1, 1))),
        ("32", controls.enrolled(controls.PERSON_B, "329999", {controls.UNEMPLOYMENT_INSURANCE: "320100"}, date(2025, 1, 1))),
        ("33", controls.enrolled(controls.PERSON_B, "329999", {controls.INJURY_INSURANCE: "330100"}, date(2025, 1, 1))),
        ("31", controls.enrolled(controls.PERSON_C, "319999", {medical[0]: "310000"}, date(2025, 1, 1))),
    )
    [row] = ask(connection, "duplicate_enrolment(?)", OCTOBER)
    assert picked(row, "subject_token fund") == (controls.PERSON_A, "NBPS0411")
    assert picked(row, "publisher_a item_code_a publisher_b item_code_b") == ("32", medical[0], "33", medical[1])
    assert picked(row, "overlap_from overlap_to") == (date(2026, 3, 1), date(2027, 1, 1))
    assert ask(connection, "duplicate_enrolment(?)", date(2026, 2, 28)) == []
    assert ask(connection, "duplicate_enrolment(?)", date(2027, 1, 1)) == []

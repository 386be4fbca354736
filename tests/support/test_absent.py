"""What a machine lacks is said aloud: each skip names the ways to provide it, and the end of the run counts them."""

import pytest

from tests.support.absent import NAMES, absent, counted, summary


@pytest.mark.parametrize("what", NAMES)
def test_what_is_absent_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.delenv(f"YRD_REQUIRE_{what}", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install it"):
        absent(what, "install it")


@pytest.mark.parametrize("what", NAMES)
def test_what_is_required_fails_instead(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setenv(f"YRD_REQUIRE_{what}", "1")
    with pytest.raises(pytest.fail.Exception, match=f"install it .YRD_REQUIRE_{what}=1"):
        absent(what, "install it")


def test_skips_are_counted_by_what_was_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YRD_REQUIRE_KAFKA", raising=False)
    with pytest.raises(pytest.skip.Exception) as skipped:
        absent("KAFKA", "install it")
    counts = counted([str(skipped.value), str(skipped.value), "Skipped: no folder with dumps"])
    assert counts == {"Apache Kafka": 2}
    assert "2 for want of Apache Kafka" in summary(counts)

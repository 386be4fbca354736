"""Tokens and the regional keys they are made under."""

import json
import re
import stat
from pathlib import Path

import pytest

from repository.keys.regional import DEMO_KEY, DemoKey, RegionalKey, create, export, import_, load, refuse_demo_key, token
from repository.keys.secret_files import KeyExists, KeyExposed, KeyMissing, KeyRefused, KeyUnreadable

MADE_UP = "319999199003070016"
PASSPHRASE = "长三角 correct horse"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "regional.key"
    create(path)
    return path


def test_a_token_is_the_key_id_and_an_hmac() -> None:
    """HMAC-SHA-256 (RFC 2104) as `openssl dgst -sha256 -mac HMAC` computes it for the key of 32 zero bytes."""
    key = RegionalKey(bytes(32))
    assert token(key, "citizen_number", MADE_UP) == ("t4b6fe43a:67926ba5289c84a3a5cd5dc0e9cd79bc8197c0ee412318f30b1b9bf6cba76c99")


def test_a_token_depends_on_key_kind_and_number_and_on_nothing_else() -> None:
    other = RegionalKey(bytes(range(32)))
    first = token(DEMO_KEY, "citizen_number", MADE_UP)
    assert first == token(RegionalKey(DEMO_KEY.secret), "citizen_number", MADE_UP)
    assert re.fullmatch(rf"t{DEMO_KEY.key_id}:[0-9a-f]{{64}}", first)
    tokens = {first, token(other, "citizen_number", MADE_UP), token(DEMO_KEY, "other", MADE_UP)}
    assert len(tokens | {token(DEMO_KEY, "citizen_number", "31999919720614002X")}) == 4


@pytest.mark.parametrize("number", ["", "31999919720614002x", " 319999199003070016", "３１９９", "A|B"])
def test_a_number_that_is_not_normalised_gets_no_second_token(number: str) -> None:
    with pytest.raises(ValueError, match=r"not normalised: .*[.]$"):
        token(DEMO_KEY, "citizen_number", number)


def test_keys_have_different_ids_and_never_show_their_secret(tmp_path: Path) -> None:
    one, two = create(tmp_path / "one"), create(tmp_path / "two")
    assert len({one.key_id, two.key_id, DEMO_KEY.key_id}) == 3
    assert one.secret.hex() not in repr(one) and repr(one.secret) not in repr(one)


def test_a_created_key_is_for_its_owner_alone_and_loads_again(tmp_path: Path) -> None:
    path = tmp_path / "regional.key"
    key = create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(path) == key


def test_a_key_file_is_never_overwritten(key_file: Path) -> None:
    before = key_file.read_bytes()
    with pytest.raises(KeyExists, match=r"regional.key exists already .*[.]$"):
        create(key_file)
    assert key_file.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601])
def test_a_key_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(KeyExposed, match=rf"mode {mode:04o}, open to others: run chmod 600 on it[.]$"):
        load(key_file)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing, match=r"absent[.]key is missing: make one with `yrd key create`, .*[.]$"):
        load(tmp_path / "absent.key")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"yrd regional key 1\n",
        b"yrd regional key 1\nabcd\n",
        b"yrd regional key 2\n" + b"00" * 32,
    ],
)
def test_a_file_that_holds_no_key_is_refused(key_file: Path, content: bytes) -> None:
    key_file.write_bytes(content)
    with pytest.raises(KeyUnreadable, match=r"is no regional key: .*[.]$"):
        load(key_file)


def test_an_exported_key_names_its_algorithms_and_imports_as_the_same(key_file: Path, tmp_path: Path) -> None:
    text = export(key_file, PASSPHRASE)
    key = load(key_file)
    assert key.secret.hex() not in text
    named = json.loads(text)
    assert (named["kdf"], named["n"], named["r"], named["p"]) == ("scrypt (RFC 7914)", 131072, 8, 1)
    assert named["cipher"].startswith("AES-256-GCM") and named["key_id"] == key.key_id
    imported = import_(f"  {text}\n", PASSPHRASE, tmp_path / "imported.key")
    assert imported == key == load(tmp_path / "imported.key")


def test_a_wrong_passphrase_opens_nothing_and_writes_nothing(key_file: Path, tmp_path: Path) -> None:
    text = export(key_file, PASSPHRASE)
    with pytest.raises(KeyUnreadable, match=r"passphrase is wrong, or the text was altered"):
        import_(text, PASSPHRASE + " ", tmp_path / "imported.key")
    assert not (tmp_path / "imported.key").exists()


@pytest.mark.parametrize("part", ["key_id", "salt", "nonce", "wrapped"])
def test_an_altered_export_does_not_open(key_file: Path, tmp_path: Path, part: str) -> None:
    named = json.loads(export(key_file, PASSPHRASE))
    named[part] = ("0" if named[part][0] != "0" else "1") + named[part][1:]
    with pytest.raises(KeyUnreadable, match=r"[.]$"):
        import_(json.dumps(named), PASSPHRASE, tmp_path / "imported.key")
    assert not (tmp_path / "imported.key").exists()


@pytest.mark.parametrize("change", [{"n": 2}, {"n": 2**40}, {"kdf": "none"}, {"salt": "00"}, {"format": None}, {"r": "8"}])
def test_weaker_or_unknown_algorithms_are_refused_before_any_work(
    key_file: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    named = json.loads(export(key_file, PASSPHRASE)) | change
    with pytest.raises(KeyUnreadable, match=r"does not follow 'yrd regional key export 1': .*[.]$"):
        import_(json.dumps(named), PASSPHRASE, tmp_path / "imported.key")


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"wrapped": 1}', '{"wrapped": "zz"}'])
def test_what_is_no_export_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeyUnreadable, match=r"not an exported regional key: .*[.]$"):
        import_(text, PASSPHRASE, tmp_path / "imported.key")


def test_a_short_passphrase_is_refused(key_file: Path) -> None:
    with pytest.raises(KeyUnreadable, match=r"fewer than 12 characters: .*[.]$"):
        export(key_file, "short")


def test_the_demo_key_stands_for_no_real_person(key_file: Path) -> None:
    refuse_demo_key(DEMO_KEY, synthetic=True)
    refuse_demo_key(load(key_file), synthetic=False)
    with pytest.raises(DemoKey, match=rf"Key {DEMO_KEY.key_id} is the published demo key: .*[.]$"):
        refuse_demo_key(DEMO_KEY, synthetic=False)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(KeyRefused, match=r"has 32 bytes, not 16: .*[.]$"):
        RegionalKey(bytes(16))

"""Settings: one list, from the environment, the home's file or the default, and refused where they can't be."""

from dataclasses import fields
from pathlib import Path

import pytest

from connectors.home.folder import Home, NoHome
from connectors.home.settings import SETTINGS, SettingError, Settings, read_settings


def settings(folder: Path, text: str = "", **environment: str) -> Settings:
    file = folder / "yrd.toml"
    file.write_text(text, "utf-8")
    return read_settings(file, environment)


def refusal(folder: Path, text: str = "", **environment: str) -> str:
    with pytest.raises(SettingError) as caught:
        settings(folder, text, **environment)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_setting_says_what_it_is_and_takes_its_default() -> None:
    assert list(SETTINGS) == [f.name for f in fields(Settings)]
    for name, each in SETTINGS.items():
        assert each.meaning.endswith("."), name
        assert each.default in (each.choices or (each.default,)), name


@pytest.mark.parametrize("name", [name for name, each in SETTINGS.items() if each.choices])
def test_a_setting_of_a_few_words_takes_each_of_them_and_no_other(tmp_path: Path, name: str) -> None:
    for word in SETTINGS[name].choices:
        assert getattr(settings(tmp_path, f'{name} = "{word}"'), name) == word
    said = refusal(tmp_path, "", **{SETTINGS[name].variable: "perhaps"})
    assert f'{name} is "perhaps"; it takes {SETTINGS[name].choices[0]}' in said
    assert said.endswith(f" or {SETTINGS[name].choices[-1]}.")


def test_without_a_word_the_defaults_hold(tmp_path: Path) -> None:
    assert settings(tmp_path) == Settings() == read_settings(tmp_path / "no such file", {})


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    text = 'threads = 3\nbatch_records = 7\npublishers = ["31", "32"]\nsynthetic = true'
    found = settings(tmp_path, text, YRD_THREADS="5", YRD_PUBLISHERS="31, 33", YRD_SYNTHETIC="false", OTHER="1")
    assert (found.threads, found.batch_records, found.publishers, found.synthetic) == (5, 7, ("31", "33"), False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("threads = 0", 'threads is "0"; it takes a whole number from 1'),
        ("threads = -1", "whole number"),
        ("threads = 1.5", "whole number"),
        ('threads = "²"', "whole number"),
        ("threads = true", "whole number"),
        ('synthetic = "perhaps"', "true or false"),
        ('colour = "red"', '"colour", which is no setting'),
        ("publishers = 31", "publishers"),
        ("publishers = [31]", "publishers"),
        ("publishers = []", "publishers"),
        ('publishers = ["../31"]', "publishers"),
        ('publishers = ["31", "31"]', "publishers"),
        ("threads =", "can't be read as TOML"),
        ("store_url = 5", "store_url"),
    ],
)
def test_what_can_not_be_is_refused_by_name(tmp_path: Path, text: str, why: str) -> None:
    assert why in refusal(tmp_path, text)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "yrd.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingError, match="can't be read as TOML"):
        read_settings(tmp_path / "yrd.toml", {})


def test_a_home_is_made_once(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "region", ("31", "99"), synthetic=True)
    assert (home.settings.publishers, home.settings.synthetic) == (("31", "99"), True)
    with pytest.raises(NoHome, match="is a home already"):
        Home.create(tmp_path / "region", ("31",), synthetic=False)


@pytest.mark.parametrize("code", ["", "3", "3a", "../31", '3"', "310"])
def test_a_publisher_code_has_two_digits(tmp_path: Path, code: str) -> None:
    with pytest.raises(SettingError, match="two digits"):
        Home.create(tmp_path / "region", ("31", code), synthetic=False)
    assert not (tmp_path / "region" / "yrd.toml").exists()


def test_who_is_no_member_is_refused(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "region", ("31",), synthetic=False)
    with pytest.raises(ValueError, match='"44" is no publisher of this home; members are 31'):
        home.member("44")

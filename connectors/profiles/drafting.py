"""A first source profile from a dump: guessed from column names and cells, with comments on what to check.

The draft loads and passes the profile check; whether it is right, only someone who knows the source can say.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import polars as pl

from connectors.dumps import Dump, Layout, open_dump
from connectors.profiles import profile as profiles
from connectors.profiles.conversions import target_at
from connectors.profiles.header_words import Words, ranked, words_of
from repository.kinds.register import PERSONS
from repository.registers.text import normalise, number
from schemas.contracts import FACT_KINDS

LOOKED_AT: Final = 10_000
"""Rows that a draft is guessed from."""

SHARED: Final[Mapping[str, str]] = {
    "code": "区划代码 行政区划代码 区县代码 区划编码 行政区划 district_code division_code region_code city_code",
    "place": "城市 市 地市 所属城市 city city_name",
    "doc_no": "文号 发文字号 doc_no",
    "authority": "发文机关 发布单位 发布机构 发文单位 authority",
    "published_on": "发布日期 公布日期 发文日期 印发日期 published published_on",
    "from": "生效 生效日期 施行日期 执行日期 实施日期 起始日期 valid_from date",
    "to": "失效 失效日期 有效期至 截止日期 终止日期 valid_to",
    "number": "编号 序号 代码 机构编码 id serialnumber",
    "identity": "身份证 身份证号 身份证号码 公民身份号码 社会保障号码",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """The first rows of a dump, and which column each word list found."""

    path: Path
    dump: Dump
    layout: Layout
    table: pl.DataFrame
    found: dict[str, str] = field(default_factory=dict)


def draft(path: Path, sheet: str | None = None) -> str:
    """Text of a first profile for a dump, from one sheet where it has several. DumpUnreadable where it is no dump."""
    sample = _sample(Path(path), Layout(sheet=sheet))
    shared = _matches(sample.table.columns, SHARED)
    kind = _kind(sample.table.columns, shared)
    fields = _matches([name for name in sample.table.columns if name not in shared.values()], words_of(kind).fields)
    sample.found.update(shared)
    parts = [
        _head(sample, kind),
        _file(sample),
        _publisher(sample),
        _fields(sample, kind, fields),
        _valid(sample),
    ]
    parts += [
        _authority(sample),
        _unpivot(sample, kind),
        _unused(sample, kind, fields),
    ]
    content = "\n\n".join(part for part in parts if part) + "\n"
    profiles.parse(content, sample.path.with_suffix(".toml"))
    return content


def _sample(path: Path, layout: Layout) -> Sample:
    """The first row is a header unless it holds numbers or one text twice, as rows of data do."""
    dump = open_dump(path, layout := replace(layout, header=None), LOOKED_AT)
    first_row = _first_rows(dump).head(1)
    cells = [cell for cell in first_row.rows()[0] if cell] if first_row.height else []
    if len(set(cells)) == len(cells) and not any(map(_is_number, cells)):
        dump = open_dump(path, layout := replace(layout, header=1), LOOKED_AT)
    return Sample(path, dump, layout, _first_rows(dump))


def _first_rows(dump: Dump) -> pl.DataFrame:
    first = next(iter(dump.chunks()), None)
    return first.table if first is not None else pl.DataFrame(schema=dict.fromkeys(dump.columns, pl.String))


def _is_number(cell: str) -> bool:
    try:
        number(cell)
    except ValueError:
        return False
    return True


def _matches(columns: Sequence[str], words: Mapping[str, str]) -> dict[str, str]:
    """For each field the column whose name, without a unit in brackets, is one of its words."""
    bare = {re.sub(r"\(.*\)$", "", normalise(name)).strip().casefold(): name for name in columns}
    found: dict[str, str] = {}
    for meant, listed in words.items():
        column = next((bare[word] for word in listed.split() if word in bare), None)
        if column is not None and column not in found.values():
            found[meant] = column
    return found


def _kind(columns: Sequence[str], shared: Mapping[str, str]) -> str:
    """The kind whose words fit most columns; with a column of identity numbers, among those about persons."""
    kinds = [kind for kind in ranked() if words_of(kind).persons] if "identity" in shared else ranked()
    return max(kinds, key=lambda kind: _score(columns, shared, words_of(kind)))


def _score(columns: Sequence[str], shared: Mapping[str, str], words: Words) -> int:
    unpivoted = _matches(columns, words.unpivot.words) if words.unpivot is not None else {}
    return len(_matches(columns, words.fields)) + len(unpivoted) + sum(each in shared for each in words.evidence)


def _either(names: Sequence[str]) -> str:
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else "".join(names)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, values))}]"


def _head(sample: Sample, kind: str) -> str:
    name = re.sub(r"\W+", "_", sample.path.stem).strip("_") or "draft"
    level = ["data_level = 3   # check: persons are 3 or 4 (GB/T 43697-2024)"] if "identity" in sample.found else []
    keyed_by_token = "identity" in sample.found and kind in PERSONS and PERSONS[kind].token_is_key
    key = [] if keyed_by_token else [f"key = {_key(sample, kind)}", _key_advice(sample, kind)]
    return "\n".join(
        (
            f"# Drafted from {normalise(sample.path.name)}. Check every line; write down origin and licence here.",
            f"name = {_quoted(name)}",
            'description = ""',
            f"kind = {_quoted(kind)}   # {_either(FACT_KINDS)}",
            f"source = {_quoted(name)}   # check: the name of this source; it must stay the same for every later dump",
            f"scope = {_quoted(name)}   # check: what the list claims to list, such as: nursing homes of Nanjing",
            'completeness = "partial"   # "complete" only if what is absent from the list has closed',
            "# as_of = 2026-01-31   # the day that the dump describes; or give it with --as-of",
            *level,
            *key,
        )
    )


def _key_columns(sample: Sample, kind: str) -> list[str]:
    """The first choice that tells all rows of the sample apart; where none does, the first choice there is."""
    own = _matches(sample.table.columns, words_of(kind).fields)
    tried = [columns for choice in words_of(kind).key for columns in _meant(sample, own, choice)]
    choices = [found for each in tried if (found := [column for column in each if column]) and len(found) == len(each)]
    choices.append(sample.table.columns[:1])
    return next((each for each in choices if _doubles(sample, each) == (0, 0)), choices[0])


def _meant(sample: Sample, own: Mapping[str, str], choice: Sequence[str]) -> list[list[str | None]]:
    """A choice of key as columns: None for one that the dump lacks. Of several columns with numbers each is a choice."""
    if choice == ("{number}",):
        return [[column] for column in _number_columns(sample.table.columns)]
    code, place = sample.found.get("code"), sample.found.get("place")
    beside_others = place or code if len(choice) > 1 else place
    marks = {"{code}": code, "{place}": beside_others}
    return [[marks[part] if part in marks else own.get(part) for part in choice]]


def _number_columns(columns: Sequence[str]) -> list[str]:
    words = SHARED["number"].split()
    return [name for name in columns if normalise(name).casefold() in words]


def _doubles(sample: Sample, columns: list[str]) -> tuple[int, int]:
    """How many rows repeat another key (with the same start of validity), and how many have an empty one."""
    start = [sample.found["from"]] if "from" in sample.found else []
    keys = sample.table.select(list(dict.fromkeys((*columns, *start)))).drop_nulls(columns)
    return keys.height - keys.n_unique(), sample.table.height - keys.height


def _key(sample: Sample, kind: str) -> str:
    unpivot = words_of(kind).unpivot
    if unpivot is None or not _matches(sample.table.columns, unpivot.words):
        return _list(_key_columns(sample, kind))
    parts = _list(_key_columns(sample, kind))[1:-1]
    return f"[{parts}, {{ field = {_quoted(unpivot.set)} }}]"


def _key_advice(sample: Sample, kind: str) -> str:
    doubles, empty = _doubles(sample, _key_columns(sample, kind))
    found = f"of the first {sample.table.height} rows {doubles} repeat another key and {empty} have an empty one"
    return f"# check: the key tells one entity from another, in every later dump too; {found}"


def _file(sample: Sample) -> str:
    lines = ["[file]", f"format = {_quoted(sample.dump.format)}"]
    if sample.dump.encoding:
        lines.append(f"encoding = {_quoted(sample.dump.encoding)}")
    if sample.layout.sheet:
        lines.append(f"sheet = {_quoted(sample.layout.sheet)}")
    if sample.layout.header is None and sample.dump.columns[:1] == ("column_1",):
        lines += ["header = 0", f"columns = {_list(sample.dump.columns)}   # check: give the columns names"]
    return "\n".join(lines)


def _publisher(sample: Sample) -> str:
    column, by = sample.found.get("code"), "code"
    if column is None:
        column, by = sample.found.get("place"), "name"
    if column is None:
        return "# No column tells the province: every row counts as the publisher's own."
    note = "# Rows of other provinces are skipped."
    return f"{note}\n[publisher]\ncolumn = {_quoted(column)}\ndivision = {_quoted(by)}"


def _fields(sample: Sample, kind: str, fields: Mapping[str, str]) -> str:
    lines = ["[fields]"]
    if "code" in sample.found:
        lines.append(f'division_code = {{ column = {_quoted(sample.found["code"])}, division = "code" }}')
    elif "place" in sample.found:
        lines.append(f'division_code = {{ column = {_quoted(sample.found["place"])}, division = "name" }}')
    words = words_of(kind)
    lines += words.lines.get("always", ())
    lines += words.lines.get("of_no_person", ()) if "identity" not in sample.found else ()
    for path, column in fields.items():
        note = f"   # check: {words.hints[path]}" if path in words.hints else ""
        lines.append(f"{_quoted(path) if '[' in path else path} = {_cell(sample, kind, path, column)}{note}")
        lines += [extra.format(column=_quoted(column)) for extra in words.extras.get(path, ())]
    return "\n".join(lines)


def _cell(sample: Sample, kind: str, path: str, column: str) -> str:
    """The column; for a number that stands in words, also what to take out of it and what means nothing."""
    if target_at(kind, path).word not in ("long", "double", "decimal"):
        return _quoted(column)
    part = words_of(kind).ranges.get(path)
    if part is not None:
        return f"{{ column = {_quoted(column)}, range = {_quoted(part)} }}"
    words = [normalise(cell) for cell in sample.table[column].drop_nulls().unique().sort()]
    words = [word for word in words if word and not _is_number(word)]
    without_digits = [word for word in words if not re.search(r"\d", word)]
    options = [f"column = {_quoted(column)}"]
    if without_digits:
        options.append(f"nulls = {_list(without_digits[:10])}")
    if len(words) > len(without_digits):
        options.append(r"extract = '^([\d.,]+)'")
    return f"{{ {', '.join(options)} }}" if len(options) > 1 else _quoted(column)


def _valid(sample: Sample) -> str:
    start, end = sample.found.get("from"), sample.found.get("to")
    lines = ["[valid]", f"from = {_quoted(start)}" if start else 'from = "as_of"']
    if start:
        lines.append('from_missing = "undated"   # check: "reject" if every row must state a start')
    if end:
        lines.append(f"to = {{ column = {_quoted(end)}, inclusive = true }}   # check: is the day itself included?")
    return "\n".join(lines)


def _authority(sample: Sample) -> str:
    lines = [
        f"{name} = {_quoted(sample.found[name])}" for name in ("doc_no", "authority", "published_on") if name in sample.found
    ]
    return "\n".join(["[authority]", *lines]) if lines else ""


def _unpivot(sample: Sample, kind: str) -> str:
    words = words_of(kind)
    if words.persons and "identity" in sample.found:
        return f'[person]\ncolumn = {_quoted(sample.found["identity"])}\nid_type = "citizen_number"'
    unpivot = words.unpivot
    if unpivot is None:
        return ""
    return "\n\n".join(
        f"[[unpivot]]\ncolumn = {_quoted(column)}\nset = {{ {unpivot.set} = {_quoted(value)} }}\nfield = {_quoted(unpivot.field)}"
        for value, column in _matches(sample.table.columns, unpivot.words).items()
    )


def _unused(sample: Sample, kind: str, fields: Mapping[str, str]) -> str:
    unpivot = words_of(kind).unpivot
    unpivoted = _matches(sample.table.columns, unpivot.words).values() if unpivot is not None else ()
    taken = {*fields.values(), *sample.found.values(), *unpivoted}
    left = [normalise(name) for name in sample.table.columns if name not in taken]
    return f"# Columns not used: {', '.join(left[:60])}" if left else ""

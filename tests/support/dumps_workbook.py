"""Workbooks made by hand, part by part (ECMA-376), so that a test controls every byte of them."""

import struct
import zipfile
from pathlib import Path

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
WORKBOOK_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
STYLES = (
    f'<styleSheet xmlns="{MAIN}"><cellXfs count="4">'
    '<xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/><xf numFmtId="46"/></cellXfs></styleSheet>'
)
DATE, DATE_TIME, ELAPSED = 1, 2, 3


def cell(reference: str, value: str, kind: str = "n", style: int = 0) -> str:
    """One cell: kind `n` is a number, `b` true or false, `e` an error, `s` a text in place."""
    if kind == "s":
        return f'<c r="{reference}" t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>'
    return f'<c r="{reference}" t="{kind}" s="{style}"><v>{value}</v></c>'


def row(number: int, *texts: str) -> str:
    """A row of texts from column A on; an empty text is no cell."""
    cells = (cell(f"{chr(65 + place)}{number}", text, "s") for place, text in enumerate(texts) if text)
    return f'<row r="{number}">{"".join(cells)}</row>'


def write_workbook(path: Path, **sheets: str) -> Path:
    """An xlsx with the given sheets, each the text of its rows."""
    names = list(sheets)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _content_types())
        archive.writestr("_rels/.rels", _relations([("rId1", "officeDocument", "xl/workbook.xml")]))
        archive.writestr("xl/workbook.xml", _workbook(names))
        targets = [(f"rId{n}", "worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(names) + 1)]
        archive.writestr("xl/_rels/workbook.xml.rels", _relations([*targets, ("rId99", "styles", "styles.xml")]))
        archive.writestr("xl/styles.xml", STYLES)
        for number, rows in enumerate(sheets.values(), 1):
            text = f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>'
            archive.writestr(f"xl/worksheets/sheet{number}.xml", text)
    return path


def write_protected(path: Path) -> Path:
    """The container of an encrypted workbook (MS-OFFCRYPTO): a compound file with an `EncryptedPackage`."""
    sector = 512
    table = [0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFE, 0xFFFFFFFE] + [0xFFFFFFFF] * 124
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<5H", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    header += struct.pack("<9I", 0, 1, 1, 0, 1, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    header += struct.pack("<109I", 0, *[0xFFFFFFFF] * 108)
    entries = [
        _entry("Root Entry", 5, child=1, start=0xFFFFFFFE),
        _entry("EncryptionInfo", 2, right=2, start=2, size=sector),
        _entry("EncryptedPackage", 2, start=3, size=sector),
        _entry("", 0),
    ]
    path.write_bytes(header + struct.pack("<128I", *table) + b"".join(entries) + bytes(2 * sector))
    return path


def _entry(name: str, kind: int, right: int = 0xFFFFFFFF, child: int = 0xFFFFFFFF, start: int = 0, size: int = 0) -> bytes:
    text = name.encode("utf-16-le")
    head = text.ljust(64, b"\0") + struct.pack("<HBB", len(text) + 2 if name else 0, kind, 1)
    return head + struct.pack("<3I", 0xFFFFFFFF, right, child) + bytes(36) + struct.pack("<IQ", start, size)


def _content_types() -> str:
    return (
        f'<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{WORKBOOK_TYPE}"/></Types>'
    )


def _relations(targets: list[tuple[str, str, str]]) -> str:
    each = "".join(f'<Relationship Id="{key}" Type="{RELATIONS}/{kind}" Target="{target}"/>' for key, kind, target in targets)
    return f'<Relationships xmlns="{PACKAGE}/relationships">{each}</Relationships>'


def _workbook(names: list[str]) -> str:
    sheets = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>' for n, name in enumerate(names, 1))
    return f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets>{sheets}</sheets></workbook>'

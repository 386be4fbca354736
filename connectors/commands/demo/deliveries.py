"""What the demonstration hands in: dumps of four provinces and the regional office, their profiles, and the day of each."""

from dataclasses import dataclass
from datetime import date

NAMES = {"00": "regional office", "31": "Shanghai", "32": "Jiangsu", "33": "Zhejiang", "34": "Anhui"}
JUNE, JULY = date(2026, 6, 30), date(2026, 7, 31)
JIANGSU, JIANGSU_JULY = "jiangsu_homes_2026-06.csv", "jiangsu_homes_2026-07.csv"
SHANGHAI = "shanghai_homes_2026-06.csv"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A dump that a publisher hands in: the profile that reads it, the file, and its layout in words."""

    publisher: str
    profile: str
    file: str
    layout: str = ""
    as_of: date = JUNE


HOMES = (
    Delivery("31", "shanghai_homes", SHANGHAI, "csv, UTF-8 with mark"),
    Delivery("32", "jiangsu_homes", JIANGSU, "csv, GBK"),
    Delivery("33", "zhejiang_homes", "zhejiang_homes_2026-06.xlsx", "workbook, header in row 3"),
    Delivery("34", "anhui_homes", "anhui_homes_2026-06.json", "json, homes inside cities"),
)
A_MONTH_LATER = (
    Delivery("32", "jiangsu_homes", JIANGSU_JULY, as_of=JULY),
    Delivery("31", "shanghai_homes", SHANGHAI, as_of=JULY),
)
POPULATION = tuple(Delivery(code, "population", "population_2010_2020.csv") for code in ("31", "32", "33", "34"))
STANDARDS = (
    Delivery("00", "standards", "standards_national.csv"),
    *(Delivery(code, "standards", "standards_local.csv") for code in ("31", "32", "33", "34")),
    Delivery("31", "standards", "standards_shanghai_unemployment.csv"),
)
INSURED = (
    Delivery("31", "shanghai_insured", "shanghai_employee_insured_2026-06.csv"),
    Delivery("34", "anhui_insured", "anhui_resident_insured_2026-06.jsonl"),
)

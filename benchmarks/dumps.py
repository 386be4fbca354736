"""A synthetic dump of service points: 20 columns, as many rows as wanted, the same on every run."""

from pathlib import Path

import polars as pl

PROFILE = """
name = "benchmark_points"
description = "Synthetic service points"
kind = "supply"
source = "benchmark"
scope = "all synthetic service points"
completeness = "complete"
as_of = 2026-01-01
max_closures = 0.05
key = ["机构编码"]

[file]
format = "csv"
encoding = "{encoding}"

[fields]
provider_name = "机构名称"
site_name = "院区名称"
uscc = "统一社会信用代码"
category = {{ column = "类别", values = {{ "医院" = "hospital", "养老院" = "nursing_home" }} }}
grade = {{ column = "等级", nulls = ["未知"] }}
ownership = {{ column = "性质", values = {{ "公办" = "public", "民营" = "private" }} }}
division_code = {{ column = "区划代码", division = "code" }}
address = "地址"
longitude = "经度"
latitude = "纬度"
coordinate_system = {{ column = "坐标系" }}
phone = "电话"
opening_hours = "营业时间"
remarks = "备注"
"offers[YRD050101].capacity" = {{ column = "床位", extract = '(\\d+)' }}
"offers[YRD050101].available" = "空床"
"offers[YRD050101].price" = "价格"
"offers[YRD050101].unit" = {{ constant = "bed" }}
"offers[YRD050101].price_period" = {{ column = "计价周期", values = {{ "月" = "month" }} }}

[valid]
from = "as_of"

[authority]
authority = "主管部门"
"""


def write_profile(folder: Path, encoding: str) -> Path:
    """The source profile of the dump in one encoding."""
    path = folder / f"benchmark_{encoding}.toml"
    path.write_text(PROFILE.format(encoding=encoding), "utf-8")
    return path


def write_dump(folder: Path, rows: int, encoding: str = "utf-8", changed_every: int = 0) -> Path:
    """A dump of `rows` rows; every `changed_every`-th (0: none) has another number of beds."""
    path = folder / f"points_{rows}_{encoding}_{changed_every}.csv"
    if path.exists():
        return path
    utf8 = path if encoding == "utf-8" else folder / f"points_{rows}_{changed_every}.tmp"
    with utf8.open("wb") as out:
        for start in range(0, rows, 250_000):
            out.write(_frame(start, min(rows, start + 250_000), changed_every).write_csv(include_header=start == 0).encode())
    if encoding != "utf-8":
        with utf8.open(encoding="utf-8") as text, path.open("w", encoding=encoding) as recoded:
            while block := text.read(1 << 22):
                recoded.write(block)
        utf8.unlink()
    return path


def _frame(start: int, stop: int, changed_every: int) -> pl.DataFrame:
    n = pl.int_range(start, stop, eager=True).alias("n").to_frame()
    i = pl.col("n")
    beds = 20 + i % 480
    more = pl.when((i % changed_every == 0) if changed_every else pl.lit(False)).then(beds + 1).otherwise(beds)
    divisions = pl.Series(["310101", "310115", "320102", "320505", "330106", "330203", "340103", "340202"])
    text = pl.col("n").cast(pl.String)
    return n.select(
        pl.concat_str(pl.lit("P"), text.str.zfill(9)).alias("机构编码"),
        pl.concat_str(pl.lit("示例养老服务中心"), text).alias("机构名称"),
        pl.concat_str(pl.lit("第"), (i % 7).cast(pl.String), pl.lit("院区")).alias("院区名称"),
        pl.lit(None, pl.String).alias("统一社会信用代码"),
        pl.when(i % 3 == 0).then(pl.lit("医院")).otherwise(pl.lit("养老院")).alias("类别"),
        pl.when(i % 5 == 0).then(pl.lit("未知")).otherwise(pl.lit("三级")).alias("等级"),
        pl.when(i % 2 == 0).then(pl.lit("公办")).otherwise(pl.lit("民营")).alias("性质"),
        divisions.gather(n["n"] % 8).alias("区划代码"),
        pl.concat_str(pl.lit("示例路"), (i % 9973).cast(pl.String), pl.lit("号")).alias("地址"),
        (120.0 + (i % 10_000) / 10_000).alias("经度"),
        (31.0 + (i % 7_919) / 10_000).alias("纬度"),
        pl.lit("WGS-84").alias("坐标系"),
        pl.concat_str(pl.lit("021-"), (60_000_000 + i % 9_999_999).cast(pl.String)).alias("电话"),
        pl.lit("08:00-17:00").alias("营业时间"),
        pl.lit(None, pl.String).alias("备注"),
        pl.concat_str(more.cast(pl.String), pl.lit("张")).alias("床位"),
        (i % 20).cast(pl.String).alias("空床"),
        (1000 + i % 5000).cast(pl.String).alias("价格"),
        pl.lit("月").alias("计价周期"),
        pl.lit("示例市民政局").alias("主管部门"),
    )

#!/bin/sh
# Imports the example dumps of examples/ for every publisher into the home of YRD_HOME, as each province would its own.
# Doing it again records nothing new.
set -eu
cd "$(dirname "$0")/../examples"
for publisher in 31 32 33 34; do
    yrd import profiles/population.toml population_2010_2020.csv --publisher "$publisher"
    yrd import profiles/standards.toml standards_local.csv --publisher "$publisher"
done
yrd import profiles/standards.toml standards_national.csv --publisher 00
yrd import profiles/standards.toml standards_shanghai_unemployment.csv --publisher 31
yrd import profiles/shanghai_homes.toml shanghai_homes_2026-06.csv --publisher 31 --as-of 2026-06-30
yrd import profiles/jiangsu_homes.toml jiangsu_homes_2026-06.csv --publisher 32 --as-of 2026-06-30
yrd import profiles/jiangsu_homes.toml jiangsu_homes_2026-07.csv --publisher 32 --as-of 2026-07-31
yrd import profiles/zhejiang_homes.toml zhejiang_homes_2026-06.xlsx --publisher 33 --as-of 2026-06-30
yrd import profiles/anhui_homes.toml anhui_homes_2026-06.json --publisher 34 --as-of 2026-06-30
yrd import profiles/shanghai_insured.toml shanghai_employee_insured_2026-06.csv --publisher 31 --as-of 2026-06-30
yrd import profiles/anhui_insured.toml anhui_resident_insured_2026-06.jsonl --publisher 34 --as-of 2026-06-30

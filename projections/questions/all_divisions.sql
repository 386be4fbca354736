-- Which divisions 行政区划 has the region had since 1981, and in which city does each lie: then, and today?
-- `divisions` has a row per name of a code, filled by projections/reference.py; `all_divisions` a row per code, in its
-- latest name; `cities` the cities in use, Shanghai (310000) being a province and a city. city_code is the city a division
-- lay in while its code was in use, city_today the one its territory lies in now: NULL where that is several, or a province.
CREATE TABLE divisions (
    code VARCHAR,
    name VARCHAR,
    level VARCHAR,
    parent VARCHAR,
    city_code VARCHAR,
    city_today VARCHAR,
    province_code VARCHAR,
    from_year INTEGER,
    to_year INTEGER
);

CREATE VIEW all_divisions AS
SELECT *
FROM divisions
QUALIFY row_number() OVER (PARTITION BY code ORDER BY from_year DESC NULLS LAST) = 1;

CREATE VIEW cities AS
SELECT d.code AS city_code, d.name AS city, d.province_code, p.name AS province
FROM all_divisions AS d
LEFT JOIN all_divisions AS p ON p.code = d.province_code
WHERE d.code = d.city_code AND d.to_year IS NULL;

-- How many people of a group lived in each city on a day, who says so, and when were they counted (分城市人口)?
-- A row per city and publisher that counted it; a city nobody counted has one row of NULL. `of_group` is a group_code:
-- 'total', 'age_60_plus'. persons is NULL where only a share (percent) is stated: a share is never turned into a count.
-- n_reported: cities with a count or a share; n_missing: the others.
CREATE MACRO population_by_city(on_date, of_group, known_at := NULL) AS TABLE
WITH counted AS (
    SELECT division_code, publisher, source, persons, share, valid_from
    FROM service_object_asof(on_date, known_at)
    WHERE subject_type = 'population_group' AND status = 'active' AND group_code = of_group
), by_city AS (
    SELECT c.*, n.persons, n.share, n.publisher, n.source, n.valid_from AS counted_on
    FROM cities AS c
    LEFT JOIN counted AS n ON n.division_code = c.city_code
), reporting AS (
    SELECT count(DISTINCT city_code) FILTER (WHERE persons IS NOT NULL OR share IS NOT NULL) AS n_reported,
           count(DISTINCT city_code) AS n_cities
    FROM by_city
)
SELECT b.*, r.n_reported, r.n_cities - r.n_reported AS n_missing
FROM by_city AS b
CROSS JOIN reporting AS r
ORDER BY b.city_code, b.publisher;

-- In which cities do the counties add up to less than the city, and by how much (区县人口合计少于全市)?
-- Group total on a day; only counts of one publisher and one census day are added. Statistical areas (xx7x, 开发区) count with
-- their parent city. Counties that are listed without a count are in n_counties_without_count and not in the sum.
-- A city of which no county was counted is not listed: nothing is known to be short.
CREATE MACRO population_shortfall(on_date, known_at := NULL) AS TABLE
WITH counted AS (
    SELECT division_code, publisher, persons, valid_from
    FROM service_object_asof(on_date, known_at)
    WHERE subject_type = 'population_group' AND status = 'active' AND group_code = 'total'
), placed AS (
    -- Development zones come and go in the tables without ever being in GB/T 2260: an unknown one is told by its code.
    SELECT n.*, coalesce(d.city_code, CASE WHEN n.division_code LIKE '____7_' THEN left(n.division_code, 4) || '00' END) AS city_code
    FROM counted AS n
    LEFT JOIN all_divisions AS d ON d.code = n.division_code
), summed AS (
    SELECT city_code, publisher, valid_from,
           sum(persons)::BIGINT AS counties_persons,
           count(persons) AS n_counties,
           count(*) - count(persons) AS n_counties_without_count
    FROM placed
    WHERE division_code <> city_code
    GROUP BY ALL
    HAVING count(persons) > 0
)
SELECT s.city_code, d.name AS city, s.publisher, s.valid_from AS counted_on, c.persons AS city_persons,
       s.counties_persons, c.persons - s.counties_persons AS difference, s.n_counties, s.n_counties_without_count
FROM summed AS s
JOIN placed AS c
    ON c.division_code = s.city_code
    AND c.publisher = s.publisher
    AND c.valid_from IS NOT DISTINCT FROM s.valid_from
LEFT JOIN all_divisions AS d ON d.code = s.city_code
WHERE s.counties_persons < c.persons
ORDER BY difference DESC, s.city_code;

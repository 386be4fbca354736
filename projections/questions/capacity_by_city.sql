-- How many service points are there in each city on a day, and what can they take (分城市服务供给能力)?
-- A row per city, category, item and unit; beds and seats are never added. n_service_points counts the active points that
-- offer the item, whatever the unit; capacity adds up those that state one and is NULL where none does. Points without
-- offers stand under item NULL, points whose city can't be told under city NULL, cities without any point have one row of NULL.
CREATE MACRO capacity_by_city(on_date, known_at := NULL) AS TABLE
WITH points AS (
    SELECT d.city_today AS city_code, s.category, unnest(CASE WHEN len(s.offers) > 0 THEN s.offers ELSE [NULL] END) AS offer
    FROM supply_asof(on_date, known_at) AS s
    LEFT JOIN all_divisions AS d ON d.code = s.division_code
    WHERE s.status = 'active'
), offered AS (
    SELECT city_code, category, offer.item_code, offer.capacity, offer.unit
    FROM points
), counted AS (
    SELECT city_code, category, item_code,
           count(*) AS n_service_points,
           count(*) FILTER (WHERE capacity IS NULL) AS n_without_capacity
    FROM offered
    GROUP BY ALL
), added AS (
    SELECT city_code, category, item_code, unit, sum(capacity)::BIGINT AS capacity, count(*) AS n_with_capacity
    FROM offered
    WHERE capacity IS NOT NULL
    GROUP BY ALL
), found AS (
    SELECT n.*, a.unit, a.capacity, coalesce(a.n_with_capacity, 0) AS n_with_capacity
    FROM counted AS n
    LEFT JOIN added AS a
        ON a.city_code IS NOT DISTINCT FROM n.city_code
        AND a.category IS NOT DISTINCT FROM n.category
        AND a.item_code IS NOT DISTINCT FROM n.item_code
)
SELECT c.*, f.category, f.item_code, f.unit, f.capacity, f.n_service_points, f.n_with_capacity, f.n_without_capacity
FROM cities AS c
FULL JOIN found AS f ON f.city_code = c.city_code
ORDER BY c.city_code, f.category, f.item_code, f.unit;

-- What does each city promise for an item on a day, how far is that from the median, and whose standard is it (分城市服务标准)?
-- `item_pattern` is an item_code, or a pattern of item names such as '失业保险金%'. A row per city and tier (item, variant, metric,
-- unit, period: only these compare). A city without a standard of its own shows its province's: `level` and `set_by` say whose.
-- National floors are not inherited, see below_floor. The median is over the cities with a value, inherited ones included.
-- rank 1 is the highest value. n_reported: cities with a value; n_missing: the others; n_counties_own: counties with their own.
CREATE MACRO standard_by_city(item_pattern, on_date, known_at := NULL) AS TABLE
WITH promised AS (
    SELECT s.*, coalesce(s.item_code, s.item_name) AS tier_item, d.city_today
    FROM standard_asof(on_date, known_at) AS s
    LEFT JOIN all_divisions AS d ON d.code = s.division_code
    WHERE s.status = 'in_force'
      AND coalesce(s.level, '') NOT IN ('national', 'regional')
      AND (s.item_code = item_pattern OR s.item_name LIKE item_pattern)
), tiers AS (
    SELECT tier_item, variant, metric, unit, period, min(item_name) AS item_name, row_number() OVER () AS tier
    FROM promised
    GROUP BY ALL
), tiered AS (
    SELECT t.tier, p.*
    FROM promised AS p
    JOIN tiers AS t
        ON t.tier_item = p.tier_item
        AND t.variant IS NOT DISTINCT FROM p.variant
        AND t.metric IS NOT DISTINCT FROM p.metric
        AND t.unit IS NOT DISTINCT FROM p.unit
        AND t.period IS NOT DISTINCT FROM p.period
), chosen AS (
    SELECT c.city_code, t.*
    FROM cities AS c
    JOIN tiered AS t ON t.division_code IN (c.city_code, c.province_code) AND t.level IS DISTINCT FROM 'county'
    QUALIFY row_number() OVER (
        PARTITION BY c.city_code, t.tier
        ORDER BY t.division_code = c.city_code DESC, t.level = 'city' DESC NULLS LAST,
                 t.publisher = left(c.city_code, 2) DESC, t.published_on DESC NULLS LAST, t.business_key
    ) = 1
), counties AS (
    SELECT city_today AS city_code, tier, count(DISTINCT division_code) AS n_counties_own
    FROM tiered
    WHERE level = 'county'
    GROUP BY ALL
), shown AS (
    SELECT c.*, t.tier_item AS item, t.item_name, t.variant, t.metric, t.unit, t.period, t.tier,
           s.level, s.division_code AS set_by, s.comparator, s.value, s.value_max, s.text, s.valid_from, s.stated_to, s.doc_no, s.publisher,
           coalesce(n.n_counties_own, 0) AS n_counties_own
    FROM cities AS c
    LEFT JOIN tiers AS t ON true
    LEFT JOIN chosen AS s ON s.city_code = c.city_code AND s.tier = t.tier
    LEFT JOIN counties AS n ON n.city_code = c.city_code AND n.tier = t.tier
)
SELECT * EXCLUDE (tier),
       round(value / nullif(median(value) OVER same, 0), 4) AS ratio_to_median,
       CASE WHEN value IS NOT NULL THEN rank() OVER (PARTITION BY tier ORDER BY value DESC NULLS LAST) END AS rank,
       count(value) OVER same AS n_reported,
       count(*) OVER same - count(value) OVER same AS n_missing
FROM shown
WINDOW same AS (PARTITION BY tier)
ORDER BY item, variant, metric, unit, period, city_code;

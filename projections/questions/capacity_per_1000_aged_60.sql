-- How much capacity of an item is there per 1,000 people aged 60 and over, by city, on a day (每千老年人床位数)?
-- Denominator: residents aged 60 and over where a source counts them (age_60_plus), else the sum of the twelve five-year
-- bands by sex of one count (male and female, 60_64 to 85_plus) where all twelve are stated, else NULL; a share is never turned
-- into a count. `denominator` says which, counted_on when. Points that state no capacity (n_without_capacity) make per_1000 a
-- lower bound. n_reported: cities with a ratio; n_missing: the others.
CREATE MACRO capacity_per_1000_aged_60(on_date, item, known_at := NULL) AS TABLE
WITH bands AS (
    SELECT format('{}_{}', sex, band) AS group_code
    FROM unnest(['male', 'female']) AS s(sex)
    CROSS JOIN unnest(['60_64', '65_69', '70_74', '75_79', '80_84', '85_plus']) AS b(band)
), counted AS (
    SELECT division_code, publisher, group_code, persons, valid_from
    FROM service_object_asof(on_date, known_at)
    WHERE subject_type = 'population_group' AND status = 'active' AND persons IS NOT NULL
), aged AS (
    SELECT division_code, publisher, valid_from AS counted_on, persons AS aged_60, 'age_60_plus' AS denominator
    FROM counted
    WHERE group_code = 'age_60_plus'
    UNION ALL
    SELECT division_code, publisher, valid_from, sum(persons)::BIGINT, 'sum of 12 bands by sex'
    FROM counted
    SEMI JOIN bands USING (group_code)
    GROUP BY division_code, publisher, valid_from
    HAVING count(DISTINCT group_code) = 12
), chosen AS (
    -- Of several counts the direct one, the newest, and the one of the city's own province.
    SELECT *
    FROM aged
    QUALIFY row_number() OVER (
        PARTITION BY division_code
        ORDER BY denominator = 'age_60_plus' DESC, counted_on DESC NULLS LAST, publisher = left(division_code, 2) DESC, publisher
    ) = 1
), offered AS (
    SELECT city_code, unit, sum(capacity)::BIGINT AS capacity, sum(n_with_capacity)::BIGINT AS n_with_capacity
    FROM capacity_by_city(on_date, known_at := known_at)
    WHERE item_code = item AND capacity IS NOT NULL
    GROUP BY ALL
), silent AS (
    -- Counted once per category: a category with two units has two rows that both say how many points it has.
    SELECT city_code, sum(n_without_capacity)::BIGINT AS n_without_capacity
    FROM (
        SELECT DISTINCT city_code, category, n_without_capacity
        FROM capacity_by_city(on_date, known_at := known_at)
        WHERE item_code = item
    )
    GROUP BY city_code
), ratios AS (
    SELECT c.*, o.unit, o.capacity, o.n_with_capacity, s.n_without_capacity,
           a.aged_60, a.denominator, a.counted_on, a.publisher AS counted_by,
           round(1000.0 * o.capacity / nullif(a.aged_60, 0), 2) AS per_1000
    FROM cities AS c
    LEFT JOIN offered AS o USING (city_code)
    LEFT JOIN silent AS s USING (city_code)
    LEFT JOIN chosen AS a ON a.division_code = c.city_code
), reporting AS (
    SELECT count(DISTINCT city_code) FILTER (WHERE per_1000 IS NOT NULL) AS n_reported, count(DISTINCT city_code) AS n_cities
    FROM ratios
)
SELECT t.*, r.n_reported, r.n_cities - r.n_reported AS n_missing
FROM ratios AS t
CROSS JOIN reporting AS r
ORDER BY t.city_code, t.unit;

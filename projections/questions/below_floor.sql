-- Where is a local standard below the national floor on a day (低于国家标准)?
-- A floor is a national standard of the regional office (00) that binds from below (comparator ge or eq) with a value. It is
-- compared with local ones of the same item_code, metric, unit and period; a floor without variant binds every variant, one
-- with a variant only that. Standards derived from others are not compared: their value is a multiple.
CREATE MACRO below_floor(on_date, known_at := NULL) AS TABLE
WITH in_force AS (
    SELECT *
    FROM standard_asof(on_date, known_at)
    WHERE status = 'in_force' AND value IS NOT NULL AND item_code IS NOT NULL
), floors AS (
    SELECT *
    FROM in_force
    WHERE publisher = '00' AND level = 'national' AND comparator IN ('ge', 'eq')
)
SELECT l.division_code, d.name AS division, l.level, l.publisher, l.business_key, l.item_code, l.item_name, l.variant, l.metric,
       l.comparator, l.value, f.value AS floor, f.value - l.value AS short_by, round(l.value / f.value, 4) AS ratio_to_floor,
       l.unit, l.period, l.valid_from, l.doc_no, f.business_key AS floor_key, f.valid_from AS floor_from, f.doc_no AS floor_doc_no
FROM in_force AS l
JOIN floors AS f
    ON f.item_code = l.item_code
    AND f.metric IS NOT DISTINCT FROM l.metric
    AND f.unit IS NOT DISTINCT FROM l.unit
    AND f.period IS NOT DISTINCT FROM l.period
    AND (f.variant IS NULL OR f.variant = l.variant)
LEFT JOIN all_divisions AS d ON d.code = l.division_code
WHERE l.level IS DISTINCT FROM 'national'
  AND l.comparator IS DISTINCT FROM 'derived'
  AND l.value < f.value
ORDER BY ratio_to_floor, l.division_code, l.business_key;

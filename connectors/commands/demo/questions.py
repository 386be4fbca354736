"""What the demonstration asks the base. Days are fixed, so that the answers are the same whenever it runs."""

FREE_ELSEWHERE = """
-- For someone insured in Shanghai: where else are beds free, and bills settled on the spot?
SELECT d.name AS division, h.provider_name AS home, h.offer.available AS "free beds", h.offer.price::INTEGER AS "CNY a month"
FROM (
    SELECT division_code, provider_name, unnest(offers) AS offer
    FROM supply_asof('2026-06-30', NULL)
    WHERE status = 'active' AND category = 'nursing_home'
) AS h
JOIN all_divisions AS d ON d.code = h.division_code
WHERE h.offer.direct_settlement AND h.offer.available > 0 AND d.province_code <> '310000'
  AND (len(h.offer.accepts_from) = 0 OR list_contains(h.offer.accepts_from, '310000'))
ORDER BY h.offer.price, h.provider_name
LIMIT 5
"""

CHANGED_BY = """
-- Which homes did one import change? A home that was renamed has several events.
SELECT DISTINCT entity_id::VARCHAR FROM supply_history WHERE batch_id = ? ORDER BY 1
"""

CHANGES_OF = """
-- What happened to one home in July, and what were the values before and after?
SELECT event_type AS event, split_part(business_key, '|', 2) AS home,
       replace(regexp_extract(field, '\\w+$'), 'provider_', '') AS field,
       regexp_replace(before, '\\.0+$', '') AS before, regexp_replace(after, '\\.0+$', '') AS after
FROM change_log(?)
WHERE valid_from = DATE '2026-07-31'
ORDER BY version, field
"""

BEDS = """
-- How many people live in each city, how many of them are 60 and over, and how many beds are there for them?
SELECT c.city, then_.persons AS "people 2010", now_.persons AS "people 2020", c.aged_60 AS "aged 60+ 2020", c.capacity AS beds,
       c.per_1000 AS "beds per 1,000"
FROM capacity_per_1000_aged_60('2026-06-30', 'YRD050101') AS c
LEFT JOIN population_by_city('2010-11-01', 'total') AS then_ USING (city_code)
LEFT JOIN population_by_city('2020-11-01', 'total') AS now_ USING (city_code)
WHERE c.aged_60 IS NOT NULL
ORDER BY c.per_1000 DESC NULLS LAST, c.city_code
"""

BELOW_FLOOR = """
SELECT division AS city, variant AS tier, value::INTEGER AS "value", floor::INTEGER AS "national floor",
       floor_from AS "floor since", short_by::INTEGER AS "short by"
FROM below_floor(?)
"""

BY_CITY = """
-- National floor and local values of the boarding subsidy at primary school, CNY a year, in the cities of the examples.
SELECT city, value::INTEGER AS value, level AS "set by", ratio_to_median AS "ratio to median", rank
FROM standard_by_city('NBPS020503', '2026-06-30')
WHERE variant = '寄宿生·小学'
  AND city_code IN (SELECT division_code FROM service_object_asof('2026-06-30', NULL) WHERE group_code = 'total')
ORDER BY rank, city_code
"""

UNEMPLOYMENT_BENEFIT = """
SELECT value::INTEGER AS "CNY a month", valid_from AS "from", valid_to - 1 AS "last day",
       stated_to - 1 AS "last day stated", doc_no AS document
FROM standard_timeline
WHERE business_key = '310000|NBPS030901|失业保险金·第1-12个月'
ORDER BY valid_from
"""

CUT_SHORT = """
SELECT doc_no, last_day_stated, last_day_in_force, days_cut, replaced_by_doc_no FROM cut_short
"""

ENROLLED_TWICE = """
SELECT left(subject_token, 20) || '…' AS pseudonym, publisher_a || ' ' || scheme_a AS "enrolled at",
       publisher_b || ' ' || scheme_b AS "and at",
       overlap_from AS "both since"
FROM duplicate_enrolment('2026-06-30')
"""

PERSONS = """
SELECT count(*) AS enrolments, count(DISTINCT subject_token) AS persons
FROM service_object_asof('2026-06-30', NULL)
WHERE subject_type = 'person'
"""

MOMENT = """
-- The moment up to which the base holds everything that was recorded.
SELECT max(received_at) FROM batch_history
"""

BEDS_OF_HUZHOU = """
SELECT capacity AS beds, per_1000 AS "beds per 1,000"
FROM capacity_per_1000_aged_60('2026-06-30', 'YRD050101', known_at := ?)
WHERE city_code = '330500'
"""

CORRECTION = """
SELECT event_type AS event, regexp_extract(field, '\\w+$') AS field, before, after, operator, reason
FROM change_log(?)
WHERE operation = 'correct'
"""

DOUBTED = """
-- Which homes were kept with a doubt, and of which is it not known how many beds they have?
SELECT provider_name, flags, list_filter(offers, lambda o: o.capacity IS NULL) <> [] AS beds_unknown
FROM supply_asof('2026-06-30', NULL)
WHERE len(flags) > 0 OR beds_unknown
ORDER BY provider_name
"""

RECONCILED = """
SELECT publisher || ' ' || profile AS import, rows_read AS rows, rows_mapped AS mapped, rows_rejected AS rejected,
       rows_skipped AS skipped, announced AS events, arrived, verdict
FROM reconciliation
ORDER BY import, as_of_day, recorded_at
"""

FRESHNESS = """
SELECT publisher, source, expected_every_days AS "due every", verdict FROM freshness_now
"""

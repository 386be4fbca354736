-- Which standards were in force on a day, as far as was known at a moment (某日有效的服务标准)?
-- known_at NULL: all that is known. A standard whose start no source states (valid_from NULL) counts as in force until its end.
CREATE MACRO standards_in_force(on_date, known_at) AS TABLE
SELECT s.division_code, d.name AS division, s.level, s.publisher, s.business_key, s.item_code, s.item_name, s.variant, s.domain,
       s.metric, s.comparator, s.value, s.value_max, s.unit, s.period, s.text, s.valid_from, s.valid_to, s.stated_to,
       s.doc_no, s.authority, s.published_on, s.recorded_at, s.received_at, s.version, s.event_id
FROM standard_asof(on_date, known_at) AS s
LEFT JOIN all_divisions AS d ON d.code = s.division_code
WHERE s.status = 'in_force'
ORDER BY s.division_code, s.item_code, s.business_key;

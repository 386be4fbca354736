-- Which standards ended before the end that they state, when was their last day, and what replaced them (提前失效的标准)?
-- Days are inclusive: last_day_stated is what the document says, last_day_in_force what came of it. A promise that goes on
-- unchanged over several segments is one; what took its place starts on the day after, NULL where nothing is known to.
CREATE VIEW cut_short AS
WITH promises AS (
    SELECT entity_id, business_key, publisher, division_code, item_code, item_name, variant, value, value_max, unit, period, text,
           doc_no, published_on, source, stated_to,
           CASE WHEN bool_or(valid_from IS NULL) THEN NULL ELSE min(valid_from) END AS valid_from,
           max(coalesce(valid_to, 'infinity'::DATE)) AS ended
    FROM standard_timeline
    WHERE status = 'in_force' AND stated_to IS NOT NULL
    GROUP BY ALL
)
SELECT p.business_key, p.publisher, p.division_code, p.item_code, p.item_name, p.variant, p.value, p.value_max, p.unit, p.period,
       p.doc_no, p.published_on, p.valid_from,
       p.stated_to - 1 AS last_day_stated,
       p.ended - 1 AS last_day_in_force,
       p.stated_to - p.ended AS days_cut,
       r.event_type AS replaced_by_event, r.status AS replaced_by_status, r.value AS replaced_by_value,
       r.doc_no AS replaced_by_doc_no, r.published_on AS replaced_by_published_on, r.event_id AS replaced_by_event_id
FROM promises AS p
LEFT JOIN standard_timeline AS r ON r.entity_id = p.entity_id AND r.valid_from = p.ended
WHERE p.ended < p.stated_to
ORDER BY p.publisher, p.business_key, p.valid_from;

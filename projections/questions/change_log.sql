-- Who changed one entity, when, on what authority, and what were the values before and after (变更日志)?
-- `entity` is a business key, present or former, or an entity_id. A row per event and changed field, in the order of version
-- and of `changed`; an event that changed no field (first report, retraction) has one row with field NULL. before and after
-- are text, whole entries of offers and enrolments JSON. Before is what was known over that interval just before the event,
-- failing that what was known last before the interval; for what reappears after a retraction it is what was retracted.

-- The text at a state path of an event in JSON: status, offers[YRD050101] or offers[YRD050101].capacity.
CREATE MACRO text_at(state, path) AS
CASE
    WHEN NOT contains(path, '[') THEN json_extract_string(state, path)
    ELSE list_filter(
        list_transform(
            json_extract(state, regexp_extract(path, '^\w+'))::JSON[],
            lambda e: CASE
                WHEN json_extract_string(e, 'item_code') <> regexp_extract(path, '\[([^\]]+)\]', 1) THEN NULL
                WHEN ends_with(path, ']') THEN e::VARCHAR
                ELSE json_extract_string(e, regexp_extract(path, '\w+$'))
            END
        ),
        lambda t: t IS NOT NULL
    )[1]
END;

CREATE MACRO change_log(entity) AS TABLE
WITH meant AS (
    SELECT DISTINCT entity_id
    FROM all_facts
    WHERE business_key = entity OR entity_id::VARCHAR = entity
), events AS (
    SELECT * FROM all_facts SEMI JOIN meant USING (entity_id)
), spans AS (
    SELECT *, coalesce(valid_from, '-infinity'::DATE) AS starts, coalesce(valid_to, 'infinity'::DATE) AS ends
    FROM events
), annulled AS (
    SELECT corrects_event_id AS event_id, min(version) AS by_version
    FROM events
    WHERE corrects_event_id IS NOT NULL
    GROUP BY ALL
), earlier AS (
    SELECT e.event_id, p.state
    FROM spans AS e
    JOIN spans AS p ON p.entity_id = e.entity_id AND p.version < e.version
    LEFT JOIN annulled AS a ON a.event_id = p.event_id AND a.by_version < e.version
    WHERE CASE
        WHEN e.operation = 'correct' THEN p.event_id = e.corrects_event_id
        WHEN a.event_id IS NOT NULL OR p.starts > e.starts THEN false
        -- A retraction holds the state it takes away; of the same moment, it is what the reappearing state follows.
        WHEN p.operation = 'retract' THEN p.recorded_at = e.recorded_at
        -- One fact over several segments is several events, all of them compared with what was known before the first.
        ELSE p.ends > e.starts
            OR (p.recorded_at, p.source) <> (e.recorded_at, e.source)
            OR p.stated_to IS DISTINCT FROM e.stated_to
    END
    QUALIFY row_number() OVER (
        PARTITION BY e.event_id
        ORDER BY p.ends > e.starts DESC, CASE WHEN p.ends <= e.starts THEN p.ends END DESC, p.version DESC
    ) = 1
), fields AS (
    SELECT event_id, field, nth
    FROM events
    LEFT JOIN unnest(changed) WITH ORDINALITY AS c(field, nth) ON true
)
SELECT e.kind, e.publisher, e.business_key, e.entity_id, e.version, e.event_type, e.operation,
       f.field, text_at(b.state, f.field) AS before, text_at(e.state, f.field) AS after,
       e.valid_from, e.valid_to, e.recorded_at, e.received_at,
       e.doc_no, e.authority, e.published_on, e.operator, e.source, e.reason, e.event_id, e.corrects_event_id
FROM events AS e
JOIN fields AS f USING (event_id)
LEFT JOIN earlier AS b USING (event_id)
ORDER BY e.kind, e.entity_id, e.version, f.nth;

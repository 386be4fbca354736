-- Imports and heartbeats, newest last.
CREATE VIEW batches AS
SELECT * EXCLUDE (event_hash), event_id AS this_batch_id
FROM batch_history
ORDER BY recorded_at, publisher, position;

-- What each service point offers now and today, one row per offer.
CREATE VIEW offers AS
SELECT entity_id, business_key, publisher, provider_name, site_name, category, division_code, status, valid_from, valid_to, unnest(offers, recursive := true)
FROM supply_current;

-- Every offer ever, one row per offer and segment of the timeline as known now.
CREATE VIEW offers_timeline AS
SELECT entity_id, business_key, publisher, provider_name, site_name, category, division_code, status, valid_from, valid_to, unnest(offers, recursive := true)
FROM supply_timeline;

-- In which schemes each subject is enrolled now and today.
CREATE VIEW enrolments AS
SELECT entity_id, business_key, publisher, subject_token, division_code AS residence_division_code, valid_from, valid_to, unnest(enrolments, recursive := true)
FROM service_object_current;

-- Versions that later ones show must exist and that have not arrived; those skipped with a reason are not waited for.
CREATE VIEW gaps AS
WITH arrived AS (
    SELECT 'service_object' AS kind, publisher, entity_id, version, received_at, topic, partition FROM service_object_history
    UNION ALL
    SELECT 'supply', publisher, entity_id, version, received_at, topic, partition FROM supply_history
    UNION ALL
    SELECT 'standard', publisher, entity_id, version, received_at, topic, partition FROM standard_history
    UNION ALL
    SELECT 'batch', publisher, entity_id, version, received_at, topic, partition FROM batch_history
    UNION ALL
    SELECT 'seal', publisher, entity_id, version, received_at, topic, partition FROM seal_history
    UNION ALL
    SELECT 'member', publisher, entity_id, version, received_at, topic, partition FROM member_history
    UNION ALL
    SELECT 'measure', publisher, entity_id, version, received_at, topic, partition FROM measure_history
    UNION ALL
    SELECT 'grant', publisher, entity_id, version, received_at, topic, partition FROM grant_history
), incomplete AS (
    SELECT kind, entity_id, max(received_at) AS last_received_at
    FROM arrived
    GROUP BY ALL
    HAVING max(version) > count(*)
), neighbours AS (
    SELECT *, lag(version, 1, 0) OVER (PARTITION BY kind, entity_id ORDER BY version) AS previous
    FROM arrived
    JOIN incomplete USING (kind, entity_id)
), missing AS (
    -- Of each gap the first thousand: a version of two thousand million must not fill the memory.
    SELECT kind, publisher, entity_id, topic, partition, last_received_at, unnest(range(previous + 1, least(version::BIGINT, previous + 1001)))::INTEGER AS version
    FROM neighbours
    WHERE version > previous + 1
)
SELECT missing.*
FROM missing
ANTI JOIN skipped_gaps USING (entity_id, version);

-- Personal fields of persons. They are NULL; a query under a grant gets ciphertext in their place, which only the reader's own
-- process opens: a record of one cell, so that comparing it with a text is an error and not an empty answer. Readers cannot call
-- this: it stands in views and questions alone.
CREATE MACRO personal_field(field, publisher, entity_id, event_id, personal) AS
CASE
    WHEN getvariable('granted') AND personal IS NOT NULL
    THEN {'encrypted': encode(concat_ws('|', field, publisher, entity_id, event_id, '')) || personal}
END;

-- Imports and heartbeats, newest last.
CREATE VIEW batches AS
SELECT * EXCLUDE (event_hash), event_id AS this_batch_id
FROM batch_history
ORDER BY recorded_at, publisher, position;

-- Versions that later ones show must exist and that have not arrived; those skipped with a reason are not waited for.
CREATE VIEW gaps AS
WITH arrived AS (
    SELECT kind, publisher, entity_id, version, received_at, topic, partition FROM all_events
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

-- Each publisher's newest seal, what the hub last found of it, and of the newest one that it accepted.
CREATE VIEW seal_status AS
WITH last_verdicts AS (
    SELECT publisher, seal_no, arg_max(v, verdict_no) AS v FROM seal_verdicts AS v GROUP BY ALL
)
SELECT s.publisher,
       s.version AS seal_no,
       s.tree_size,
       s.last_position,
       s.recorded_at AS sealed_at,
       coalesce(l.v.verdict, 'not judged') AS verdict,
       l.v.judged_at AS judged_at,
       l.v.first_bad_position AS first_bad_position,
       l.v.expected AS expected,
       l.v.found AS found,
       l.v.reason AS reason,
       (SELECT max(a.v.tree_size) FROM last_verdicts AS a WHERE a.publisher = s.publisher AND a.v.verdict = 'accepted') AS proved_size,
       (SELECT count(*) FROM leaves AS n WHERE n.publisher = s.publisher AND n.position > s.last_position) AS records_after
FROM seal_history AS s
LEFT JOIN last_verdicts AS l ON l.publisher = s.publisher AND l.seal_no = s.version
QUALIFY row_number() OVER (PARTITION BY s.publisher ORDER BY s.version DESC) = 1
ORDER BY s.publisher;

-- Clocks that disagree: order is by position, never by time, so this changes nothing. stepped_back_s: how far a record's
-- moment lies before that of the record in front of it; ahead_s: how far before it was recorded a record was received.
CREATE VIEW clock_skew AS
WITH moments AS (
    SELECT publisher, position, recorded_at, received_at FROM all_events
), steps AS (
    SELECT publisher,
           position,
           epoch(lag(recorded_at) OVER (PARTITION BY publisher ORDER BY position) - recorded_at) AS back_s,
           epoch(recorded_at - received_at) AS ahead_s
    FROM moments
), judged AS (
    SELECT s.publisher, max(epoch(s.recorded_at - v.judged_at)) AS ahead_s
    FROM seal_history AS s
    JOIN seal_verdicts AS v ON v.publisher = s.publisher AND v.seal_no = s.version
    GROUP BY ALL
)
SELECT publisher,
       max(steps.back_s) AS stepped_back_s,
       arg_max(steps.position, steps.back_s) AS stepped_back_at_position,
       max(steps.ahead_s) AS ahead_of_log_s,
       any_value(judged.ahead_s) AS ahead_of_hub_s
FROM steps
LEFT JOIN judged USING (publisher)
GROUP BY publisher
HAVING max(steps.back_s) > 60 OR max(steps.ahead_s) > 60 OR any_value(judged.ahead_s) > 60
ORDER BY publisher;

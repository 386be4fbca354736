-- How fresh is what each publisher's sources say, and if not, has the source gone silent or had it nothing new (数据新鲜度)?
-- A row per publisher, kind and source. Its last word is its last event or batch record (an import, or a heartbeat that says
-- nothing changed) as recorded by the publisher; last_received_at far behind it means a slow pipeline, not a silent source.
-- verdict: silent (the last word is older than the cadence it declared last), no change (it spoke in time, and its last
-- batch recorded nothing), fresh, or no cadence declared (so it can't be late). Only what was received by `as_of` counts.
CREATE MACRO freshness(as_of) AS TABLE
WITH spoken AS (
    SELECT publisher, kind, source, recorded_at, received_at FROM all_facts
), last_events AS (
    SELECT publisher, kind, source, max(recorded_at) AS last_event_at, max(received_at) AS event_received_at
    FROM spoken
    WHERE received_at <= as_of::TIMESTAMPTZ
    GROUP BY ALL
), last_batches AS (
    SELECT publisher, fact_kind AS kind, source,
           max(recorded_at) AS last_batch_at,
           max(received_at) AS batch_received_at,
           arg_max(events, recorded_at) AS last_batch_events,
           arg_max(expected_every_days, recorded_at) AS expected_every_days
    FROM batch_history
    WHERE received_at <= as_of::TIMESTAMPTZ
    GROUP BY ALL
), words AS (
    SELECT publisher, kind, source, last_event_at, last_batch_at, last_batch_events,
           greatest(last_event_at, last_batch_at) AS last_word_at,
           greatest(event_received_at, batch_received_at) AS last_received_at,
           expected_every_days,
           greatest(last_event_at, last_batch_at) + to_days(expected_every_days) AS due_at
    FROM last_events
    FULL JOIN last_batches USING (publisher, kind, source)
)
SELECT *,
       CASE
           WHEN expected_every_days IS NULL THEN 'no cadence declared'
           WHEN due_at < as_of::TIMESTAMPTZ THEN 'silent'
           WHEN last_batch_events = 0 AND (last_event_at IS NULL OR last_event_at < last_batch_at) THEN 'no change'
           ELSE 'fresh'
       END AS verdict
FROM words
ORDER BY publisher, kind, source;

-- The same, now.
CREATE VIEW freshness_now AS
SELECT * FROM freshness(now());

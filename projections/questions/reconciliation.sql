-- Did everything that an import recorded arrive, and do its own counts add up (对账)?
-- A row per batch. arrived and arrived_xor total the events in the base that name the batch; they are held against what the
-- batch record says was recorded. verdict: balanced; still arriving (fewer events than announced, or the batch record itself
-- is missing); differs (other events than announced, or rows that don't add up: `finding` says which). Rejected facts and
-- rows are counted by the import and stay at the publisher; records held back here are in `quarantine`.
CREATE VIEW reconciliation AS
WITH events AS (
    SELECT publisher, batch_id, event_hash FROM all_facts WHERE batch_id IS NOT NULL
), totals AS (
    SELECT publisher, batch_id, count(*) AS arrived, bit_xor(event_hash) AS arrived_xor
    FROM events
    GROUP BY ALL
), compared AS (
    SELECT coalesce(b.publisher, t.publisher) AS publisher,
           coalesce(b.event_id, t.batch_id) AS batch_id,
           b.source, b.fact_kind, b.profile, b.file_name, b.file_sha256, b.valid_from AS as_of_day, b.recorded_at, b.received_at,
           b.rows_read, b.rows_mapped, b.rows_rejected, b.rows_skipped,
           b.rows_mapped + b.rows_rejected + b.rows_skipped AS rows_accounted_for,
           b.facts_new + b.facts_changed + b.facts_unchanged + b.facts_duplicate + b.facts_rejected AS facts,
           b.facts_new, b.facts_changed, b.facts_unchanged, b.facts_duplicate, b.facts_rejected, b.closed,
           b.events AS announced, coalesce(t.arrived, 0) AS arrived,
           b.events_xor AS announced_xor, coalesce(t.arrived_xor, 0) AS arrived_xor
    FROM batch_history AS b
    FULL JOIN totals AS t ON t.publisher = b.publisher AND t.batch_id = b.event_id
), found AS (
    SELECT *,
           CASE
               WHEN announced IS NULL THEN 'the batch record has not arrived'
               WHEN rows_read <> rows_accounted_for THEN 'rows read are not rows mapped, rejected and skipped'
               WHEN arrived < announced THEN 'events have not arrived'
               WHEN arrived > announced THEN 'more events name the batch than it announced'
               WHEN arrived_xor <> announced_xor THEN 'as many events as announced, but others'
           END AS finding
    FROM compared
)
SELECT *,
       CASE
           WHEN finding IS NULL THEN 'balanced'
           WHEN finding IN ('the batch record has not arrived', 'events have not arrived') THEN 'still arriving'
           ELSE 'differs'
       END AS verdict
FROM found
ORDER BY recorded_at, publisher, batch_id;

-- What is known now and holds today (Asia/Shanghai), per entity of {kind}; closed and repealed entities stay, with their status.
CREATE VIEW {kind}_current AS
SELECT *
FROM {kind}_timeline
WHERE (valid_from IS NULL OR valid_from <= (now() AT TIME ZONE 'Asia/Shanghai')::DATE)
  AND (valid_to IS NULL OR valid_to > (now() AT TIME ZONE 'Asia/Shanghai')::DATE);

-- What the logs held at known_at about the day valid_at. known_at NULL: all that is known, which the timeline has resolved
-- already; there valid_from and valid_to are the segment's, elsewhere what the event itself stated.
-- Of the events known, those annulled by known events are dropped; of the rest covering the day, the highest version wins.
CREATE MACRO {kind}_asof(valid_at, known_at) AS TABLE
SELECT *
FROM {kind}_timeline AS t
WHERE known_at IS NULL
  AND (t.valid_from IS NULL OR t.valid_from <= valid_at::DATE)
  AND (t.valid_to IS NULL OR t.valid_to > valid_at::DATE)
UNION ALL
SELECT h.*
FROM {kind}_history AS h
SEMI JOIN (
    -- Only three narrow columns are read to find the winners; the wide rows are fetched for these alone.
    SELECT entity_id, max(version) AS version
    FROM {kind}_history AS c
    WHERE known_at IS NOT NULL
      AND c.operation <> 'retract'
      AND c.received_at <= known_at::TIMESTAMPTZ
      AND (c.valid_from IS NULL OR c.valid_from <= valid_at::DATE)
      AND (c.valid_to IS NULL OR c.valid_to > valid_at::DATE)
      AND NOT EXISTS (
          SELECT 1
          FROM {kind}_history AS a
          WHERE a.entity_id = c.entity_id
            AND a.corrects_event_id = c.event_id
            AND a.received_at <= known_at::TIMESTAMPTZ
      )
    GROUP BY entity_id
) AS w ON h.entity_id = w.entity_id AND h.version = w.version
WHERE known_at IS NOT NULL;

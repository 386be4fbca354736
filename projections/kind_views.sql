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
SELECT *
FROM (
    SELECT *
    FROM {kind}_history AS h
    WHERE h.operation <> 'retract'
      AND h.received_at <= known_at::TIMESTAMPTZ
      AND (h.valid_from IS NULL OR h.valid_from <= valid_at::DATE)
      AND (h.valid_to IS NULL OR h.valid_to > valid_at::DATE)
      AND NOT EXISTS (
          SELECT 1
          FROM {kind}_history AS a
          WHERE a.entity_id = h.entity_id
            AND a.corrects_event_id = h.event_id
            AND a.received_at <= known_at::TIMESTAMPTZ
      )
    QUALIFY row_number() OVER (PARTITION BY h.entity_id ORDER BY h.version DESC) = 1
)
WHERE known_at IS NOT NULL;

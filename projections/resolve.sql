-- The timelines of the entities in touched_entities, by the read rule: annulled and retracting events dropped, the highest
-- version wins, neighbouring stretches of one event joined. Same rule as repository/decisions/timeline.py, which the tests compare.
WITH counting AS (
    SELECT h.entity_id, h.version, h.event_id,
           coalesce(h.valid_from, '-infinity'::DATE) AS starts,
           coalesce(h.valid_to, 'infinity'::DATE) AS ends
    FROM {kind}_history AS h
    SEMI JOIN touched_entities USING (entity_id)
    WHERE h.operation <> 'retract'
      AND NOT EXISTS (
          SELECT 1 FROM {kind}_history AS a
          WHERE a.entity_id = h.entity_id AND a.corrects_event_id = h.event_id
      )
), cuts AS (
    SELECT entity_id, starts AS cut FROM counting
    UNION
    SELECT entity_id, ends FROM counting
), stretches AS (
    SELECT entity_id, cut AS starts, lead(cut) OVER (PARTITION BY entity_id ORDER BY cut) AS ends
    FROM cuts
), winners AS (
    SELECT s.entity_id, s.starts, s.ends, max(c.version) AS version
    FROM stretches AS s
    JOIN counting AS c ON c.entity_id = s.entity_id AND c.starts <= s.starts AND c.ends > s.starts
    WHERE s.ends IS NOT NULL
    GROUP BY ALL
), borders AS (
    SELECT *, coalesce(lag(ends) OVER w = starts AND lag(version) OVER w = version, false) AS goes_on
    FROM winners
    WINDOW w AS (PARTITION BY entity_id ORDER BY starts)
), runs AS (
    SELECT *, sum(CASE WHEN goes_on THEN 0 ELSE 1 END) OVER (PARTITION BY entity_id ORDER BY starts) AS run
    FROM borders
), segments AS (
    SELECT entity_id, version, min(starts) AS starts, max(ends) AS ends
    FROM runs
    GROUP BY entity_id, version, run
)
INSERT INTO {kind}_timeline BY NAME
SELECT h.* REPLACE (
    CASE WHEN isinf(s.starts) THEN NULL ELSE s.starts END AS valid_from,
    CASE WHEN isinf(s.ends) THEN NULL ELSE s.ends END AS valid_to
)
FROM segments AS s
JOIN {kind}_history AS h ON h.entity_id = s.entity_id AND h.version = s.version

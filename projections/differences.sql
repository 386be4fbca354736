-- Where what was known of {kind} at two moments differs: per entity the stretches of valid time over which another event
-- shows, with both events, whole where both are there. {kind}_earlier and {kind}_later are the timelines as known at the two moments.
WITH segments AS (
    SELECT 1 AS side, entity_id, version,
           coalesce(valid_from, '-infinity'::DATE) AS starts, coalesce(valid_to, 'infinity'::DATE) AS ends
    FROM {kind}_earlier
    UNION ALL
    SELECT 2, entity_id, version, coalesce(valid_from, '-infinity'::DATE), coalesce(valid_to, 'infinity'::DATE)
    FROM {kind}_later
), cuts AS (
    SELECT entity_id, starts AS cut FROM segments
    UNION
    SELECT entity_id, ends FROM segments
), stretches AS (
    SELECT entity_id, cut AS starts, lead(cut) OVER (PARTITION BY entity_id ORDER BY cut) AS ends
    FROM cuts
), shown AS (
    SELECT s.entity_id, s.starts, s.ends,
           max(g.version) FILTER (g.side = 1) AS earlier, max(g.version) FILTER (g.side = 2) AS later
    FROM stretches AS s
    JOIN segments AS g ON g.entity_id = s.entity_id AND g.starts <= s.starts AND g.ends > s.starts
    WHERE s.ends IS NOT NULL
    GROUP BY ALL
), differing AS (
    SELECT *,
           coalesce(lag(ends) OVER w = starts AND lag(earlier) OVER w IS NOT DISTINCT FROM earlier
               AND lag(later) OVER w IS NOT DISTINCT FROM later, false) AS goes_on
    FROM shown
    WHERE earlier IS DISTINCT FROM later
    WINDOW w AS (PARTITION BY entity_id ORDER BY starts)
), runs AS (
    SELECT *, sum(CASE WHEN goes_on THEN 0 ELSE 1 END) OVER (PARTITION BY entity_id ORDER BY starts) AS run
    FROM differing
), joined AS (
    SELECT entity_id, earlier, later, min(starts) AS starts, max(ends) AS ends
    FROM runs
    GROUP BY entity_id, earlier, later, run
)
SELECT CASE WHEN isinf(j.starts) THEN NULL ELSE j.starts END AS valid_from,
       CASE WHEN isinf(j.ends) THEN NULL ELSE j.ends END AS valid_to,
       coalesce(l.publisher, e.publisher) AS publisher,
       coalesce(l.business_key, e.business_key) AS business_key,
       j.entity_id::VARCHAR AS entity_id,
       e.event_id::VARCHAR AS event_before,
       l.event_id::VARCHAR AS event_after,
       -- Whole rows only where there are fields to compare: they are dear to hand over.
       CASE WHEN e.version IS NOT NULL AND l.version IS NOT NULL THEN e END AS before,
       CASE WHEN e.version IS NOT NULL AND l.version IS NOT NULL THEN l END AS after
FROM joined AS j
LEFT JOIN {kind}_history AS e ON e.entity_id = j.entity_id AND e.version = j.earlier
LEFT JOIN {kind}_history AS l ON l.entity_id = j.entity_id AND l.version = j.later
WHERE $1::DATE IS NULL OR (j.starts <= $1::DATE AND j.ends > $1::DATE)
ORDER BY 3, 4, j.starts

-- What a complete dump no longer lists: what closures.py runs, by name. kind: the kind of facts; still: the field of the kind
-- that a source implies by listing an entity.

-- name: listed_keys
-- Keys are compared by hash, as the comparison of facts is; a former key counts as listed.
CREATE OR REPLACE TEMP TABLE listed_keys AS
SELECT key_hash FROM mentioned
UNION
SELECT former_hash FROM mentioned WHERE former_hash IS NOT NULL

-- name: listed_before
CREATE OR REPLACE TEMP TABLE listed_before AS
SELECT t.entity_id, t.business_key
FROM {kind}_timeline AS t
JOIN batch_history AS b ON b.event_id = t.batch_id
WHERE t.source = $source AND b.scope IS NOT DISTINCT FROM $scope AND t.{still} = $value
  AND (t.valid_from IS NULL OR t.valid_from <= $as_of) AND (t.valid_to IS NULL OR t.valid_to > $as_of)

-- name: listed_number
SELECT count(*) FROM listed_before

-- name: absent
-- A renamed entity is present under any of its keys; only the few that seem absent are looked up by all of them.
SELECT entity_id, business_key
FROM listed_before AS l
WHERE hash(business_key) NOT IN (SELECT key_hash FROM listed_keys)
  AND NOT EXISTS (
      SELECT 1
      FROM {kind}_history AS h
      JOIN listed_keys AS m ON m.key_hash = hash(h.business_key)
      WHERE h.entity_id = l.entity_id
  )
  AND NOT list_contains($rejected, business_key)
ORDER BY business_key

-- name: newest
SELECT max(valid_from)
FROM batch_history
WHERE source = $source AND scope IS NOT DISTINCT FROM $scope AND completeness = 'complete'

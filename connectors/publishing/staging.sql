-- A dump's facts in temporary tables of the connection to what is known: what staging.py runs, by name.
-- kind: the kind of facts; cells: columns of the dump's state paths; said: what a fact says, as one list of expressions.

-- name: staged
-- Facts that have to be decided on, whole.
CREATE OR REPLACE TEMP TABLE staged (
    fact_no BIGINT, record BIGINT, business_key VARCHAR, previous_key VARCHAR, valid_from DATE, stated_to DATE,
    doc_no VARCHAR, authority VARCHAR, published_on DATE, reason VARCHAR, flags VARCHAR[]{cells}
)

-- name: mentioned
-- Every fact of the dump as hashes: of its key, and of what it says.
CREATE OR REPLACE TEMP TABLE mentioned (
    fact_no BIGINT, chunk_no INTEGER, record BIGINT, key_hash UBIGINT, former_hash UBIGINT, valid_from DATE, said UBIGINT,
    shown BOOLEAN
)

-- name: nothing_gone
CREATE OR REPLACE TEMP TABLE gone (fact_no BIGINT)

-- name: personal_digests
CREATE OR REPLACE TEMP TABLE personal_digests AS SELECT event_id::UUID AS event_id, digest FROM known_digests

-- name: shown
-- Hashes of every segment of the timeline, of what a fact of this dump would say to be the same. Several digests of one event
-- are several ways of saying the same. A segment that ends where no other begins leaves room behind it, which only the entity's
-- own decision fills.
CREATE OR REPLACE TEMP TABLE shown AS
WITH said AS NOT MATERIALIZED (
    SELECT entity_id, hash(business_key) AS key_hash, hash({said}) AS said, valid_from AS starts, valid_to AS ends
    FROM (SELECT *{entries} FROM {kind}_timeline AS t {digests})
)
SELECT key_hash, said, starts, ends, true AS goes_on
FROM said
WHERE ends IS NULL
UNION ALL
SELECT key_hash, said, starts, ends,
       EXISTS (SELECT 1 FROM {kind}_timeline AS n WHERE n.entity_id = s.entity_id AND n.valid_from = s.ends)
FROM said AS s
WHERE ends IS NOT NULL

-- name: hashed
CREATE OR REPLACE TEMP TABLE hashed AS
SELECT fact_no, record, hash(business_key) AS key_hash, hash(previous_key) AS former_hash, valid_from, stated_to,
       previous_key IS NULL AS keeps_key, hash({said}) AS said
FROM chunk

-- name: known_facts
CREATE OR REPLACE TEMP TABLE known_facts AS
SELECT DISTINCT f.fact_no
FROM hashed AS f
JOIN shown AS t ON t.key_hash = f.key_hash AND t.said = f.said
WHERE f.keeps_key
  AND (t.starts IS NULL OR t.starts <= f.valid_from)
  AND (f.valid_from IS NOT NULL OR t.starts IS NULL)
  AND (t.ends IS NULL OR f.valid_from IS NULL OR t.ends > f.valid_from)
  AND (t.ends >= f.stated_to OR (f.stated_to IS NULL AND t.goes_on))

-- name: mention
INSERT INTO mentioned
SELECT fact_no, $chunk_no, record, key_hash, CASE WHEN NOT keeps_key THEN former_hash END, valid_from, said,
       fact_no IN (SELECT fact_no FROM known_facts)
FROM hashed

-- name: known_number
SELECT count(*) FROM known_facts

-- name: stage
INSERT INTO staged SELECT * FROM chunk ANTI JOIN known_facts USING (fact_no)

-- name: torn
-- Known facts of entities of which the dump says something new besides, or which others have changed since.
CREATE OR REPLACE TEMP TABLE torn AS
WITH changed AS (
    SELECT DISTINCT entity_id FROM {kind}_history WHERE position > $since
), open AS (
    SELECT key_hash FROM mentioned WHERE NOT shown
    UNION
    SELECT hash(business_key) FROM {kind}_history SEMI JOIN changed USING (entity_id)
    UNION
    SELECT hash(business_key) FROM moved SEMI JOIN changed USING (entity_id)
)
SELECT fact_no, chunk_no FROM mentioned SEMI JOIN open USING (key_hash) WHERE shown

-- name: not_shown
UPDATE mentioned SET shown = false WHERE fact_no IN (SELECT fact_no FROM torn)

-- name: torn_chunks
SELECT DISTINCT chunk_no FROM torn

-- name: stage_torn
INSERT INTO staged SELECT * FROM chunk SEMI JOIN torn USING (fact_no) ANTI JOIN gone USING (fact_no)

-- name: twice
CREATE OR REPLACE TEMP TABLE twice AS
SELECT key_hash, valid_from, min(fact_no) AS first, count(DISTINCT said) AS versions
FROM mentioned
GROUP BY ALL
HAVING count(*) > 1

-- name: gone
-- Of what is said twice alike, all but the first; of a contradiction, all sides.
CREATE OR REPLACE TEMP TABLE gone AS
SELECT m.fact_no, m.record, m.key_hash, m.valid_from, versions
FROM mentioned AS m
JOIN twice AS t ON m.key_hash = t.key_hash AND m.valid_from IS NOT DISTINCT FROM t.valid_from
WHERE versions > 1 OR m.fact_no <> first

-- name: conflicts
SELECT list(g.record ORDER BY g.record), any_value(s.business_key)
FROM gone AS g
LEFT JOIN staged AS s USING (fact_no)
WHERE g.versions > 1
GROUP BY g.key_hash, g.valid_from
ORDER BY min(g.record)

-- name: repetitions
SELECT count(*) FROM gone WHERE versions = 1

-- name: unstage
DELETE FROM staged WHERE fact_no IN (SELECT fact_no FROM gone)

-- name: unchanged
SELECT count(*) FROM mentioned ANTI JOIN gone USING (fact_no) WHERE shown

-- name: moved
CREATE OR REPLACE TEMP TABLE moved AS SELECT business_key, entity_id::UUID AS entity_id FROM moved_texts

-- name: keys_stating
SELECT DISTINCT business_key FROM staged SEMI JOIN wanted ON wanted.value = staged."{path}"

-- name: plainly_new
CREATE OR REPLACE TEMP TABLE plainly_new AS
SELECT business_key
FROM staged
ANTI JOIN {kind}_history USING (business_key)
ANTI JOIN known_otherwise USING (business_key)
GROUP BY business_key
HAVING count(*) = 1 AND count(previous_key) = 0

-- name: new
SELECT staged.* EXCLUDE (fact_no) FROM staged SEMI JOIN plainly_new USING (business_key)

-- name: take_new
DELETE FROM staged WHERE business_key IN (SELECT business_key FROM plainly_new)

-- name: successors
SELECT * FROM staged WHERE previous_key IS NOT NULL ORDER BY valid_from NULLS FIRST, record

-- name: rest
SELECT * FROM staged ORDER BY business_key, valid_from NULLS FIRST, record

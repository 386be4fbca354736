-- Tables that are not laid out from a contract. No primary keys and no secondary indexes: upserts through one were
-- measured 10 to 16 times slower, and the projector writes each row once.

CREATE TABLE layout (version INTEGER);

-- How far each partition was projected, in the transaction of its rows.
CREATE TABLE checkpoints (
    topic VARCHAR,
    partition INTEGER,
    next_offset BIGINT,
    last_position BIGINT,
    last_body_hash BIGINT,
    last_received_at TIMESTAMPTZ,
    log_id VARCHAR
);

-- One row per commit of the projector: the positions it had reached. Noted besides in a file that outlives a rebuild.
CREATE TABLE commits (
    commit_no BIGINT,
    committed_at TIMESTAMPTZ,
    positions STRUCT(topic VARCHAR, partition INTEGER, next_offset BIGINT)[]
);

-- What was published by files before this one, and what by this one: "what did the base show at T".
CREATE TABLE earlier_publications (base VARCHAR, commit_no BIGINT, committed_at TIMESTAMPTZ, positions VARCHAR);
CREATE VIEW publications AS
SELECT base, commit_no, committed_at, positions FROM earlier_publications
UNION ALL BY NAME
SELECT 'this' AS base, commit_no, committed_at, to_json(positions)::VARCHAR AS positions FROM commits
ORDER BY committed_at, commit_no;

-- Records that could not be applied, with their bytes and the reason. state: held, applied (after a retry), skipped.
CREATE TABLE quarantine (
    quarantine_no BIGINT,
    topic VARCHAR,
    partition INTEGER,
    log_offset BIGINT,
    position BIGINT,
    entity_id VARCHAR,
    event_type VARCHAR,
    value BLOB,
    received_at TIMESTAMPTZ,
    reason VARCHAR,
    state VARCHAR,
    note VARCHAR
);

-- Records that arrived again unchanged: how many per batch, under the place of the first of them.
CREATE TABLE duplicates (topic VARCHAR, partition INTEGER, records BIGINT);

-- Missing versions that somebody decided not to wait for, and why.
CREATE TABLE skipped_gaps (entity_id UUID, version INTEGER, note VARCHAR);

-- The leaves of the publishers' Merkle trees: the hash of every record that was read, applied or not, at its place in its
-- log. leaf is SHA-256 with the leaf's prefix (RFC 9162, section 2.1.1); leaf_sm3 the same in SM3, where it is asked for.
CREATE TABLE leaves (
    publisher VARCHAR,
    position BIGINT,
    kind VARCHAR,
    topic VARCHAR,
    partition INTEGER,
    log_offset BIGINT,
    leaf BLOB,
    leaf_sm3 BLOB
);

-- Other records that were read at the place of a leaf: proof by itself that the log was altered.
CREATE TABLE leaf_conflicts AS FROM leaves;

-- Up to which size the leaves of this base were held against the hub's own tree.
CREATE TABLE proved (publisher VARCHAR, algorithm VARCHAR, size BIGINT, last_position BIGINT);

-- What the hub found of each seal, and when; a further finding is a further row. Kept in a file that outlives a rebuild.
CREATE TABLE seal_verdicts (
    verdict_no BIGINT,
    publisher VARCHAR,
    seal_no BIGINT,
    tree_size BIGINT,
    last_position BIGINT,
    verdict VARCHAR,
    judged_at TIMESTAMPTZ,
    first_bad_position BIGINT,
    last_bad_position BIGINT,
    expected VARCHAR,
    found VARCHAR,
    reason VARCHAR
);

-- Accepted seals with the hub's countersignature and its moment. Kept in the same file.
CREATE TABLE countersigned_seals (
    publisher VARCHAR, seal_no BIGINT, tree_size BIGINT, last_position BIGINT, signed_at TIMESTAMPTZ, note VARCHAR, marks BLOB
);

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
    SELECT publisher, position, recorded_at, received_at FROM service_object_history
    UNION ALL
    SELECT publisher, position, recorded_at, received_at FROM supply_history
    UNION ALL
    SELECT publisher, position, recorded_at, received_at FROM standard_history
    UNION ALL
    SELECT publisher, position, recorded_at, received_at FROM batch_history
    UNION ALL
    SELECT publisher, position, recorded_at, received_at FROM seal_history
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
-- What holds for subjects about whom something was decided, and who may see personal fields: the newest record of each stream
-- that the logs hold, also where this file has not reached it yet. Taken over before the first read, see projections/measures.py.
CREATE TABLE subject_measures (
    publisher VARCHAR,
    subject_id UUID,
    measure VARCHAR,
    version INTEGER,
    in_force BOOLEAN,
    erased_to INTEGER
);
CREATE TABLE grants (
    publisher VARCHAR,
    grant_name VARCHAR,
    version INTEGER,
    in_force BOOLEAN,
    grantee VARCHAR,
    purpose VARCHAR,
    field_groups VARCHAR[],
    expires_at TIMESTAMPTZ
);

-- Pseudonym and personal fields of subjects whose processing is restricted: stored here and used nowhere; readers may not ask it.
CREATE TABLE set_aside (event_id UUID, entity_id UUID, version INTEGER, business_key VARCHAR, subject_token VARCHAR, personal BLOB);

-- Erased values that may still stand in freed blocks of this file, until they are overwritten.
CREATE TABLE unscrubbed (since_commit BIGINT);

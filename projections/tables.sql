-- Tables that are not laid out from a contract. No primary keys and no secondary indexes: upserts through one were
-- measured 10 to 16 times slower, and the projector writes each row once.

-- What this file was laid out by: a checksum over contracts and SQL. A file of another layout is made anew from the log.
CREATE TABLE layout (checksum VARCHAR);

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

-- What leads to persons whose processing is restricted: key, pseudonym, other fields that identify (as JSON) and personal fields.
-- Stored here and used nowhere; readers may not ask it.
CREATE TABLE set_aside (
    kind VARCHAR, event_id UUID, entity_id UUID, version INTEGER, business_key VARCHAR, token VARCHAR, others VARCHAR, personal BLOB
);

-- Erased values that may still stand in freed blocks of this file, until they are overwritten.
CREATE TABLE unscrubbed (since_commit BIGINT);

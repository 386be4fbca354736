-- Tables that are not laid out from a contract. No primary keys and no secondary indexes: upserts through one were
-- measured 10 to 16 times slower, and the projector writes each row once.

CREATE TABLE layout (version INTEGER);

-- How far each partition was projected, in the transaction of its rows.
CREATE TABLE checkpoints (
    topic VARCHAR,
    partition INTEGER,
    next_offset BIGINT,
    last_position BIGINT,
    last_event_id UUID,
    last_event_hash BIGINT,
    last_received_at TIMESTAMPTZ
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

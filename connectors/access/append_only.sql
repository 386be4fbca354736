-- The access log is append-only. A record may only be replaced by its purge mark (C300 and its leaf hash), by a purge that
-- noted the mark first. Who can write the file can also drop these triggers; that the log was altered then shows in its seals.
CREATE TABLE IF NOT EXISTS purge_marks (position INTEGER PRIMARY KEY, mark BLOB NOT NULL);

CREATE TRIGGER IF NOT EXISTS record_kept BEFORE DELETE ON stored_events
BEGIN
    SELECT raise(ABORT, 'The access log is append-only; records past their retention go with `yrd access purge`.');
END;

-- REPLACE deletes without the trigger above, so it is met before it begins.
CREATE TRIGGER IF NOT EXISTS record_not_replaced BEFORE INSERT ON stored_events
WHEN EXISTS (
    SELECT 1 FROM stored_events
    WHERE (originator_id = NEW.originator_id AND originator_version = NEW.originator_version) OR rowid = NEW.rowid
)
BEGIN
    SELECT raise(ABORT, 'The access log is append-only; records past their retention go with `yrd access purge`.');
END;

CREATE TRIGGER IF NOT EXISTS record_unchanged BEFORE UPDATE ON stored_events
WHEN NEW.rowid IS NOT OLD.rowid
    OR NEW.originator_id IS NOT OLD.originator_id
    OR NEW.originator_version IS NOT OLD.originator_version
    OR NEW.topic IS NOT OLD.topic
    OR NEW.state IS NOT (SELECT mark FROM purge_marks WHERE position = OLD.rowid)
BEGIN
    SELECT raise(ABORT, 'The access log is append-only; records past their retention go with `yrd access purge`.');
END;

CREATE TRIGGER IF NOT EXISTS mark_unchanged BEFORE UPDATE ON purge_marks
BEGIN
    SELECT raise(ABORT, 'A purge mark stays.');
END;

CREATE TRIGGER IF NOT EXISTS mark_kept BEFORE DELETE ON purge_marks
BEGIN
    SELECT raise(ABORT, 'A purge mark stays.');
END;

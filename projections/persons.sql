-- Personal fields of persons. They are NULL; a query under a grant gets ciphertext in their place, which only the reader's own
-- process opens: a record of one cell, so that comparing it with a text is an error and not an empty answer. Readers cannot call
-- this: it stands in views and questions alone.
CREATE MACRO personal_field(field, publisher, entity_id, event_id, personal) AS
CASE
    WHEN getvariable('granted') AND personal IS NOT NULL
    THEN {'sealed': encode(concat_ws('|', field, publisher, entity_id, event_id, '')) || personal}
END;

-- Persons as known now and today, one row each.
CREATE VIEW persons_current AS
SELECT entity_id, publisher, subject_token, status, division_code, enrolments, valid_from, valid_to,
       {personal_fields}
FROM service_object_current
WHERE subject_type = 'person';

-- Persons as the logs held them at known_at about the day valid_at.
CREATE MACRO persons_asof(valid_at, known_at) AS TABLE
SELECT entity_id, publisher, subject_token, status, division_code, enrolments, valid_from, valid_to,
       {personal_fields}
FROM service_object_asof(valid_at, known_at)
WHERE subject_type = 'person';

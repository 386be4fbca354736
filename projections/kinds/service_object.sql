-- In which schemes each subject is enrolled now and today.
CREATE VIEW enrolments AS
SELECT entity_id, business_key, publisher, subject_token, division_code AS residence_division_code, valid_from, valid_to, unnest(enrolments, recursive := true)
FROM service_object_current;

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

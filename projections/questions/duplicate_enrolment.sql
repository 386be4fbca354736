-- Who is enrolled with two publishers at once in schemes that exclude each other, on a day (重复参保)?
-- A row per pair: the same subject_token, enrolled at two publishers in the same item, or in two items of the basic medical
-- insurance (NBPS0411, 职工 and 城乡居民) or of the basic old-age pension (NBPS0514). overlap_from and overlap_to bound the
-- stretch over which both states are known unchanged (half-open, NULL: not stated), so the overlap itself may be longer.
-- A token is personal information; matching rests on it alone. name and phone are NULL but under a grant of the publisher.
CREATE MACRO duplicate_enrolment(on_date, known_at := NULL) AS TABLE
WITH listed AS (
    SELECT subject_token, publisher, valid_from, valid_to, event_id, unnest(enrolments) AS e,
           personal_field('name', publisher, entity_id, event_id, personal) AS name,
           personal_field('phone', publisher, entity_id, event_id, personal) AS phone
    FROM service_object_asof(on_date, known_at)
    WHERE subject_type = 'person' AND status = 'active' AND subject_token IS NOT NULL
), enrolled AS (
    SELECT * EXCLUDE (e), e.item_code, e.division_code, e.scheme,
           CASE WHEN left(e.item_code, 8) IN ('NBPS0411', 'NBPS0514') THEN left(e.item_code, 8) ELSE e.item_code END AS fund
    FROM listed
)
SELECT a.subject_token, a.fund,
       a.publisher AS publisher_a, a.item_code AS item_code_a, a.division_code AS division_code_a, a.scheme AS scheme_a,
       b.publisher AS publisher_b, b.item_code AS item_code_b, b.division_code AS division_code_b, b.scheme AS scheme_b,
       greatest(a.valid_from, b.valid_from) AS overlap_from,
       least(a.valid_to, b.valid_to) AS overlap_to,
       a.event_id AS event_id_a, b.event_id AS event_id_b,
       a.name AS name_a, a.phone AS phone_a, b.name AS name_b, b.phone AS phone_b
FROM enrolled AS a
JOIN enrolled AS b ON b.subject_token = a.subject_token AND b.fund = a.fund AND b.publisher > a.publisher
ORDER BY a.subject_token, a.fund, publisher_a, publisher_b;

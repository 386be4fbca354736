-- Which double enrolments have lasted more than so many months by a day, and which of the two would end (长期重复参保)?
-- `months` is a whole number. A row per pair of duplicate_enrolment whose known overlap began at least that long before the day.
-- ends_publisher is a proposal, not a decision: the scheme of residents (城乡居民) gives way to that of employees (职工); of two of
-- the same kind the one that began earlier does, since the later report is where the person lives or works now; of two that began
-- on one day none. name and phone are NULL but under a grant of the publisher.
CREATE MACRO duplicate_enrolment_lasting(on_date, months, known_at := NULL) AS TABLE
WITH overlapping AS (
    SELECT d.*, datediff('month', overlap_from, on_date::DATE)
                    - CASE WHEN day(overlap_from) > day(on_date::DATE) THEN 1 ELSE 0 END AS lasted_months,
           a.valid_from AS from_a, b.valid_from AS from_b
    FROM duplicate_enrolment(on_date, known_at) AS d
    JOIN service_object_history AS a ON a.event_id = d.event_id_a
    JOIN service_object_history AS b ON b.event_id = d.event_id_b
), proposed AS (
    SELECT *,
           CASE
               WHEN item_code_a IN ('NBPS041102', 'NBPS051402') AND item_code_b IN ('NBPS041101', 'NBPS051401') THEN 'a'
               WHEN item_code_b IN ('NBPS041102', 'NBPS051402') AND item_code_a IN ('NBPS041101', 'NBPS051401') THEN 'b'
               WHEN from_a < from_b THEN 'a'
               WHEN from_b < from_a THEN 'b'
           END AS side
    FROM overlapping
)
SELECT subject_token, fund, lasted_months, overlap_from, publisher_a, item_code_a, publisher_b, item_code_b,
       CASE side WHEN 'a' THEN publisher_a WHEN 'b' THEN publisher_b END AS ends_publisher,
       CASE
           WHEN side IS NULL THEN 'both began on one day; ask the person'
           WHEN item_code_a <> item_code_b THEN 'the scheme of employees goes before that of residents'
           ELSE 'the other began later'
       END AS why,
       name_a, phone_a, name_b, phone_b, event_id_a, event_id_b
FROM proposed
WHERE lasted_months >= months
ORDER BY lasted_months DESC, subject_token, publisher_a, publisher_b;

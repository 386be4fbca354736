-- Which facts that hold today did an import doubt, and why (存疑事实)?
-- A row per fact and flag. A flag never removes a fact, so these are in every other answer too.
CREATE VIEW flagged AS
WITH doubted AS (
    SELECT kind, flags, publisher, business_key, division_code, status, source, valid_from, valid_to, batch_id, event_id
    FROM all_current
)
SELECT unnest(flags) AS flag, * EXCLUDE (flags)
FROM doubted
WHERE len(flags) > 0
ORDER BY flag, kind, publisher, business_key;

-- What each service point offers now and today, one row per offer.
CREATE VIEW offers AS
SELECT entity_id, business_key, publisher, provider_name, site_name, category, division_code, status, valid_from, valid_to, unnest(offers, recursive := true)
FROM supply_current;

-- Every offer ever, one row per offer and segment of the timeline as known now.
CREATE VIEW offers_timeline AS
SELECT entity_id, business_key, publisher, provider_name, site_name, category, division_code, status, valid_from, valid_to, unnest(offers, recursive := true)
FROM supply_timeline;

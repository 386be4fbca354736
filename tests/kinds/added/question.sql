-- Which vouchers hold on a day, and up to which sum?
-- A row per voucher.
CREATE MACRO vouchers_on(on_date) AS TABLE
SELECT publisher, division_code, cap, status
FROM care_voucher_asof(on_date, NULL)
ORDER BY ALL;

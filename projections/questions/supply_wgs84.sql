-- Where does each service point stand in WGS-84, whatever datum its source uses (坐标统一到 WGS-84)?
-- The source's own coordinates stand beside; where their datum isn't stated nothing is converted and wgs84 is NULL.
-- GCJ-02 and BD-09 are obfuscations whose inverses aren't published; these are the widely known formulas on the Krasovsky
-- ellipsoid of 1940, the inverse of GCJ-02 by two steps of fixed-point iteration. In the region they give back a point that
-- the forward formulas moved to within 0.1 m from GCJ-02 and 1 m from BD-09. How far those formulas are from the official,
-- secret ones isn't known: some metres are said. Good enough for a map, not for surveying.

CREATE MACRO bd09_radius(lng, lat) AS
sqrt((lng - 0.0065) ^ 2 + (lat - 0.006) ^ 2) - 0.00002 * sin((lat - 0.006) * pi() * 3000 / 180);

CREATE MACRO bd09_angle(lng, lat) AS
atan2(lat - 0.006, lng - 0.0065) - 0.000003 * cos((lng - 0.0065) * pi() * 3000 / 180);

CREATE MACRO bd09_to_gcj02_lng(lng, lat) AS bd09_radius(lng, lat) * cos(bd09_angle(lng, lat));

CREATE MACRO bd09_to_gcj02_lat(lng, lat) AS bd09_radius(lng, lat) * sin(bd09_angle(lng, lat));

-- What the obfuscation adds to a WGS-84 coordinate, in degrees; x and y count from 105 E, 35 N.
CREATE MACRO gcj02_metres_east(x, y) AS
300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * sqrt(abs(x))
+ (20 * sin(6 * x * pi()) + 20 * sin(2 * x * pi())
   + 20 * sin(x * pi()) + 40 * sin(x / 3 * pi())
   + 150 * sin(x / 12 * pi()) + 300 * sin(x / 30 * pi())) * 2 / 3;

CREATE MACRO gcj02_metres_north(x, y) AS
-100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * sqrt(abs(x))
+ (20 * sin(6 * x * pi()) + 20 * sin(2 * x * pi())
   + 20 * sin(y * pi()) + 40 * sin(y / 3 * pi())
   + 160 * sin(y / 12 * pi()) + 320 * sin(y / 30 * pi())) * 2 / 3;

-- 6378245 m is the semi-major axis, 0.00669342162296594323 the squared eccentricity of the ellipsoid.
CREATE MACRO gcj02_flattening(lat) AS 1 - 0.00669342162296594323 * sin(radians(lat)) ^ 2;

CREATE MACRO gcj02_offset_lng(lng, lat) AS
degrees(gcj02_metres_east(lng - 105, lat - 35) / (6378245.0 / sqrt(gcj02_flattening(lat)) * cos(radians(lat))));

CREATE MACRO gcj02_offset_lat(lng, lat) AS
degrees(
    gcj02_metres_north(lng - 105, lat - 35)
    / (6378245.0 * (1 - 0.00669342162296594323) / (gcj02_flattening(lat) * sqrt(gcj02_flattening(lat))))
);

CREATE MACRO gcj02_to_wgs84_lng(lng, lat) AS
lng - gcj02_offset_lng(lng - gcj02_offset_lng(lng, lat), lat - gcj02_offset_lat(lng, lat));

CREATE MACRO gcj02_to_wgs84_lat(lng, lat) AS
lat - gcj02_offset_lat(lng - gcj02_offset_lng(lng, lat), lat - gcj02_offset_lat(lng, lat));

CREATE VIEW supply_wgs84 AS
WITH gcj02 AS (
    SELECT event_id,
           CASE coordinate_system WHEN 'GCJ-02' THEN longitude WHEN 'BD-09' THEN bd09_to_gcj02_lng(longitude, latitude) END AS lng,
           CASE coordinate_system WHEN 'GCJ-02' THEN latitude WHEN 'BD-09' THEN bd09_to_gcj02_lat(longitude, latitude) END AS lat
    FROM supply_current
    WHERE coordinate_system IN ('GCJ-02', 'BD-09') AND longitude IS NOT NULL
), wgs84 AS (
    SELECT event_id, gcj02_to_wgs84_lng(lng, lat) AS longitude, gcj02_to_wgs84_lat(lng, lat) AS latitude
    FROM gcj02
)
SELECT s.entity_id, s.business_key, s.publisher, s.provider_name, s.site_name, s.category, s.division_code, s.address, s.status,
       CASE s.coordinate_system WHEN 'WGS-84' THEN s.longitude ELSE w.longitude END AS longitude_wgs84,
       CASE s.coordinate_system WHEN 'WGS-84' THEN s.latitude ELSE w.latitude END AS latitude_wgs84,
       s.longitude, s.latitude, s.coordinate_system, s.valid_from, s.valid_to
FROM supply_current AS s
LEFT JOIN wgs84 AS w USING (event_id);

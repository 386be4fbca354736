"""A small base for tests of what readers may ask."""

HOMES = """
    CREATE TABLE homes (code VARCHAR, name VARCHAR, beds INTEGER, opened DATE, tags VARCHAR[], place STRUCT(city VARCHAR));
    INSERT INTO homes VALUES ('a', '静安养老院', 10, '2020-01-01', ['x'], {'city': '上海'}), ('b', '吴中', 20, NULL, [], NULL);
    CREATE TABLE facts (code VARCHAR, body JSON, offers STRUCT(item VARCHAR, capacity INTEGER)[]);
    CREATE SEQUENCE counter;
    CREATE VIEW large AS SELECT * FROM homes WHERE beds > 15;
    CREATE MACRO homes_asof(day) AS TABLE SELECT * FROM homes WHERE opened <= day;
    CREATE MACRO fee(beds) AS beds * 2;
    CREATE MACRO occupied() AS TABLE SELECT * FROM homes;
"""

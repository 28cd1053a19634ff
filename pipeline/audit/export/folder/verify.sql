-- Check the rows of this export with DuckDB alone. Start DuckDB in this folder:
--
--     duckdb < verify.sql
--
-- The last statement returns the faults, one a row; no rows: nothing was found.
--
-- Finds: a row whose meta, payload or salt is not what its commitment in proofs/ was made of; rows that lack a
-- proof, proofs that lack their row; rows that stand twice; typed columns that differ from the record.
-- Cannot see: whether the commitments in proofs/ are those that were sealed. verify_export.py follows them to the
-- signed checkpoint. The hash chain (column h) cannot be followed here, since rows between these were not
-- exported: the Merkle trees take its place.

CREATE OR REPLACE TEMP VIEW proved AS
SELECT regexp_extract(filename, '([^/\\]+)[.]ndjson[.]gz$', 1) AS log, "offset", item, c
FROM read_json('proofs/*.ndjson.gz', filename = true, format = 'newline_delimited', maximum_object_size = 67108864,
    columns = {"offset": 'BIGINT', item: 'INTEGER', c: 'VARCHAR'})
WHERE "offset" IS NOT NULL;

CREATE OR REPLACE TEMP VIEW stored AS
/* ROWS */;

--     cp = SHA-256(salt_p ‖ payload)      c = SHA-256(SHA-256(salt_m ‖ meta) ‖ cp)
CREATE OR REPLACE TEMP VIEW recomputed AS
SELECT regexp_extract(filename, '([^/\\]+)[.]parquet$', 1) AS log, "offset", item, columns_differ,
    CASE
        WHEN meta IS NULL THEN lower(hex(c))
        WHEN payload IS NULL THEN sha256(unhex(sha256(salt_m || encode(meta))) || cp)
        ELSE sha256(unhex(sha256(salt_m || encode(meta))) || unhex(sha256(salt_p || encode(payload))))
    END AS c
FROM stored;

SELECT coalesce(r.log, p.log) AS log, coalesce(r."offset", p."offset") AS "offset", coalesce(r.item, p.item) AS item,
    CASE
        WHEN p.log IS NULL THEN 'the row has no proof'
        WHEN r.log IS NULL THEN 'the proof has no row'
        WHEN r.c IS DISTINCT FROM p.c THEN 'the row is not the one that its proof is of'
        WHEN r.columns_differ THEN 'a typed column differs from the record'
        ELSE 'the row stands more than once'
    END AS fault
FROM (FROM recomputed SELECT *, count(*) OVER (PARTITION BY log, "offset", item) AS times) AS r
FULL JOIN proved AS p ON p.log = r.log AND p."offset" = r."offset" AND p.item = r.item
WHERE r.c IS DISTINCT FROM p.c OR r.columns_differ OR r.log IS NULL OR p.log IS NULL OR r.times > 1
ORDER BY ALL;

-- Verify an auditfuse store with DuckDB alone. No auditfuse, no key, nothing but the files.
--
--     duckdb -cmd "SET VARIABLE store = '/var/lib/auditfuse/store'" < verify.sql
--
-- or in Python:  c = duckdb.connect(); c.execute("SET VARIABLE store = '…'"); c.execute(open("verify.sql").read())
--
-- The last statement returns the faults, one a row; no rows: nothing was found. What the store's files are and
-- how rows are hashed is in store-format.md.
--
-- Finds: rows whose meta, payload, salts, hash or position were edited; rows deleted, inserted, moved, swapped or
-- repeated; values nulled where nothing was erased; typed columns that differ from the record; segments missing,
-- swapped, cut or out of place; log entries edited, missing or renumbered.
-- One changed row can show twice: where it is, and where the next row does not follow from it.
-- A file that is no longer readable as Parquet, and a `meta` that is not JSON, end the script with an error that
-- names it: that is a finding too.
--
-- Cannot see: a tail cut off everything at once, a whole store rebuilt or replaced by an older copy (only a
-- checkpoint kept outside shows that); edits of the newest log entry that change no fact about its segment;
-- Merkle roots (`auditfuse verify` recomputes them); whether an erased row was rightly erased.
-- It also does not hash whole files: `sha256sum` against `sha256` in the log does.
-- A store without any segment ends with an error of read_parquet: there is nothing to verify.

-- 1. The log: every entry's bytes, their hash, and what they say. ------------------------------------------------
CREATE OR REPLACE TEMP TABLE entries AS
SELECT
    split_part(replace(filename, '\', '/'), '/', -3) AS topic_id,
    split_part(replace(filename, '\', '/'), '/', -2)::INTEGER AS "partition",
    regexp_extract(filename, '([0-9]{12})[.]json$', 1)::BIGINT AS number,
    sha256(content) AS hash,
    content::JSON AS entry,
    entry->>'$.kind' AS kind
FROM read_text(getvariable('store') || '/log/*/*/*.json');

-- Segments that entries publish. A compaction or an erasure takes its inputs away and puts outputs in their place.
CREATE OR REPLACE TEMP TABLE published AS
WITH added AS (
    SELECT topic_id, "partition", number, kind, entry->'$.segment' AS ref FROM entries WHERE kind IN ('seal', 'append')
    UNION ALL
    SELECT topic_id, "partition", number, kind, unnest(from_json(entry->'$.outputs', '["JSON"]')) AS ref
    FROM entries WHERE kind IN ('compact', 'erase')
), removed AS (
    SELECT topic_id, "partition", unnest(from_json(entry->'$.inputs', '["VARCHAR"]')) AS name
    FROM entries WHERE kind IN ('compact', 'erase')
)
SELECT a.topic_id, a."partition", a.number, a.kind, a.ref->>'$.name' AS name,
    (a.ref->>'$.start')::BIGINT AS "start", (a.ref->>'$.end')::BIGINT AS "end", (a.ref->>'$.rows')::BIGINT AS "rows",
    a.ref->>'$.prev' AS prev, a.ref->>'$.head' AS head, a.ref->>'$.merkle_root' AS merkle_root,
    r.name IS NULL AS live,
    bool_or(a.kind = 'erase') OVER (PARTITION BY a.topic_id, a."partition") AS erasures,
    getvariable('store') || '/segments/' || a.topic_id || '/' || a."partition" || '/' || (a.ref->>'$.name') AS path
FROM added AS a
LEFT JOIN removed AS r ON r.topic_id = a.topic_id AND r."partition" = a."partition" AND r.name = a.ref->>'$.name';

SET VARIABLE files = (
    SELECT list(path ORDER BY path) FROM published
    WHERE live AND path IN (SELECT file FROM glob(getvariable('store') || '/segments/*/*/*.parquet'))
);

-- 2. The footers of the live files. ------------------------------------------------------------------------------
CREATE OR REPLACE TEMP TABLE footers AS
PIVOT (SELECT file_name AS path, key::VARCHAR AS key, value::VARCHAR AS value
       FROM parquet_kv_metadata(getvariable('files')) WHERE key::VARCHAR LIKE 'auditfuse.%')
ON key IN ('auditfuse.topic_id', 'auditfuse.partition', 'auditfuse.start', 'auditfuse.end', 'auditfuse.rows',
           'auditfuse.prev', 'auditfuse.head', 'auditfuse.merkle_root')
USING any_value(value) GROUP BY path;

-- 3. The rows. Event topics and append partitions have different typed columns; what a file lacks is NULL. ---------
CREATE OR REPLACE TEMP VIEW stored AS
SELECT NULL::VARCHAR AS filename, NULL::BIGINT AS file_row_number,
    NULL::BIGINT AS "offset", NULL::INTEGER AS item, NULL::VARCHAR AS kind, NULL::VARCHAR AS meta,
    NULL::VARCHAR AS payload, NULL::BLOB AS salt_m, NULL::BLOB AS salt_p, NULL::BLOB AS h, NULL::BLOB AS cp,
    NULL::BLOB AS c,
    NULL::VARCHAR AS topic_id, NULL::INTEGER AS "partition", NULL::VARCHAR AS source, NULL::BOOLEAN AS bound,
    NULL::BIGINT AS broker_time_ms, NULL::VARCHAR AS broker_time_kind, NULL::BIGINT AS start_time_unix_nano,
    NULL::BIGINT AS duration_ns, NULL::VARCHAR AS trace_id, NULL::VARCHAR AS span_id,
    NULL::VARCHAR AS parent_span_id, NULL::VARCHAR AS session_id, NULL::VARCHAR AS request_id,
    NULL::VARCHAR AS agent_id, NULL::VARCHAR AS agent_version, NULL::VARCHAR AS config_version,
    NULL::VARCHAR AS environment, NULL::VARCHAR AS channel, NULL::VARCHAR AS principal,
    NULL::VARCHAR AS credential_id, NULL::VARCHAR AS credential_expires, NULL::VARCHAR[] AS scopes,
    NULL::VARCHAR AS end_user, NULL::VARCHAR AS operation, NULL::VARCHAR AS action, NULL::VARCHAR AS action_kind,
    NULL::VARCHAR AS target, NULL::VARCHAR AS tool_call_id, NULL::VARCHAR AS model, NULL::VARCHAR AS approval_id,
    NULL::VARCHAR AS approval_status, NULL::VARCHAR AS approval_source, NULL::VARCHAR AS status,
    NULL::VARCHAR AS error_type, NULL::INTEGER AS http_status, NULL::VARCHAR AS outcome,
    NULL::BIGINT AS input_tokens, NULL::BIGINT AS output_tokens, NULL::VARCHAR[] AS flags,
    NULL::MAP(VARCHAR, BIGINT) AS redactions, NULL::VARCHAR AS event_hmac, NULL::VARCHAR AS status_message,
    NULL::BIGINT AS ingest_time_ms, NULL::VARCHAR AS raw_hmac, NULL::VARCHAR AS reason, NULL::BIGINT AS length,
    NULL::BIGINT AS error_position, NULL::VARCHAR AS id, NULL::BIGINT AS at_ms, NULL::VARCHAR AS command,
    NULL::VARCHAR AS finding_id, NULL::VARCHAR AS incident_id, NULL::VARCHAR AS detector,
    NULL::VARCHAR AS severity, NULL::VARCHAR AS "by"
WHERE false
UNION ALL BY NAME
FROM read_parquet(getvariable('files'), filename = true, file_row_number = true, union_by_name = true);

-- Each row with its commitment recomputed, and whether its typed columns are those of its record.
--     cp = SHA-256(salt_p ‖ payload)      c = SHA-256(SHA-256(salt_m ‖ meta) ‖ cp)
-- leaf = u64 offset ‖ u32 item ‖ c (a bit string of a BIGINT is its 8 bytes, big-endian)
CREATE OR REPLACE TEMP VIEW recomputed AS
SELECT filename, file_row_number, "offset", item, h,
    "offset"::BIT::BLOB || item::BIT::BLOB || CASE
        WHEN meta IS NULL THEN c
        WHEN payload IS NULL THEN unhex(sha256(unhex(sha256(salt_m || encode(meta))) || cp))
        ELSE unhex(sha256(unhex(sha256(salt_m || encode(meta))) || unhex(sha256(salt_p || encode(payload)))))
    END AS leaf,
    meta IS NULL OR payload IS NULL OR salt_m IS NULL OR salt_p IS NULL AS erased,
    octet_length(salt_m) <> 16 OR octet_length(salt_p) <> 16 AS wrong_salt,
    CASE kind
        WHEN 'event' THEN
            from_json(meta,
            '{"kind":"VARCHAR", "start_time_unix_nano":"BIGINT", "duration_ns":"BIGINT", "trace_id":"VARCHAR",
            "span_id":"VARCHAR", "parent_span_id":"VARCHAR", "session_id":"VARCHAR", "request_id":"VARCHAR",
            "agent_id":"VARCHAR", "agent_version":"VARCHAR", "config_version":"VARCHAR", "environment":"VARCHAR",
            "channel":"VARCHAR", "principal":"VARCHAR", "credential_id":"VARCHAR", "credential_expires":"VARCHAR",
            "scopes":"VARCHAR[]", "end_user":"VARCHAR", "operation":"VARCHAR", "action":"VARCHAR",
            "action_kind":"VARCHAR", "target":"VARCHAR", "tool_call_id":"VARCHAR", "model":"VARCHAR",
            "approval_id":"VARCHAR", "approval_status":"VARCHAR", "approval_source":"VARCHAR", "status":"VARCHAR",
            "error_type":"VARCHAR", "http_status":"INTEGER", "outcome":"VARCHAR", "input_tokens":"BIGINT",
            "output_tokens":"BIGINT", "flags":"VARCHAR[]", "redactions":"MAP(VARCHAR, BIGINT)",
            "event_hmac":"VARCHAR", "status_message":"VARCHAR",
            "origin":{"offset":"BIGINT", "item":"INTEGER", "topic_id":"VARCHAR", "partition":"INTEGER", "source":"VARCHAR",
            "bound":"BOOLEAN", "broker_time_ms":"BIGINT", "broker_time_kind":"VARCHAR", "ingest_time_ms":"BIGINT",
            "raw_hmac":"VARCHAR"}}')
            IS DISTINCT FROM
            {kind: kind, start_time_unix_nano: start_time_unix_nano, duration_ns: duration_ns, trace_id: trace_id,
            span_id: span_id, parent_span_id: parent_span_id, session_id: session_id, request_id: request_id,
            agent_id: agent_id, agent_version: agent_version, config_version: config_version,
            environment: environment, channel: channel, principal: principal, credential_id: credential_id,
            credential_expires: credential_expires, scopes: scopes, end_user: end_user, operation: operation,
            action: action, action_kind: action_kind, target: target, tool_call_id: tool_call_id, model: model,
            approval_id: approval_id, approval_status: approval_status, approval_source: approval_source,
            status: status, error_type: error_type, http_status: http_status, outcome: outcome,
            input_tokens: input_tokens, output_tokens: output_tokens, flags: flags, redactions: redactions,
            event_hmac: event_hmac, status_message: status_message,
            origin: {"offset": "offset", item: item, topic_id: topic_id, "partition": "partition", source: source,
            bound: bound, broker_time_ms: broker_time_ms, broker_time_kind: broker_time_kind,
            ingest_time_ms: ingest_time_ms, raw_hmac: raw_hmac}}
            OR reason IS NOT NULL OR length IS NOT NULL OR error_position IS NOT NULL
        WHEN 'dead_letter' THEN
            from_json(meta,
            '{"kind":"VARCHAR", "reason":"VARCHAR", "length":"BIGINT", "error_position":"BIGINT",
            "origin":{"offset":"BIGINT", "item":"INTEGER", "topic_id":"VARCHAR", "partition":"INTEGER", "source":"VARCHAR",
            "bound":"BOOLEAN", "broker_time_ms":"BIGINT", "broker_time_kind":"VARCHAR", "ingest_time_ms":"BIGINT",
            "raw_hmac":"VARCHAR"}}')
            IS DISTINCT FROM
            {kind: kind, reason: reason, length: length, error_position: error_position,
            origin: {"offset": "offset", item: item, topic_id: topic_id, "partition": "partition", source: source,
            bound: bound, broker_time_ms: broker_time_ms, broker_time_kind: broker_time_kind,
            ingest_time_ms: ingest_time_ms, raw_hmac: raw_hmac}}
            OR coalesce(start_time_unix_nano::VARCHAR, duration_ns::VARCHAR, trace_id::VARCHAR, span_id::VARCHAR,
            parent_span_id::VARCHAR, session_id::VARCHAR, request_id::VARCHAR, agent_id::VARCHAR,
            agent_version::VARCHAR, config_version::VARCHAR, environment::VARCHAR, channel::VARCHAR,
            principal::VARCHAR, credential_id::VARCHAR, credential_expires::VARCHAR, scopes::VARCHAR,
            end_user::VARCHAR, operation::VARCHAR, action::VARCHAR, action_kind::VARCHAR, target::VARCHAR,
            tool_call_id::VARCHAR, model::VARCHAR, approval_id::VARCHAR, approval_status::VARCHAR,
            approval_source::VARCHAR, status::VARCHAR, error_type::VARCHAR, http_status::VARCHAR, outcome::VARCHAR,
            input_tokens::VARCHAR, output_tokens::VARCHAR, flags::VARCHAR, redactions::VARCHAR,
            event_hmac::VARCHAR, status_message::VARCHAR) IS NOT NULL
        WHEN 'command' THEN
               meta->>'$.kind' IS DISTINCT FROM kind
            OR meta->>'$.id' IS DISTINCT FROM id
            OR (meta->>'$.at_ms')::BIGINT IS DISTINCT FROM at_ms
            OR meta->>'$.command' IS DISTINCT FROM command
            OR meta->>'$.finding_id' IS DISTINCT FROM finding_id
            OR incident_id IS NOT NULL
            OR detector IS NOT NULL
            OR meta->>'$.selector.environment' IS DISTINCT FROM environment
            OR meta->>'$.selector.agent' IS DISTINCT FROM agent_id
            OR severity IS NOT NULL
            OR status IS NOT NULL
            OR meta->>'$.by' IS DISTINCT FROM "by"
        WHEN 'finding' THEN
               meta->>'$.kind' IS DISTINCT FROM kind
            OR meta->>'$.id' IS DISTINCT FROM id
            OR (meta->>'$.found_at_ms')::BIGINT IS DISTINCT FROM at_ms
            OR command IS NOT NULL
            OR meta->>'$.id' IS DISTINCT FROM finding_id
            OR meta->>'$.incident_id' IS DISTINCT FROM incident_id
            OR meta->>'$.finding.detector' IS DISTINCT FROM detector
            OR meta->>'$.finding.environment' IS DISTINCT FROM environment
            OR meta->>'$.finding.agent_id' IS DISTINCT FROM agent_id
            OR meta->>'$.finding.severity' IS DISTINCT FROM severity
            OR status IS NOT NULL
            OR "by" IS NOT NULL
        WHEN 'incident' THEN
               meta->>'$.kind' IS DISTINCT FROM kind
            OR meta->>'$.id' IS DISTINCT FROM id
            OR (meta->>'$.at_ms')::BIGINT IS DISTINCT FROM at_ms
            OR command IS NOT NULL
            OR finding_id IS NOT NULL
            OR meta->>'$.incident_id' IS DISTINCT FROM incident_id
            OR detector IS NOT NULL
            OR meta->>'$.environment' IS DISTINCT FROM environment
            OR meta->>'$.agent_id' IS DISTINCT FROM agent_id
            OR meta->>'$.severity' IS DISTINCT FROM severity
            OR meta->>'$.status' IS DISTINCT FROM status
            OR meta->>'$.by' IS DISTINCT FROM "by"
        ELSE true
    END AND meta IS NOT NULL AS columns_differ
FROM stored;

-- h = SHA-256(h of the row before ‖ leaf); before a file's first row stands what the log says.
CREATE OR REPLACE TEMP VIEW row_faults AS
WITH chained AS (
    SELECT filename, "offset", item, h, leaf, erased, wrong_salt, columns_differ,
        lag(h) OVER in_file AS h_before,
        lag("offset") OVER in_file AS offset_before,
        lag(item) OVER in_file AS item_before
    FROM recomputed
    WINDOW in_file AS (PARTITION BY filename ORDER BY file_row_number)
)
SELECT p.topic_id, p."partition", p.name AS segment, r."offset", r.item, unnest(list_filter([
    CASE WHEN unhex(sha256(coalesce(r.h_before, unhex(p.prev)) || r.leaf)) IS DISTINCT FROM r.h
         THEN 'rows intact: the row is not the one that was chained here: edited, inserted, moved, or rows before it are missing' END,
    CASE WHEN r."offset" < r.offset_before OR (r."offset" = r.offset_before AND r.item <= r.item_before) THEN 'rows intact: out of order or repeated' END,
    CASE WHEN r."offset" < p."start" OR r."offset" >= p."end" THEN 'rows intact: outside of its segment''s offsets' END,
    CASE WHEN r.wrong_salt THEN 'rows intact: a salt is not 16 bytes long' END,
    CASE WHEN r.erased AND NOT p.erasures THEN 'rows intact: a value is null and the log has no erasure' END,
    CASE WHEN r.columns_differ THEN 'columns match the records: a typed column differs' END
], lambda fault: fault IS NOT NULL)) AS fault
FROM chained AS r JOIN published AS p ON p.path = r.filename AND p.live;

-- 4. The faults. -------------------------------------------------------------------------------------------------
WITH ends AS (
    SELECT filename, count(*) AS "rows", lower(hex(arg_max(h, file_row_number))) AS head FROM stored GROUP BY filename
), segment_faults AS (
    SELECT p.topic_id, p."partition", p.name AS segment, p.number AS entry, unnest(list_filter([
        CASE WHEN f.path IS NULL THEN 'segments linked: the file is missing' END,
        CASE WHEN f.path IS NOT NULL AND (e."rows" IS DISTINCT FROM p."rows" OR e.head IS DISTINCT FROM p.head)
             THEN 'segments linked: its rows do not end where the log says, or are more or fewer' END,
        CASE WHEN f.path IS NOT NULL AND (f."auditfuse.topic_id", f."auditfuse.partition", f."auditfuse.start",
                   f."auditfuse.end", f."auditfuse.rows", f."auditfuse.prev", f."auditfuse.head",
                   f."auditfuse.merkle_root")
                 IS DISTINCT FROM (p.topic_id, p."partition"::VARCHAR, p."start"::VARCHAR, p."end"::VARCHAR,
                   p."rows"::VARCHAR, p.prev, p.head, p.merkle_root)
             THEN 'segments linked: its footer says something else than the log' END,
        CASE WHEN p.prev IS DISTINCT FROM coalesce(
                 lag(p.head) OVER (PARTITION BY p.topic_id, p."partition" ORDER BY p."start"),
                 sha256(encode('auditfuse/1' || p.topic_id) || p."partition"::BIT::BLOB))
             THEN 'segments linked: does not follow from the segment before it' END
    ], lambda fault: fault IS NOT NULL)) AS fault
    FROM published AS p LEFT JOIN footers AS f USING (path) LEFT JOIN ends AS e ON e.filename = p.path
    WHERE p.live
), chained_entries AS (
    -- Where the log ends after each entry: seals and appends move the end, so do idle and gap entries.
    SELECT topic_id, "partition", number, kind, entry, hash,
        lag(hash) OVER in_log AS hash_before,
        row_number() OVER in_log - 1 AS expected_number,
        lag(coalesce((entry->>'$.segment.end')::BIGINT,
                     CASE WHEN kind IN ('idle', 'gap') THEN (entry->>'$.end')::BIGINT END) IGNORE NULLS)
            OVER in_log AS end_before
    FROM entries
    WINDOW in_log AS (PARTITION BY topic_id, "partition" ORDER BY number)
), entry_faults AS (
    SELECT topic_id, "partition", number AS entry, unnest(list_filter([
        CASE WHEN number <> expected_number THEN 'log linked: an entry before it is missing' END,
        CASE WHEN entry->>'$.prev' IS DISTINCT FROM coalesce(hash_before, repeat('0', 64))
             THEN 'log linked: the entry before it is not the one that was there when it was written' END,
        CASE WHEN (entry->>'$.n')::BIGINT IS DISTINCT FROM number OR entry->>'$.topic_id' IS DISTINCT FROM topic_id
                  OR (entry->>'$.partition')::INTEGER IS DISTINCT FROM "partition"
             THEN 'log linked: it was written for another place' END,
        CASE WHEN (entry->>'$.segment.start')::BIGINT <> coalesce(end_before, 0)
             THEN 'log linked: its segment does not start where the log ended' END
    ], lambda fault: fault IS NOT NULL)) AS fault
    FROM chained_entries
), unlogged AS (
    SELECT split_part(replace(file, '\', '/'), '/', -3) AS topic_id,
        split_part(replace(file, '\', '/'), '/', -2)::INTEGER AS "partition",
        count(*) || ' segment files but no log' AS fault
    FROM glob(getvariable('store') || '/segments/*/*/*.parquet') GROUP BY ALL
    HAVING (topic_id, "partition") NOT IN (SELECT (topic_id, "partition") FROM entries)
)
SELECT topic_id, "partition", NULL::BIGINT AS entry, segment, "offset", item, fault FROM row_faults
UNION ALL BY NAME SELECT topic_id, "partition", entry, segment, fault FROM segment_faults
UNION ALL BY NAME SELECT topic_id, "partition", entry, fault FROM entry_faults
UNION ALL BY NAME SELECT topic_id, "partition", 'log linked: ' || fault AS fault FROM unlogged
ORDER BY topic_id, "partition", entry, segment, "offset", item;

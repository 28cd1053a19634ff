-- Verify an auditfuse store with DuckDB alone. No auditfuse, no key, nothing but the files.
--
--     duckdb -cmd "SET VARIABLE store = '/var/lib/auditfuse/store'" < verify.sql
--
-- or in Python:  c = duckdb.connect(); c.execute("SET VARIABLE store = '…'"); c.execute(open("verify.sql").read())
--
-- The last statement returns the faults, one a row; no rows: nothing was found. What the store's files are and
-- how rows are hashed is in store-format.md; what each verdict means in verification.md.
--
-- Finds: rows whose meta, payload, salts, hash or position were edited; rows deleted, inserted, moved, swapped or
-- repeated; typed columns that differ from the record; values nulled that no erase entry names, erased values that
-- are there, erasures that nobody ordered; segments missing, swapped, cut or out of place; log entries edited,
-- missing, renumbered, by a writer without the claim, or unlike what was put into the checkpoint tree.
-- One change can show more than once: where it is, and where what follows does not follow from it.
-- A file that is no longer readable as Parquet ends the script with an error that names it: a finding too.
--
-- Cannot see, and `auditfuse verify` can: signatures of checkpoints, and anchors, so neither a tail cut off
-- everything at once, nor a whole store made anew, nor an older copy in its place; the roots of Merkle trees; the
-- hash of a file as a whole (`sha256sum` against `sha256` in the log does); whether an entry's bytes are in
-- canonical form; edits of a log's newest entry that change no fact about its segment.

-- 1. The log: every entry's bytes, from files and from bundles, their hash, and what they say. ----------------------
CREATE OR REPLACE TEMP VIEW no_files AS SELECT NULL::VARCHAR AS filename, NULL::VARCHAR AS content WHERE false;
SET VARIABLE loose = coalesce((SELECT list(file) FROM glob(getvariable('store') || '/log/*/*/*.json')), []);
SET VARIABLE bundles = coalesce((SELECT list(file) FROM glob(getvariable('store') || '/log/*/*/bundles/*.ndjson')), []);
-- A reader of files fails over an empty list, so the statement is chosen by the list.
SET VARIABLE read_loose = CASE WHEN len(getvariable('loose')) = 0 THEN 'FROM no_files'
    ELSE 'SELECT filename, content FROM read_text(getvariable(''loose''))' END;
SET VARIABLE read_bundles = CASE WHEN len(getvariable('bundles')) = 0 THEN 'FROM no_files'
    ELSE 'SELECT filename, content FROM read_text(getvariable(''bundles''))' END;

CREATE OR REPLACE TEMP TABLE copies AS
WITH lines AS (
    SELECT filename, unnest(string_split(rtrim(content, chr(10)), chr(10))) AS content,
        generate_subscripts(string_split(rtrim(content, chr(10)), chr(10)), 1) - 1 AS place
    FROM query(getvariable('read_bundles'))
)
SELECT split_part(replace(filename, '\', '/'), '/', -3) AS topic_id,
    split_part(replace(filename, '\', '/'), '/', -2)::INTEGER AS "partition",
    regexp_extract(filename, '([0-9]{12})[.]json$', 1)::BIGINT AS number, content
FROM query(getvariable('read_loose'))
UNION ALL
SELECT split_part(replace(filename, '\', '/'), '/', -4) AS topic_id,
    split_part(replace(filename, '\', '/'), '/', -3)::INTEGER AS "partition",
    regexp_extract(filename, '([0-9]{12})-[0-9]{12}[.]ndjson$', 1)::BIGINT + place AS number, content
FROM lines;

CREATE OR REPLACE TEMP TABLE entries AS
SELECT topic_id, "partition", number, sha256(content) AS hash, is_one, entry, entry.kind AS kind,
    coalesce(entry.role, 'writer') AS role, coalesce(entry.epoch, 0) AS epoch,
    coalesce(entry.segment."end", CASE WHEN entry.kind IN ('idle', 'gap') THEN entry."end" END) AS ends_at
FROM (
    SELECT *, try(from_json(content, '{"n":"BIGINT", "prev":"VARCHAR", "kind":"VARCHAR", "topic_id":"VARCHAR",
            "partition":"INTEGER", "at_ms":"BIGINT", "writer":"VARCHAR", "epoch":"BIGINT", "role":"VARCHAR",
            "segment":{"name":"VARCHAR", "sha256":"VARCHAR", "start":"BIGINT", "end":"BIGINT", "rows":"BIGINT",
            "prev":"VARCHAR", "head":"VARCHAR", "merkle_root":"VARCHAR"}, "end":"BIGINT", "inputs":["VARCHAR"],
            "outputs":[{"name":"VARCHAR", "sha256":"VARCHAR", "start":"BIGINT", "end":"BIGINT", "rows":"BIGINT",
            "prev":"VARCHAR", "head":"VARCHAR", "merkle_root":"VARCHAR"}], "ids":["VARCHAR"], "reason":"VARCHAR",
            "by":"VARCHAR", "erasure":"VARCHAR", "erased_rows":[["BIGINT"]], "erased_payloads":[["BIGINT"]],
            "leaves":[{"topic_id":"VARCHAR", "partition":"INTEGER", "first_n":"BIGINT", "hashes":["VARCHAR"]}]}')) AS entry
    FROM (SELECT topic_id, "partition", number, min(content) AS content, min(content) = max(content) AS is_one
          FROM copies GROUP BY topic_id, "partition", number)
);

-- Segments that entries publish. A compaction or an erasure takes its inputs away and puts outputs in their place.
CREATE OR REPLACE TEMP TABLE published AS
WITH added AS (
    SELECT topic_id, "partition", number, kind, CASE WHEN kind = 'append' THEN 0 ELSE epoch END AS epoch, entry.segment AS ref
    FROM entries WHERE kind IN ('seal', 'append')
    UNION ALL
    SELECT topic_id, "partition", number, kind, epoch, unnest(entry.outputs) AS ref
    FROM entries WHERE kind IN ('compact', 'erase')
), removed AS (
    SELECT topic_id, "partition", name, min(number) AS removed_by, count(*) AS times
    FROM (SELECT topic_id, "partition", number, unnest(entry.inputs) AS name FROM entries) GROUP BY ALL
)
SELECT a.topic_id, a."partition", a.number, a.kind, a.epoch, a.ref.name AS name, a.ref.sha256 AS sha256,
    a.ref."start" AS "start", a.ref."end" AS "end", a.ref."rows" AS "rows", a.ref.prev AS prev, a.ref.head AS head,
    a.ref.merkle_root AS merkle_root, r.removed_by, coalesce(r.times, 0) AS times_removed, r.name IS NULL AS live,
    getvariable('store') || '/segments/' || a.topic_id || '/' || a."partition" || '/' || a.ref.name AS path
FROM added AS a LEFT JOIN removed AS r ON r.topic_id = a.topic_id AND r."partition" = a."partition" AND r.name = a.ref.name;

-- What erase entries say is gone: (offset, item) from … to, as one number each; 2 a row, 1 its payload alone.
CREATE OR REPLACE TEMP MACRO place_of(an_offset, an_item) AS an_offset::HUGEINT * 4294967296 + an_item;
CREATE OR REPLACE TEMP TABLE erased AS
WITH spans AS (
    SELECT topic_id, "partition", number, entry.erasure AS erasure, 2 AS gone, unnest(entry.erased_rows) AS span
    FROM entries WHERE kind = 'erase'
    UNION ALL
    SELECT topic_id, "partition", number, entry.erasure, 1, unnest(entry.erased_payloads) FROM entries WHERE kind = 'erase'
)
SELECT topic_id, "partition", number, erasure, gone, span[1] AS first_offset, span[3] AS last_offset,
    place_of(span[1], span[2]) AS first_position, place_of(span[3], span[4]) AS last_position
FROM spans;

-- 2. The live files, and their footers. ---------------------------------------------------------------------------
CREATE OR REPLACE TEMP TABLE live_files AS
SELECT row_number() OVER (ORDER BY p.path) AS file, p.topic_id, p."partition", p.name, p.path, p."start", p."end", unhex(p.prev) AS prev,
    starts_with(p.topic_id, '_') AS is_append,
    EXISTS (FROM erased AS e WHERE e.topic_id = p.topic_id AND e."partition" = p."partition"
            AND e.first_offset < p."end" AND e.last_offset >= p."start") AS has_erased
FROM published AS p
WHERE p.live AND p.path IN (SELECT file FROM glob(getvariable('store') || '/segments/*/*/*.parquet'));

SET VARIABLE all_files = coalesce((SELECT list(path ORDER BY path) FROM live_files), []);
SET VARIABLE event_files = coalesce((SELECT list(path ORDER BY path) FROM live_files WHERE NOT is_append), []);
SET VARIABLE append_files = coalesce((SELECT list(path ORDER BY path) FROM live_files WHERE is_append), []);
SET VARIABLE event_numbers = coalesce((SELECT list(file ORDER BY path) FROM live_files WHERE NOT is_append), []);
SET VARIABLE append_numbers = coalesce((SELECT list(file ORDER BY path) FROM live_files WHERE is_append), []);
SET VARIABLE erased_files = coalesce((SELECT list(path ORDER BY path) FROM live_files WHERE has_erased), []);

CREATE OR REPLACE TEMP VIEW no_footers AS
SELECT NULL::VARCHAR AS file_name, NULL::BLOB AS key, NULL::BLOB AS value WHERE false;
SET VARIABLE read_footers = CASE WHEN len(getvariable('all_files')) = 0 THEN 'FROM no_footers'
    ELSE 'SELECT file_name, key, value FROM parquet_kv_metadata(getvariable(''all_files''))' END;
CREATE OR REPLACE TEMP TABLE footers AS
PIVOT (SELECT file_name AS path, key::VARCHAR AS key, value::VARCHAR AS value
       FROM query(getvariable('read_footers')) WHERE key::VARCHAR LIKE 'auditfuse.%')
ON key IN ('auditfuse.topic_id', 'auditfuse.partition', 'auditfuse.start', 'auditfuse.end', 'auditfuse.epoch',
           'auditfuse.kind', 'auditfuse.rows', 'auditfuse.prev', 'auditfuse.head', 'auditfuse.merkle_root')
USING any_value(value) GROUP BY path;

-- 3. The rows, each with its commitment recomputed, and whether its typed columns are those of its record. -----------
-- `file_index` counts the files of a list from 0; `event_numbers` and `append_numbers` say which file that is.
CREATE OR REPLACE TEMP VIEW no_events AS
SELECT
    NULL::VARCHAR AS filename, NULL::UBIGINT AS file_index, NULL::BIGINT AS file_row_number,
    NULL::BIGINT AS "offset", NULL::INTEGER AS item, NULL::VARCHAR AS kind, NULL::VARCHAR AS meta,
    NULL::VARCHAR AS payload, NULL::BLOB AS salt_m, NULL::BLOB AS salt_p, NULL::BLOB AS h, NULL::BLOB AS cp,
    NULL::BLOB AS c, NULL::VARCHAR AS topic_id, NULL::INTEGER AS "partition", NULL::VARCHAR AS source,
    NULL::BOOLEAN AS bound, NULL::BIGINT AS broker_time_ms, NULL::VARCHAR AS broker_time_kind,
    NULL::BIGINT AS start_time_unix_nano, NULL::BIGINT AS duration_ns, NULL::VARCHAR AS trace_id,
    NULL::VARCHAR AS span_id, NULL::VARCHAR AS parent_span_id, NULL::VARCHAR AS session_id,
    NULL::VARCHAR AS request_id, NULL::VARCHAR AS agent_id, NULL::VARCHAR AS agent_version,
    NULL::VARCHAR AS config_version, NULL::VARCHAR AS environment, NULL::VARCHAR AS channel,
    NULL::VARCHAR AS principal, NULL::VARCHAR AS credential_id, NULL::VARCHAR AS credential_expires,
    NULL::VARCHAR[] AS scopes, NULL::VARCHAR AS end_user, NULL::VARCHAR AS operation, NULL::VARCHAR AS action,
    NULL::VARCHAR AS action_kind, NULL::VARCHAR AS target, NULL::VARCHAR AS tool_call_id, NULL::VARCHAR AS model,
    NULL::VARCHAR AS approval_id, NULL::VARCHAR AS approval_status, NULL::VARCHAR AS approval_source,
    NULL::VARCHAR AS status, NULL::VARCHAR AS error_type, NULL::INTEGER AS http_status, NULL::VARCHAR AS outcome,
    NULL::BIGINT AS input_tokens, NULL::BIGINT AS output_tokens, NULL::VARCHAR[] AS flags,
    NULL::MAP(VARCHAR, BIGINT) AS redactions, NULL::VARCHAR AS event_hmac, NULL::VARCHAR AS status_message,
    NULL::BIGINT AS ingest_time_ms, NULL::VARCHAR AS raw_hmac, NULL::VARCHAR AS reason, NULL::BIGINT AS length,
    NULL::BIGINT AS error_position
WHERE false;
CREATE OR REPLACE TEMP VIEW no_appends AS
SELECT
    NULL::VARCHAR AS filename, NULL::UBIGINT AS file_index, NULL::BIGINT AS file_row_number,
    NULL::BIGINT AS "offset", NULL::INTEGER AS item, NULL::VARCHAR AS kind, NULL::VARCHAR AS meta,
    NULL::VARCHAR AS payload, NULL::BLOB AS salt_m, NULL::BLOB AS salt_p, NULL::BLOB AS h, NULL::BLOB AS cp,
    NULL::BLOB AS c, NULL::VARCHAR AS id, NULL::BIGINT AS at_ms, NULL::VARCHAR AS command,
    NULL::VARCHAR AS finding_id, NULL::VARCHAR AS incident_id, NULL::VARCHAR AS detector,
    NULL::VARCHAR AS environment, NULL::VARCHAR AS agent_id, NULL::VARCHAR AS severity, NULL::VARCHAR AS status,
    NULL::VARCHAR AS "by"
WHERE false;
SET VARIABLE read_events = CASE WHEN len(getvariable('event_files')) = 0 THEN 'FROM no_events'
    ELSE 'SELECT *, file_index FROM read_parquet(getvariable(''event_files''), file_row_number = true)' END;
SET VARIABLE read_appends = CASE WHEN len(getvariable('append_files')) = 0 THEN 'FROM no_appends'
    ELSE 'SELECT *, file_index FROM read_parquet(getvariable(''append_files''), file_row_number = true)' END;
SET VARIABLE read_erased = CASE WHEN len(getvariable('erased_files')) = 0 THEN 'FROM no_events'
    ELSE 'FROM read_parquet(getvariable(''erased_files''), filename = true, union_by_name = true)' END;

--     cp = SHA-256(salt_p ‖ payload)      c = SHA-256(SHA-256(salt_m ‖ meta) ‖ cp)
CREATE OR REPLACE TEMP MACRO commitment(meta, payload, salt_m, salt_p, cp, c) AS CASE
    WHEN meta IS NULL THEN c
    WHEN payload IS NULL THEN unhex(sha256(unhex(sha256(salt_m || encode(meta))) || cp))
    ELSE unhex(sha256(unhex(sha256(salt_m || encode(meta))) || unhex(sha256(salt_p || encode(payload)))))
END;
-- What is gone: 0 nothing, 1 the payload, 2 the row, 3 what no erasure leaves like this.
CREATE OR REPLACE TEMP MACRO what_is_gone(meta, payload, salt_m, salt_p, cp, c) AS CASE
    WHEN meta IS NOT NULL AND payload IS NOT NULL AND salt_m IS NOT NULL AND salt_p IS NOT NULL AND cp IS NULL
         AND c IS NULL THEN CASE WHEN octet_length(salt_m) = 16 AND octet_length(salt_p) = 16 THEN 0 ELSE 3 END
    WHEN meta IS NOT NULL AND salt_m IS NOT NULL AND octet_length(salt_m) = 16 AND payload IS NULL AND salt_p IS NULL
         AND cp IS NOT NULL AND c IS NULL THEN 1
    WHEN meta IS NULL AND payload IS NULL AND salt_m IS NULL AND salt_p IS NULL AND cp IS NULL AND c IS NOT NULL THEN 2
    ELSE 3
END;

CREATE OR REPLACE TEMP VIEW hashed AS
SELECT list_extract(getvariable('event_numbers'), 1 + file_index::BIGINT) AS file, file_row_number, "offset", item, h,
    -- leaf = u64 offset ‖ u32 item ‖ c (the bit string of a BIGINT is its 8 bytes, big-endian)
    "offset"::BIT::BLOB || item::BIT::BLOB || commitment(meta, payload, salt_m, salt_p, cp, c) AS leaf,
    what_is_gone(meta, payload, salt_m, salt_p, cp, c) AS gone,
    CASE WHEN meta IS NULL THEN false
        WHEN kind = 'event' THEN CASE
            WHEN coalesce(reason::VARCHAR, length::VARCHAR, error_position::VARCHAR) IS NOT NULL THEN true
            -- A record without a backslash has no quote within a string, so the text that is made of the columns
            -- is the record only if each column is its copy. What differs is parsed and compared field by field.
            WHEN NOT contains(meta, '\') AND meta = concat(
                '{"kind":"', kind, '","schema_version":1,"start_time_unix_nano":', start_time_unix_nano,
                ',"duration_ns":', duration_ns, ',"trace_id":', coalesce('"' || trace_id || '"', 'null'),
                ',"span_id":"', span_id, '","parent_span_id":', coalesce('"' || parent_span_id || '"', 'null'),
                ',"session_id":', coalesce('"' || session_id || '"', 'null'), ',"request_id":',
                coalesce('"' || request_id || '"', 'null'), ',"agent_id":"', agent_id, '","agent_version":',
                coalesce('"' || agent_version || '"', 'null'), ',"config_version":',
                coalesce('"' || config_version || '"', 'null'), ',"environment":"', environment, '","channel":"',
                channel, '","principal":', coalesce('"' || principal || '"', 'null'), ',"credential_id":',
                coalesce('"' || credential_id || '"', 'null'), ',"credential_expires":',
                coalesce('"' || credential_expires || '"', 'null'), ',"scopes":',
                CASE WHEN len(scopes) = 0 THEN '[]' ELSE '["' || array_to_string(scopes, '","') || '"]' END,
                ',"end_user":', coalesce('"' || end_user || '"', 'null'), ',"operation":',
                coalesce('"' || operation || '"', 'null'), ',"action":', coalesce('"' || action || '"', 'null'),
                ',"action_kind":"', action_kind, '","target":', coalesce('"' || target || '"', 'null'),
                ',"tool_call_id":', coalesce('"' || tool_call_id || '"', 'null'), ',"model":',
                coalesce('"' || model || '"', 'null'), ',"approval_id":',
                coalesce('"' || approval_id || '"', 'null'), ',"approval_status":',
                coalesce('"' || approval_status || '"', 'null'), ',"approval_source":',
                coalesce('"' || approval_source || '"', 'null'), ',"status":"', status, '","status_message":',
                coalesce('"' || status_message || '"', 'null'), ',"error_type":',
                coalesce('"' || error_type || '"', 'null'), ',"http_status":',
                coalesce(http_status::VARCHAR, 'null'), ',"outcome":"', outcome, '","input_tokens":',
                coalesce(input_tokens::VARCHAR, 'null'), ',"output_tokens":',
                coalesce(output_tokens::VARCHAR, 'null'), ',"flags":',
                CASE WHEN len(flags) = 0 THEN '[]' ELSE '["' || array_to_string(flags, '","') || '"]' END,
                ',"redactions":',
                CASE WHEN cardinality(redactions) = 0 THEN '{}' ELSE to_json(redactions)::VARCHAR END,
                ',"event_hmac":"', event_hmac, '","origin":{"topic_id":"', topic_id, '","partition":', "partition",
                ',"offset":', "offset", ',"item":', item, ',"source":"', source, '","bound":', bound,
                ',"broker_time_ms":', broker_time_ms, ',"broker_time_kind":"', broker_time_kind,
                '","ingest_time_ms":', ingest_time_ms, ',"raw_hmac":"', raw_hmac, '"}}') THEN false
            ELSE try(from_json(meta,
                        '{"kind":"VARCHAR", "start_time_unix_nano":"BIGINT", "duration_ns":"BIGINT",
                        "trace_id":"VARCHAR", "span_id":"VARCHAR", "parent_span_id":"VARCHAR",
                        "session_id":"VARCHAR", "request_id":"VARCHAR", "agent_id":"VARCHAR",
                        "agent_version":"VARCHAR", "config_version":"VARCHAR", "environment":"VARCHAR",
                        "channel":"VARCHAR", "principal":"VARCHAR", "credential_id":"VARCHAR",
                        "credential_expires":"VARCHAR", "scopes":"VARCHAR[]", "end_user":"VARCHAR",
                        "operation":"VARCHAR", "action":"VARCHAR", "action_kind":"VARCHAR", "target":"VARCHAR",
                        "tool_call_id":"VARCHAR", "model":"VARCHAR", "approval_id":"VARCHAR",
                        "approval_status":"VARCHAR", "approval_source":"VARCHAR", "status":"VARCHAR",
                        "error_type":"VARCHAR", "http_status":"INTEGER", "outcome":"VARCHAR",
                        "input_tokens":"BIGINT", "output_tokens":"BIGINT", "flags":"VARCHAR[]",
                        "redactions":"MAP(VARCHAR, BIGINT)", "event_hmac":"VARCHAR", "status_message":"VARCHAR",
                        "origin":{"offset":"BIGINT", "item":"INTEGER", "topic_id":"VARCHAR", "partition":"INTEGER",
                        "source":"VARCHAR", "bound":"BOOLEAN", "broker_time_ms":"BIGINT",
                        "broker_time_kind":"VARCHAR", "ingest_time_ms":"BIGINT", "raw_hmac":"VARCHAR"}}'))
                    IS DISTINCT FROM
                        {kind: kind, start_time_unix_nano: start_time_unix_nano, duration_ns: duration_ns,
                        trace_id: trace_id, span_id: span_id, parent_span_id: parent_span_id,
                        session_id: session_id, request_id: request_id, agent_id: agent_id,
                        agent_version: agent_version, config_version: config_version, environment: environment,
                        channel: channel, principal: principal, credential_id: credential_id,
                        credential_expires: credential_expires, scopes: scopes, end_user: end_user,
                        operation: operation, action: action, action_kind: action_kind, target: target,
                        tool_call_id: tool_call_id, model: model, approval_id: approval_id,
                        approval_status: approval_status, approval_source: approval_source, status: status,
                        error_type: error_type, http_status: http_status, outcome: outcome,
                        input_tokens: input_tokens, output_tokens: output_tokens, flags: flags,
                        redactions: redactions, event_hmac: event_hmac, status_message: status_message,
                        origin: {"offset": "offset", item: item, topic_id: topic_id, "partition": "partition",
                        source: source, bound: bound, broker_time_ms: broker_time_ms,
                        broker_time_kind: broker_time_kind, ingest_time_ms: ingest_time_ms, raw_hmac: raw_hmac}}
            END
        WHEN kind = 'dead_letter' THEN
            try(from_json(meta,
                '{"kind":"VARCHAR", "reason":"VARCHAR", "length":"BIGINT", "error_position":"BIGINT",
                "origin":{"offset":"BIGINT", "item":"INTEGER", "topic_id":"VARCHAR", "partition":"INTEGER",
                "source":"VARCHAR", "bound":"BOOLEAN", "broker_time_ms":"BIGINT", "broker_time_kind":"VARCHAR",
                "ingest_time_ms":"BIGINT", "raw_hmac":"VARCHAR"}}'))
            IS DISTINCT FROM
                {kind: kind, reason: reason, length: length, error_position: error_position,
                origin: {"offset": "offset", item: item, topic_id: topic_id, "partition": "partition",
                source: source, bound: bound, broker_time_ms: broker_time_ms, broker_time_kind: broker_time_kind,
                ingest_time_ms: ingest_time_ms, raw_hmac: raw_hmac}}
            OR coalesce(start_time_unix_nano::VARCHAR, duration_ns::VARCHAR, trace_id::VARCHAR, span_id::VARCHAR,
                parent_span_id::VARCHAR, session_id::VARCHAR, request_id::VARCHAR, agent_id::VARCHAR,
                agent_version::VARCHAR, config_version::VARCHAR, environment::VARCHAR, channel::VARCHAR,
                principal::VARCHAR, credential_id::VARCHAR, credential_expires::VARCHAR, scopes::VARCHAR,
                end_user::VARCHAR, operation::VARCHAR, action::VARCHAR, action_kind::VARCHAR, target::VARCHAR,
                tool_call_id::VARCHAR, model::VARCHAR, approval_id::VARCHAR, approval_status::VARCHAR,
                approval_source::VARCHAR, status::VARCHAR, error_type::VARCHAR, http_status::VARCHAR,
                outcome::VARCHAR, input_tokens::VARCHAR, output_tokens::VARCHAR, flags::VARCHAR,
                redactions::VARCHAR, event_hmac::VARCHAR, status_message::VARCHAR) IS NOT NULL
        ELSE true
    END AS columns_differ,
    CASE WHEN meta IS NULL THEN coalesce(topic_id::VARCHAR, "partition"::VARCHAR, source::VARCHAR, bound::VARCHAR, broker_time_ms::VARCHAR,
            broker_time_kind::VARCHAR, start_time_unix_nano::VARCHAR, duration_ns::VARCHAR, trace_id::VARCHAR,
            span_id::VARCHAR, parent_span_id::VARCHAR, session_id::VARCHAR, request_id::VARCHAR, agent_id::VARCHAR,
            agent_version::VARCHAR, config_version::VARCHAR, environment::VARCHAR, channel::VARCHAR,
            principal::VARCHAR, credential_id::VARCHAR, credential_expires::VARCHAR, scopes::VARCHAR,
            end_user::VARCHAR, operation::VARCHAR, action::VARCHAR, action_kind::VARCHAR, target::VARCHAR,
            tool_call_id::VARCHAR, model::VARCHAR, approval_id::VARCHAR, approval_status::VARCHAR,
            approval_source::VARCHAR, status::VARCHAR, error_type::VARCHAR, http_status::VARCHAR, outcome::VARCHAR,
            input_tokens::VARCHAR, output_tokens::VARCHAR, flags::VARCHAR, redactions::VARCHAR, event_hmac::VARCHAR,
            status_message::VARCHAR, ingest_time_ms::VARCHAR, raw_hmac::VARCHAR, reason::VARCHAR, length::VARCHAR,
            error_position::VARCHAR) IS NOT NULL ELSE false END AS columns_kept
FROM query(getvariable('read_events'))
UNION ALL
SELECT list_extract(getvariable('append_numbers'), 1 + file_index::BIGINT) AS file, file_row_number, "offset", item, h,
    "offset"::BIT::BLOB || item::BIT::BLOB || commitment(meta, payload, salt_m, salt_p, cp, c) AS leaf,
    what_is_gone(meta, payload, salt_m, salt_p, cp, c) AS gone,
    CASE WHEN meta IS NULL THEN false
        WHEN NOT json_valid(meta) THEN true
        WHEN kind = 'command' THEN
            meta->>'$.kind' IS DISTINCT FROM kind
            OR meta->>'$.id' IS DISTINCT FROM id
            OR (meta->>'$.at_ms')::BIGINT IS DISTINCT FROM at_ms
            OR meta->>'$.command' IS DISTINCT FROM command
            OR meta->>'$.finding_id' IS DISTINCT FROM finding_id
            OR meta->>'$.selector.environment' IS DISTINCT FROM environment
            OR meta->>'$.selector.agent' IS DISTINCT FROM agent_id
            OR meta->>'$.by' IS DISTINCT FROM "by"
            OR coalesce(incident_id::VARCHAR, detector::VARCHAR, severity::VARCHAR, status::VARCHAR) IS NOT NULL
        WHEN kind = 'erasure' THEN
            meta->>'$.kind' IS DISTINCT FROM kind
            OR meta->>'$.id' IS DISTINCT FROM id
            OR (meta->>'$.at_ms')::BIGINT IS DISTINCT FROM at_ms
            OR meta->>'$.by' IS DISTINCT FROM "by"
            OR coalesce(command::VARCHAR, finding_id::VARCHAR, incident_id::VARCHAR, detector::VARCHAR,
                   environment::VARCHAR, agent_id::VARCHAR, severity::VARCHAR, status::VARCHAR) IS NOT NULL
        WHEN kind = 'hold' THEN
            meta->>'$.kind' IS DISTINCT FROM kind
            OR meta->>'$.id' IS DISTINCT FROM id
            OR (meta->>'$.at_ms')::BIGINT IS DISTINCT FROM at_ms
            OR meta->>'$.by' IS DISTINCT FROM "by"
            OR coalesce(command::VARCHAR, finding_id::VARCHAR, incident_id::VARCHAR, detector::VARCHAR,
                   environment::VARCHAR, agent_id::VARCHAR, severity::VARCHAR, status::VARCHAR) IS NOT NULL
        WHEN kind = 'finding' THEN
            meta->>'$.kind' IS DISTINCT FROM kind
            OR meta->>'$.id' IS DISTINCT FROM id
            OR (meta->>'$.found_at_ms')::BIGINT IS DISTINCT FROM at_ms
            OR meta->>'$.id' IS DISTINCT FROM finding_id
            OR meta->>'$.incident_id' IS DISTINCT FROM incident_id
            OR meta->>'$.finding.detector' IS DISTINCT FROM detector
            OR meta->>'$.finding.environment' IS DISTINCT FROM environment
            OR meta->>'$.finding.agent_id' IS DISTINCT FROM agent_id
            OR meta->>'$.finding.severity' IS DISTINCT FROM severity
            OR coalesce(command::VARCHAR, status::VARCHAR, "by"::VARCHAR) IS NOT NULL
        WHEN kind = 'incident' THEN
            meta->>'$.kind' IS DISTINCT FROM kind
            OR meta->>'$.id' IS DISTINCT FROM id
            OR (meta->>'$.at_ms')::BIGINT IS DISTINCT FROM at_ms
            OR meta->>'$.incident_id' IS DISTINCT FROM incident_id
            OR meta->>'$.environment' IS DISTINCT FROM environment
            OR meta->>'$.agent_id' IS DISTINCT FROM agent_id
            OR meta->>'$.severity' IS DISTINCT FROM severity
            OR meta->>'$.status' IS DISTINCT FROM status
            OR meta->>'$.by' IS DISTINCT FROM "by"
            OR coalesce(command::VARCHAR, finding_id::VARCHAR, detector::VARCHAR) IS NOT NULL
        ELSE true
    END AS columns_differ,
    CASE WHEN meta IS NULL THEN coalesce(id::VARCHAR, at_ms::VARCHAR, command::VARCHAR, finding_id::VARCHAR, incident_id::VARCHAR,
            detector::VARCHAR, environment::VARCHAR, agent_id::VARCHAR, severity::VARCHAR, status::VARCHAR,
            "by"::VARCHAR) IS NOT NULL ELSE false END AS columns_kept
FROM query(getvariable('read_appends'));

-- h = SHA-256(h of the row before ‖ leaf); before a file's first row stands what the log says. The heads of the
-- segments that were compacted into a file stand among its rows, each after as many rows as the log says.
CREATE OR REPLACE TEMP TABLE originals AS
SELECT unhex(o.head) AS head, f.file, sum(o."rows") OVER (PARTITION BY f.file ORDER BY o."start") AS rows_until
FROM published AS o JOIN live_files AS f
  ON f.topic_id = o.topic_id AND f."partition" = o."partition" AND o."start" >= f."start" AND o."start" < f."end"
WHERE o.kind IN ('seal', 'append');

CREATE OR REPLACE TEMP TABLE checked_files AS
WITH chained AS (
    SELECT *, lag(h) OVER in_file AS h_before, lag("offset") OVER in_file AS offset_before, lag(item) OVER in_file AS item_before
    FROM hashed WINDOW in_file AS (PARTITION BY file ORDER BY file_row_number)
), judged AS (
    SELECT r.file, r.file_row_number, r."offset", r.item, r.h,
        unhex(sha256(coalesce(r.h_before, f.prev) || r.leaf)) IS DISTINCT FROM r.h AS unlinked,
        r."offset" < r.offset_before OR (r."offset" = r.offset_before AND r.item <= r.item_before) AS unordered,
        r."offset" < f."start" OR r."offset" >= f."end" AS outside,
        r.gone = 3 AS malformed, r.gone IN (1, 2) AND NOT f.has_erased AS unaccounted, r.columns_kept, r.columns_differ,
        o.head IS NOT NULL AND o.head = r.h AS ends_original
    FROM chained AS r JOIN live_files AS f USING (file)
    LEFT JOIN originals AS o ON o.file = r.file AND o.rows_until = r.file_row_number + 1
)
SELECT file, count(*) AS "rows", lower(hex(arg_max(h, file_row_number))) AS head,
    count(*) FILTER (ends_original) AS ended,
    list({"offset": "offset", item: item, fault: CASE
        WHEN malformed THEN 'rows intact: neither whole nor erased: a value is null, a salt too long, or a commitment too many'
        WHEN unordered THEN 'rows intact: out of order or repeated'
        WHEN unlinked THEN 'rows intact: the row is not the one that was chained here: edited, inserted, moved, or rows before it are missing'
        WHEN outside THEN 'offsets complete: outside of its segment''s offsets'
        WHEN unaccounted THEN 'erasures accounted for: a value is gone, and no erase entry accounts for it'
        WHEN columns_kept THEN 'erasures accounted for: an erased row kept typed columns'
        ELSE 'columns match the records: a typed column differs' END})
        FILTER (unlinked OR unordered OR outside OR malformed OR unaccounted OR columns_kept OR columns_differ) AS faults
FROM judged GROUP BY file;

-- 4. The faults. -------------------------------------------------------------------------------------------------
WITH row_faults AS (
    SELECT f.topic_id, f."partition", f.name AS segment, fault."offset" AS "offset", fault.item AS item, fault.fault AS fault
    FROM (SELECT file, unnest(faults) AS fault FROM checked_files) JOIN live_files AS f USING (file)
), erased_faults AS (
    -- Where erase entries speak of a file: what is gone from each of its rows, and what they say.
    SELECT s.topic_id, s."partition", s.name AS segment, s."offset", s.item,
        CASE WHEN s.gone < s.said THEN 'erasures accounted for: an erase entry says that it is gone, but it is there'
             ELSE 'erasures accounted for: a value is gone, and no erase entry accounts for it' END AS fault
    FROM (
        SELECT f.topic_id, f."partition", f.name, r."offset", r.item,
            CASE WHEN r.salt_m IS NULL THEN 2 WHEN r.salt_p IS NULL THEN 1 ELSE 0 END AS gone,
            coalesce(max(e.gone), 0) AS said
        FROM query(getvariable('read_erased')) AS r JOIN live_files AS f ON f.path = r.filename
        LEFT JOIN erased AS e ON e.topic_id = f.topic_id AND e."partition" = f."partition"
            AND place_of(r."offset", r.item) BETWEEN e.first_position AND e.last_position
        GROUP BY ALL
    ) AS s WHERE s.gone <> s.said
), orders AS (
    SELECT meta->>'$.erasure' AS erasure, min((meta->>'$.at_ms')::BIGINT) AS at_ms
    FROM query(getvariable('read_appends')) WHERE kind = 'erasure' AND meta->>'$.phase' = 'intent' GROUP BY ALL
), unordered_erasures AS (
    SELECT DISTINCT e.topic_id, e."partition", e.number AS entry,
        'erasures accounted for: no intent in _control orders it, or a younger one' AS fault
    FROM erased AS e JOIN entries AS n USING (topic_id, "partition", number)
    LEFT JOIN orders AS o ON o.erasure = e.erasure AND o.at_ms <= n.entry.at_ms + 60000 WHERE o.erasure IS NULL
), segment_faults AS (
    SELECT p.topic_id, p."partition", p.name AS segment, p.number AS entry, unnest(list_filter([
        CASE WHEN l.path IS NULL THEN 'segments linked: the file is missing' END,
        CASE WHEN l.path IS NOT NULL AND (c."rows" IS DISTINCT FROM p."rows" OR c.head IS DISTINCT FROM p.head)
             THEN 'segments linked: its rows do not end where the log says, or are more or fewer' END,
        CASE WHEN l.path IS NOT NULL AND (f."auditfuse.topic_id", f."auditfuse.partition", f."auditfuse.start",
                   f."auditfuse.end", f."auditfuse.rows", f."auditfuse.prev", f."auditfuse.head",
                   f."auditfuse.merkle_root", f."auditfuse.epoch", f."auditfuse.kind")
                 IS DISTINCT FROM (p.topic_id, p."partition"::VARCHAR, p."start"::VARCHAR, p."end"::VARCHAR,
                   p."rows"::VARCHAR, p.prev, p.head, p.merkle_root, p.epoch::VARCHAR, p.kind)
             THEN 'segments linked: its footer says something else than the log' END,
        CASE WHEN l.path IS NOT NULL AND c.ended IS DISTINCT FROM (SELECT count(*) FROM originals AS o WHERE o.file = l.file)
             THEN 'rows intact: the chain does not pass the heads of the segments that it was made of' END,
        CASE WHEN p.prev IS DISTINCT FROM coalesce(
                 lag(p.head) OVER (PARTITION BY p.topic_id, p."partition" ORDER BY p."start"),
                 sha256(encode('auditfuse/1' || p.topic_id) || p."partition"::BIT::BLOB))
             THEN 'segments linked: does not follow from the segment before it' END
    ], lambda fault: fault IS NOT NULL)) AS fault
    FROM published AS p LEFT JOIN live_files AS l USING (path) LEFT JOIN footers AS f USING (path)
    LEFT JOIN checked_files AS c USING (file)
    WHERE p.live
), named AS (
    SELECT topic_id, "partition", number AS entry, name AS segment, unnest(list_filter([
        CASE WHEN name IS DISTINCT FROM printf('%020d-%020d-%010d-%s-%s.parquet', "start", "end", epoch, kind, left(sha256, 16))
             THEN 'log linked: its segment is not called what it holds' END,
        CASE WHEN times_removed > 1 OR removed_by <= number
             THEN 'log linked: it is replaced by an entry at which it is not live' END
    ], lambda fault: fault IS NOT NULL)) AS fault
    FROM published
), replaced AS (
    -- What a compaction or an erasure took away, and what it put in its place: the same rows of the same chain.
    SELECT n.topic_id, n."partition", n.number AS entry,
        'log linked: it does not hold the same rows before and after, or replaces what was not live' AS fault
    FROM entries AS n
    LEFT JOIN (SELECT topic_id, "partition", removed_by AS number, count(*) AS inputs, min("start") AS "start",
                   max("end") AS "end", sum("rows") AS "rows", arg_min(prev, "start") AS prev, arg_max(head, "start") AS head
               FROM published WHERE removed_by IS NOT NULL GROUP BY ALL) AS i USING (topic_id, "partition", number)
    LEFT JOIN (SELECT topic_id, "partition", number, min("start") AS "start", max("end") AS "end", sum("rows") AS "rows",
                   arg_min(prev, "start") AS prev, arg_max(head, "start") AS head
               FROM published GROUP BY ALL) AS o USING (topic_id, "partition", number)
    WHERE n.kind IN ('compact', 'erase')
      AND (i.inputs IS DISTINCT FROM len(n.entry.inputs) OR (i."start", i."end", i."rows", i.prev, i.head)
           IS DISTINCT FROM (o."start", o."end", o."rows", o.prev, o.head))
), chained_entries AS (
    SELECT *, lag(hash) OVER in_log AS hash_before, row_number() OVER in_log - 1 AS expected_number,
        lag(ends_at IGNORE NULLS) OVER in_log AS end_before,
        lag(entry.segment.head IGNORE NULLS) OVER in_log AS head_before,
        lag(CASE WHEN kind = 'claim' AND role = 'writer' THEN {epoch: epoch, writer: entry.writer} END IGNORE NULLS)
            OVER in_log AS writer_claim,
        lag(CASE WHEN kind = 'claim' AND role = 'maintenance' THEN {epoch: epoch, writer: entry.writer} END IGNORE NULLS)
            OVER in_log AS maintenance_claim,
        lag(CASE WHEN kind IN ('halt', 'gap', 'resume') THEN kind END IGNORE NULLS) OVER in_log AS halt_before
    FROM entries
    WINDOW in_log AS (PARTITION BY topic_id, "partition" ORDER BY number)
), entry_faults AS (
    SELECT topic_id, "partition", number AS entry, unnest(list_filter([
        CASE WHEN NOT is_one THEN 'log linked: its file and its bundle hold different bytes' END,
        CASE WHEN number <> expected_number THEN 'log linked: an entry before it is missing' END,
        CASE WHEN entry.n IS NULL THEN 'log linked: not a log entry' END,
        CASE WHEN entry.prev IS DISTINCT FROM coalesce(hash_before, repeat('0', 64))
             THEN 'log linked: the entry before it is not the one that was there when it was written' END,
        CASE WHEN (entry.n, entry.topic_id, entry."partition") IS DISTINCT FROM (number, topic_id, "partition")
             THEN 'log linked: it was written for another place' END,
        CASE WHEN kind IN ('seal', 'append') AND entry.segment."start" IS DISTINCT FROM coalesce(end_before, 0)
             THEN 'log linked: its segment does not start where the log ended' END,
        CASE WHEN kind IN ('seal', 'append') AND entry.segment.prev IS DISTINCT FROM coalesce(head_before,
                 sha256(encode('auditfuse/1' || topic_id) || "partition"::BIT::BLOB))
             THEN 'log linked: its segment does not chain onto the last row of the log' END,
        CASE WHEN kind = 'claim' AND epoch <> 1 + coalesce(
                 CASE WHEN role = 'writer' THEN writer_claim.epoch ELSE maintenance_claim.epoch END, 0)
             THEN 'log linked: it does not claim the next epoch' END,
        CASE WHEN kind IN ('seal', 'idle', 'halt', 'batch')
                  AND (epoch, entry.writer) IS DISTINCT FROM (writer_claim.epoch, writer_claim.writer)
             THEN 'log linked: by one who does not hold the latest writer claim' END,
        CASE WHEN kind IN ('compact', 'erase')
                  AND (epoch, entry.writer) IS DISTINCT FROM (maintenance_claim.epoch, maintenance_claim.writer)
             THEN 'log linked: by one who does not hold the latest maintenance claim' END,
        CASE WHEN kind IN ('seal', 'append', 'idle', 'halt') AND halt_before = 'halt'
             THEN 'log linked: while the partition was halted' END,
        CASE WHEN kind IN ('gap', 'resume') AND (halt_before IS DISTINCT FROM 'halt' OR entry."by" IS NULL OR entry.reason IS NULL)
             THEN 'log linked: without a halt before it, a name or a reason' END,
        CASE WHEN kind IN ('idle', 'gap') AND entry."end" < coalesce(end_before, 0)
             THEN 'log linked: it goes back behind the log''s end' END,
        CASE WHEN kind = 'append' AND (NOT starts_with(topic_id, '_') OR len(list_distinct(entry.ids)) <> entry.segment."rows")
             THEN 'log linked: an append elsewhere, or without an id for each of its rows' END,
        CASE WHEN kind = 'erase' AND (entry.erasure IS NULL
                  OR len(coalesce(entry.erased_rows, [])) + len(coalesce(entry.erased_payloads, [])) = 0)
             THEN 'log linked: it names no erasure, or nothing that it erased' END
    ], lambda fault: fault IS NOT NULL)) AS fault
    FROM chained_entries
), leaves AS (
    SELECT number AS batch, topic_id, "partition", first_n, hash,
        first_n + row_number() OVER (PARTITION BY number, place ORDER BY place) - 1 AS number
    FROM (SELECT number, place, leaf.topic_id AS topic_id, leaf."partition" AS "partition", leaf.first_n AS first_n,
              unnest(leaf.hashes) AS hash
          FROM (SELECT number, unnest(entry.leaves) AS leaf, generate_subscripts(entry.leaves, 1) AS place
                FROM entries WHERE topic_id = '_checkpoint' AND kind = 'batch'))
), checkpoint_faults AS (
    SELECT l.topic_id, l."partition", l.number AS entry,
        'checkpoints consistent: the entry is missing, or not the one that batch ' || l.batch || ' put into the tree' AS fault
    FROM leaves AS l LEFT JOIN entries AS e USING (topic_id, "partition", number) WHERE e.hash IS DISTINCT FROM l.hash
), ids AS (
    SELECT topic_id, "partition", max(entry) AS entry, 'log linked: it appends an id that was appended before' AS fault
    FROM (SELECT topic_id, "partition", number AS entry, unnest(entry.ids) AS id FROM entries WHERE kind = 'append')
    GROUP BY topic_id, "partition", id HAVING count(*) > 1
), unlogged AS (
    SELECT split_part(replace(file, '\', '/'), '/', -3) AS topic_id,
        split_part(replace(file, '\', '/'), '/', -2)::INTEGER AS "partition",
        'log linked: ' || count(*) || ' segment files but no log' AS fault
    FROM glob(getvariable('store') || '/segments/*/*/*.parquet') GROUP BY ALL
    HAVING (topic_id, "partition") NOT IN (SELECT (topic_id, "partition") FROM entries)
       -- Appending needs no claim: a first append that was cut short leaves a segment and no entry.
       AND NOT (topic_id IN ('_control', '_findings')
                AND bool_and(starts_with(split_part(replace(file, '\', '/'), '/', -1), repeat('0', 20) || '-')))
)
SELECT topic_id, "partition", NULL::BIGINT AS entry, segment, "offset", item, fault FROM row_faults
UNION ALL BY NAME SELECT topic_id, "partition", segment, "offset", item, fault FROM erased_faults
UNION ALL BY NAME SELECT topic_id, "partition", entry, fault FROM unordered_erasures
UNION ALL BY NAME SELECT topic_id, "partition", entry, segment, fault FROM segment_faults
UNION ALL BY NAME SELECT topic_id, "partition", entry, segment, fault FROM named
UNION ALL BY NAME SELECT topic_id, "partition", entry, fault FROM replaced
UNION ALL BY NAME SELECT topic_id, "partition", entry, fault FROM entry_faults
UNION ALL BY NAME SELECT topic_id, "partition", entry, fault FROM checkpoint_faults
UNION ALL BY NAME SELECT topic_id, "partition", entry, fault FROM ids
UNION ALL BY NAME SELECT topic_id, "partition", fault FROM unlogged
ORDER BY topic_id, "partition", entry, segment, "offset", item;

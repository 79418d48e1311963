-- Hand-written SQL, in named blocks: `-- name:` begins one, its sentence says what it is for.

-- name: lock_migrations
-- One migration at a time in this database; held until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('aegis.migrations'));

-- name: insert_lsn
-- Where the log ends now: every transaction that committed before has its commit record before this.
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn;

-- name: snapshot
-- Which transactions the statements of this (REPEATABLE READ) transaction do not see.
SELECT pg_current_snapshot()::text;

-- name: next_xid
-- The 32-bit id that the next transaction will get: a snapshot names only what lies below the last one ended.
SELECT (age('3'::xid)::bigint + 3) & 4294967295;

-- name: is_standby
-- A standby's log ends where the primary's has been copied to.
SELECT pg_is_in_recovery();

-- name: estimate
-- About how many rows a table has; -1 before its first VACUUM or ANALYZE.
SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:table);

-- name: lock_run
-- One reconciler at a time for all keys, or one for each share of them; held until the connection ends.
SELECT CASE WHEN :shared THEN pg_try_advisory_lock_shared(hashtext('aegis.reconcile'), 0)
            ELSE pg_try_advisory_lock(hashtext('aegis.reconcile'), 0) END
   AND pg_try_advisory_lock(hashtext('aegis.reconcile'), hashtext(:shard))
   AND pg_try_advisory_lock_shared(hashtext('aegis.reconcile.shares'), :count);

-- name: other_shares
-- Whether a run is at work that divides the keys into another number of shares: those overlap.
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid::bigint = hashtext('aegis.reconcile.shares')::bigint & 4294967295 AND objid::bigint <> :count
);

-- name: slot
-- How far a replication slot has come, and whether its log is still kept.
SELECT slot_name, active, wal_status, safe_wal_size,
       confirmed_flush_lsn - '0/0'::pg_lsn AS confirmed_flush_lsn,
       pg_current_wal_insert_lsn() - confirmed_flush_lsn AS lag_bytes
FROM pg_replication_slots
WHERE slot_name = :slot AND database = current_database();

-- name: mark
-- Commit something in the publication, so that the stream passes the present end of the log.
INSERT INTO cdc.fence DEFAULT VALUES RETURNING id;

-- name: identity
-- Which cluster this is, and which timeline of it: both are other ones after a restore, or in a copy.
SELECT (pg_control_system()).system_identifier::text,
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int;

-- name: forget_marks
-- Old markers have done their work.
DELETE FROM cdc.fence WHERE created_at < now() - interval '1 hour';

-- name: wal_level
-- Logical decoding needs `logical`.
SELECT current_setting('wal_level');

-- name: may_login
-- Whether a role may log in; no row when there is no such role.
SELECT rolcanlogin FROM pg_roles WHERE rolname = :role;

-- name: publication_tables
-- The tables of a publication with the columns it publishes.
SELECT schemaname || '.' || tablename AS "table", attnames::text[] AS columns
FROM pg_publication_tables
WHERE pubname = :publication
ORDER BY 1;

-- name: replica_identity
-- What of the old row an UPDATE or DELETE writes into the log: d(efault), f(ull), i(ndex), n(othing).
SELECT relreplident::text FROM pg_class WHERE oid = to_regclass(:table);

-- name: drop_slot
-- Give up a replication slot that nobody reads; its log may be removed.
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = :slot AND NOT active;

-- name: expiry
-- The time before which search history is too old.
SELECT now() - make_interval(days => :days);

-- name: expired_count
-- How many questions are older than the retention allows.
SELECT count(*) FROM search_queries WHERE timestamp < :before;

-- name: expired_responses
-- The answers to them.
SELECT count(*) FROM search_responses r JOIN search_queries q ON q.id = r.query_id WHERE q.timestamp < :before;

-- name: expired_feedback
-- What was thought of them.
SELECT count(*) FROM user_feedback f JOIN search_queries q ON q.id = f.query_id WHERE q.timestamp < :before;

-- name: expired_queries
-- The oldest of them, from where the last batch ended; those that somebody answers just now are left alone.
SELECT id, timestamp::text FROM search_queries
WHERE timestamp >= CAST(:since AS timestamptz) AND timestamp < :before
ORDER BY search_queries.timestamp LIMIT :limit FOR UPDATE SKIP LOCKED;

-- name: remove_feedback
-- At most so many of what was thought of these questions: one question may have any number.
DELETE FROM user_feedback WHERE id IN (SELECT id FROM user_feedback WHERE query_id = ANY (:ids) LIMIT :limit);

-- name: remove_responses
-- What was answered to these questions.
DELETE FROM search_responses WHERE query_id = ANY (:ids);

-- name: remove_queries
-- The questions themselves.
DELETE FROM search_queries WHERE id = ANY (:ids);

-- name: audit_begin
-- An entry of ours in the audit log.
INSERT INTO audit_logs (entity_type, action, actor, changes, metadata)
VALUES (:entity_type, :action,
        left(coalesce(nullif(current_setting('aegis.actor', true), ''), session_user), 255),
        :changes, :metadata)
RETURNING id;

-- name: audit_update
-- What a run has done so far, in the transaction that does it: also a run that was killed has told the truth.
UPDATE audit_logs SET changes = :changes, metadata = :metadata WHERE id = :id;

-- name: lock_batch
-- One run of a batch of images at a time; held until the connection ends.
SELECT pg_advisory_lock(hashtext('aegis.ocr'), hashtext(:batch_id));

-- name: begin_batch
-- A new batch, or one whose last run did not come to its end; no row when it did.
INSERT INTO batch_executions AS b (batch_id, status, total_images, started_at)
VALUES (:batch_id, 'RUNNING', :total, now())
ON CONFLICT (batch_id) DO UPDATE
SET status = 'RUNNING', total_images = :total, completed_images = 0, failed_images = 0, started_at = now()
WHERE b.completed_at IS NULL
RETURNING id;

-- name: batch_counts
-- What a batch that came to its end has told of itself.
SELECT total_images, completed_images, failed_images FROM batch_executions WHERE batch_id = :batch_id;

-- name: batch_progress
-- How far the run is, for others to see.
UPDATE batch_executions SET status = :status, completed_images = :completed, failed_images = :failed
WHERE id = :id;

-- name: end_batch
-- The last word, in the transaction that brings the images.
UPDATE batch_executions
SET status = :status, completed_images = :completed, failed_images = :failed, completed_at = clock_timestamp()
WHERE id = :id;

-- name: add_chain
-- The images of a batch as one chain.
INSERT INTO chain_executions (batch_execution_id, status, total_tasks) VALUES (:batch, 'RUNNING', :total)
RETURNING id;

-- name: end_chain
-- The last word on a chain.
UPDATE chain_executions SET status = :status, completed_tasks = :completed, failed_tasks = :failed
WHERE id = :id;

-- name: add_images
-- Many images at once.
INSERT INTO ocr_executions (id, chain_execution_id, image_path, public_path, status, error)
SELECT id, :chain, image_path, public_path, CASE WHEN error IS NULL THEN 'success' ELSE 'failed' END, error
FROM jsonb_to_recordset(:images) AS i (id uuid, image_path text, public_path text, error text);

-- name: add_tasks
-- The tasks that read these images, each named by its image's id.
INSERT INTO task_logs (task_id, chain_execution_id, status, error)
SELECT id::text, :chain, CASE WHEN error IS NULL THEN 'SUCCESS' ELSE 'FAILURE' END, error
FROM jsonb_to_recordset(:images) AS i (id uuid, error text);

-- name: add_text_boxes
-- The text boxes of many images at once.
INSERT INTO ocr_text_boxes (ocr_execution_id, text, confidence, bbox)
SELECT ocr_execution_id, text, confidence, bbox
FROM jsonb_to_recordset(:boxes)
     AS b (ocr_execution_id uuid, text text, confidence double precision, bbox jsonb);

-- name: taxonomy_lookup
-- The nodes of these paths, in one version or in all; OFFSET 0: each by the unique index, or it reads the table.
SELECT node_id, canonical_path, version
FROM jsonb_array_elements(:paths) AS p (path)
CROSS JOIN LATERAL (
    SELECT ARRAY(SELECT label FROM jsonb_array_elements_text(path) WITH ORDINALITY AS l (label, n) ORDER BY n) AS path
) AS wanted
CROSS JOIN LATERAL (
    SELECT node_id, canonical_path, version FROM taxonomy_nodes
    WHERE canonical_path = wanted.path AND (CAST(:version AS text) IS NULL OR version = :version)
    OFFSET 0
) AS node;

-- name: taxonomy_paths
-- Every path that there is, to say which are closest to one that there is not.
SELECT DISTINCT canonical_path FROM taxonomy_nodes WHERE CAST(:version AS text) IS NULL OR version = :version;

-- name: lock_import
-- One chunk of rows for a table at a time; held until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('aegis.import'), hashtext(:table));

-- name: lock_taxonomy
-- One import of the taxonomy at a time; held until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('aegis.import'), hashtext('taxonomy_nodes'));

-- name: add_ancestors
-- Nodes for what a version names above its nodes and has none of its own for: a tree has no gaps.
INSERT INTO taxonomy_nodes (label, canonical_path, version, confidence)
SELECT DISTINCT canonical_path[n], canonical_path[1:n], version, 1.0
FROM taxonomy_nodes, generate_series(1, cardinality(canonical_path) - 1) AS n
WHERE version = :version AND length(canonical_path[n]) <= 200
ON CONFLICT DO NOTHING
RETURNING canonical_path;

-- name: taxonomy_subtree
-- The nodes at a path and below it, in one version or in all; by the index of what a path contains.
SELECT node_id, canonical_path, version, confidence FROM taxonomy_nodes
WHERE canonical_path @> CAST(:path AS text[]) AND canonical_path[1:cardinality(CAST(:path AS text[]))] = :path
  AND (CAST(:version AS text) IS NULL OR version = :version);

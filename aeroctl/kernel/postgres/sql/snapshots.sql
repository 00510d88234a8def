-- Contract: NodeSnapshots. One JSON document, no statement text: it may hold secrets.
-- As in mvcc.sql, `age` is the signed distance of 32-bit transaction ids to the next full one.
WITH own AS MATERIALIZED (
  SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_full
), seen AS MATERIALIZED (
  SELECT 'backend' AS kind, pid::text AS holder, datname::text AS database, usename::text AS owner,
    state, backend_xmin AS xid, xact_start AS since
  FROM pg_stat_activity
  WHERE pid <> pg_backend_pid() AND backend_type <> 'walsender'
    AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum) -- holds nothing back by design
  UNION ALL
  SELECT 'slot', slot_name::text, database::text, NULL,
    CASE WHEN active THEN 'active' ELSE 'inactive' END, coalesce(xmin, catalog_xmin), NULL
  FROM pg_replication_slots
  UNION ALL
  SELECT 'standby_feedback', application_name, NULL, usename::text, state, backend_xmin, NULL
  FROM pg_stat_replication
), aged AS MATERIALIZED (
  SELECT seen.*, next_full,
    ((next_full - xid::text::bigint + 2147483648) & 4294967295) - 2147483648 AS age
  FROM seen, own WHERE xid IS NOT NULL
)
SELECT json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'active', (
    SELECT coalesce(json_agg(
      json_build_object(
        'kind', kind,
        'holder', holder,
        'database', database,
        'owner', owner,
        'state', state,
        'xmin', (next_full - age)::text,
        'age', greatest(age, 0),
        'since', to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
      ) ORDER BY age DESC, kind COLLATE "C", holder COLLATE "C"
    ), '[]') FROM aged
  ),
  'base_backups', (
    SELECT coalesce(json_agg(
      json_build_object(
        'pid', backup.pid,
        'phase', backup.phase,
        'total_bytes', backup.backup_total,
        'streamed_bytes', backup.backup_streamed,
        'started_at', to_char(
          activity.query_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
        )
      ) ORDER BY backup.pid
    ), '[]')
    FROM pg_stat_progress_basebackup AS backup LEFT JOIN pg_stat_activity AS activity USING (pid)
  )
)::text

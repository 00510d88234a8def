-- Contract: NodeMvcc. One JSON document.
-- Where PostgreSQL shows only the lower 32 bits of a transaction id, the upper ones are those that
-- bring it nearest to the next id: `age` is the signed distance to it, also across a wrap-around.
WITH own AS MATERIALIZED (
  SELECT pg_current_snapshot() AS snapshot,
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_full
), seen AS MATERIALIZED (
  SELECT 'backend' AS kind, pid::text AS holder, backend_xmin AS xid
  FROM pg_stat_activity
  WHERE pid <> pg_backend_pid() AND backend_type <> 'walsender'
    AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum) -- holds nothing back by design
  UNION ALL
  -- a transaction that has written holds the horizon even while it keeps no snapshot
  SELECT 'backend', pid::text, backend_xid
  FROM pg_stat_activity WHERE pid <> pg_backend_pid()
  UNION ALL
  SELECT 'prepared_transaction', gid, transaction FROM pg_prepared_xacts
  UNION ALL
  SELECT 'slot', slot_name::text, xmin FROM pg_replication_slots
  UNION ALL
  SELECT 'slot_catalog', slot_name::text, catalog_xmin FROM pg_replication_slots
  UNION ALL
  SELECT 'standby_feedback', application_name, backend_xmin FROM pg_stat_replication
  UNION ALL
  SELECT 'database', datname::text, datfrozenxid FROM pg_database
), aged AS MATERIALIZED (
  SELECT kind, holder,
    ((next_full - xid::text::bigint + 2147483648) & 4294967295) - 2147483648 AS age
  FROM seen, own WHERE xid IS NOT NULL
), oldest AS MATERIALIZED (
  SELECT DISTINCT ON (kind) kind, holder, (next_full - age)::text AS xid, greatest(age, 0) AS age
  FROM aged, own ORDER BY kind, aged.age DESC, holder COLLATE "C"
)
SELECT json_build_object(
  'in_recovery', pg_is_in_recovery(),
  'xmin', pg_snapshot_xmin(snapshot)::text,
  'xmax', pg_snapshot_xmax(snapshot)::text,
  'in_progress', (SELECT count(*) FROM pg_snapshot_xip(snapshot)),
  'oldest_xid', frozen.xid,
  'oldest_xid_database', frozen.holder,
  'oldest_xid_age', frozen.age,
  'freeze_max_age', current_setting('autovacuum_freeze_max_age')::bigint,
  'horizon', (
    SELECT coalesce(json_agg(
      json_build_object('kind', kind, 'holder', holder, 'xmin', xid, 'age', age)
      ORDER BY age DESC, kind COLLATE "C"
    ), '[]') FROM oldest WHERE kind <> 'database'
  ),
  'prepared_transactions', (
    SELECT coalesce(json_agg(
      json_build_object(
        'gid', gid,
        'xid', (next_full
          - (((next_full - transaction::text::bigint + 2147483648) & 4294967295) - 2147483648))::text,
        'database', database,
        'owner', owner,
        'prepared_at', to_char(prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
      ) ORDER BY gid COLLATE "C"
    ), '[]') FROM pg_prepared_xacts
  )
)::text
FROM own, oldest AS frozen WHERE frozen.kind = 'database'

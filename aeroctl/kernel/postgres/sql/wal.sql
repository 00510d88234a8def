-- Contract: NodeWal. One JSON document.
WITH server AS MATERIALIZED (
  SELECT pg_is_in_recovery() AS in_recovery
), position AS MATERIALIZED (
  SELECT CASE WHEN in_recovery
    THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    ELSE pg_current_wal_lsn() END AS lsn
  FROM server
)
SELECT json_build_object(
  'in_recovery', in_recovery,
  'level', current_setting('wal_level'),
  'segment_bytes', pg_size_bytes(current_setting('wal_segment_size')),
  'lsn', lsn,
  'insert_lsn', CASE WHEN NOT in_recovery THEN pg_current_wal_insert_lsn() END,
  'flushed_lsn', CASE WHEN NOT in_recovery THEN pg_current_wal_flush_lsn() END,
  'received_lsn', CASE WHEN in_recovery THEN pg_last_wal_receive_lsn() END,
  'replayed_lsn', CASE WHEN in_recovery THEN pg_last_wal_replay_lsn() END,
  'directory', (
    SELECT json_build_object(
      'files', count(*),
      'bytes', coalesce(sum(size), 0)::bigint,
      'oldest_segment', min(name COLLATE "C"),
      'newest_segment', max(name COLLATE "C")
    ) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'
  ),
  'archiver', (
    SELECT json_build_object(
      'mode', current_setting('archive_mode'),
      'archived', archived_count,
      'last_archived_segment', last_archived_wal,
      'last_archived_at', to_char(
        last_archived_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
      ),
      'failed', failed_count,
      'last_failed_segment', last_failed_wal,
      'last_failed_at', to_char(
        last_failed_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
      )
    ) FROM pg_stat_archiver
  ),
  'max_wal_bytes', pg_size_bytes(current_setting('max_wal_size')),
  'keep_bytes', pg_size_bytes(current_setting('wal_keep_size')),
  'slot_limit_bytes', nullif(pg_size_bytes(current_setting('max_slot_wal_keep_size')), -1),
  'slots', (
    SELECT coalesce(json_agg(
      json_build_object(
        'name', slot_name,
        'kind', slot_type,
        'database', database,
        'active', active,
        'restart_lsn', restart_lsn,
        'confirmed_lsn', confirmed_flush_lsn,
        'wal_status', wal_status,
        'safe_bytes', safe_wal_size,
        'retained_bytes', greatest(0, pg_wal_lsn_diff(lsn, restart_lsn))::bigint
      ) ORDER BY slot_name COLLATE "C"
    ), '[]') FROM pg_replication_slots
  )
)::text
FROM server, position

-- Contract: NodeCheckpoint. One JSON document.
-- The control file keeps the next transaction id in full (epoch:xid) and the others as their lower
-- 32 bits; those are not newer than the next, so they are at most one wrap-around behind it.
WITH checkpoint AS MATERIALIZED (
  SELECT *,
    (split_part(next_xid, ':', 1)::bigint << 32) + split_part(next_xid, ':', 2)::bigint AS next_full
  FROM pg_control_checkpoint()
)
SELECT json_build_object(
  'system_id', (SELECT system_identifier::text FROM pg_control_system()),
  'in_recovery', pg_is_in_recovery(),
  'checkpoint_lsn', checkpoint_lsn,
  'redo_lsn', redo_lsn,
  'redo_segment', redo_wal_file,
  'timeline', timeline_id,
  'previous_timeline', prev_timeline_id,
  'time', to_char(checkpoint_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
  'next_xid', next_full::text,
  'oldest_xid', (next_full - ((next_full - oldest_xid::text::bigint) & 4294967295))::text,
  -- a shutdown checkpoint writes 0: nothing was active
  'oldest_active_xid', CASE WHEN oldest_active_xid::text <> '0' THEN
    (next_full - ((next_full - oldest_active_xid::text::bigint) & 4294967295))::text END,
  'full_page_writes', full_page_writes,
  'data_checksums', (SELECT data_page_checksum_version <> 0 FROM pg_control_init()),
  'min_recovery_end_lsn', nullif(min_recovery_end_lsn, '0/0'),
  'min_recovery_end_timeline', nullif(min_recovery_end_timeline, 0)
)::text
FROM checkpoint, pg_control_recovery()

-- Contract: NodeReplication, without Receiver.upstream and Sender.node. One JSON document.
WITH server AS MATERIALIZED (
  SELECT pg_is_in_recovery() AS in_recovery
), receiver AS MATERIALIZED (
  SELECT * FROM pg_stat_wal_receiver WHERE pid IS NOT NULL
)
SELECT json_build_object(
  'system_id', (SELECT system_identifier::text FROM pg_control_system()),
  'in_recovery', in_recovery,
  -- A default that was set for our role, for our database or by us says nothing of the server.
  'writable', NOT in_recovery AND (
    SELECT CASE WHEN source IN (
      'default', 'environment variable', 'configuration file', 'command line', 'global'
    ) THEN setting = 'off' END
    FROM pg_settings WHERE name = 'default_transaction_read_only'
  ),
  'timeline', CASE WHEN in_recovery THEN coalesce(
    (SELECT received_tli FROM receiver),
    (SELECT greatest(min_recovery_end_timeline, timeline_id)
     FROM pg_control_recovery(), pg_control_checkpoint())
  ) ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
  'lsn', CASE WHEN in_recovery
    THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    ELSE pg_current_wal_lsn() END,
  'received_lsn', CASE WHEN in_recovery THEN pg_last_wal_receive_lsn() END,
  'replayed_lsn', CASE WHEN in_recovery THEN pg_last_wal_replay_lsn() END,
  'replay_paused', CASE WHEN in_recovery THEN pg_is_wal_replay_paused() END,
  'last_replayed_at', CASE WHEN in_recovery THEN to_char(
    pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
  ) END,
  'receiver', (
    SELECT json_build_object(
      'status', status,
      'upstream', NULL,
      'host', sender_host,
      'port', sender_port,
      'slot', slot_name,
      'timeline', received_tli,
      'flushed_lsn', flushed_lsn,
      'last_message_at', to_char(
        last_msg_receipt_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
      )
    ) FROM receiver
  ),
  'senders', (
    SELECT coalesce(json_agg(
      json_build_object(
        'application_name', application_name,
        'node', NULL,
        'address', host(client_addr),
        'state', state,
        'sync_state', sync_state,
        'sent_lsn', sent_lsn,
        'written_lsn', write_lsn,
        'flushed_lsn', flush_lsn,
        'replayed_lsn', replay_lsn,
        'reply_at', to_char(reply_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
      ) ORDER BY application_name COLLATE "C", host(client_addr) COLLATE "C", pid
    ), '[]') FROM pg_stat_replication
  )
)::text
FROM server

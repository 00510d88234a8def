-- First on every connection: whom do we talk to, and are we shown everything? Without
-- pg_read_all_stats, views answer with holes instead of errors.
-- No two servers start in the same microsecond, so that this tells one from another. Patroni has a
-- server in recovery replicate under its member's name.
SELECT
  system_identifier::text,
  pg_has_role('pg_read_all_stats', 'USAGE'),
  current_user,
  system_identifier || ' ' || extract(epoch FROM pg_postmaster_start_time()),
  (
    SELECT coalesce(found[1], regexp_replace(found[2], '\\(.)', '\1', 'g'))
    FROM pg_settings, regexp_match(
      setting, '(?:^|\s)application_name\s*=\s*(?:([^''\s]+)|''((?:[^''\\]|\\.)*)'')'
    ) AS found
    WHERE name = 'primary_conninfo' AND pg_is_in_recovery()
  )
FROM pg_control_system()

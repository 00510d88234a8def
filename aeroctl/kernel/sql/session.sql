-- First on every connection: whom do we talk to, and are we shown everything? Without
-- pg_read_all_stats, views answer with holes instead of errors.
SELECT system_identifier::text, pg_has_role('pg_read_all_stats', 'USAGE'), current_user
FROM pg_control_system()

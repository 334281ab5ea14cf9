-- Who may do what to a log. Run as a superuser in the log's database (and schema: `SET search_path` first when it is
-- not `public`) before the first start, and again after every migration; running it twice changes nothing.
--
--   consortium_owner    makes and migrates the schema; nobody works as this role from day to day
--   consortium_worker   adds entries and keeps the derived tables; can neither change nor remove an entry
--   consortium_auditor  reads
--
-- They are groups: make login roles of your own and grant these to them
-- (CREATE ROLE worker_1 LOGIN PASSWORD '…' IN ROLE consortium_worker).

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['consortium_owner', 'consortium_worker', 'consortium_auditor'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', name);
    END IF;
  END LOOP;

  EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', current_schema());
  EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO consortium_owner', current_schema());
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO consortium_worker, consortium_auditor', current_schema());
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO consortium_owner, consortium_worker, consortium_auditor', current_database());

  IF to_regclass('entries') IS NOT NULL THEN
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO consortium_worker, consortium_auditor', current_schema());
    GRANT INSERT ON entries TO consortium_worker;
    IF to_regclass('rehearsal') IS NOT NULL THEN
      GRANT INSERT ON rehearsal TO consortium_worker;
    END IF;
    GRANT INSERT, UPDATE, DELETE ON read_generations, read_rows, snapshots, kept, lists, list_rows TO consortium_worker;
    IF to_regclass('sealed') IS NOT NULL THEN
      GRANT INSERT, UPDATE ON sealed, kept_hashes TO consortium_worker;
    END IF;
  END IF;
END $$;

-- A salt for each part of an entry; none in entries that rules older than 7 decided.
ALTER TABLE entries ADD COLUMN salts bytea NOT NULL DEFAULT '' CHECK (length(salts) % 16 = 0);

-- What is appended has a type of its own, not the table's: a column that a later release adds then changes nothing for who sends these.
CREATE TYPE entry AS (
  position   bigint,
  stream     text,
  command_id text,
  kind       text,
  actor      text,
  at         bigint,
  rules      text,
  command    bytea,
  signed     bytea,
  signature  bytea,
  outcome    text,
  body       bytea,
  salts      bytea,
  previous   bytea,
  hash       bytea
);
-- What workers of the releases before send.
CREATE TYPE entry_without_salts AS (
  position   bigint,
  stream     text,
  command_id text,
  kind       text,
  actor      text,
  at         bigint,
  rules      text,
  command    bytea,
  signed     bytea,
  signature  bytea,
  outcome    text,
  body       bytea,
  previous   bytea,
  hash       bytea
);

-- As `append_entries` in 0002_clock.sql, and what is said there and in 0001_log.sql of the clock, the lock, the look and the insert holds.
CREATE FUNCTION record_entries(appended entry[], host_clock bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  most_apart CONSTANT bigint := 30000000;
  came bigint := microseconds(statement_timestamp());
  rehearsed boolean;
  oldest_rules numeric;
  tail_position bigint;
  tail_at bigint;
  tail_rules text;
  tail_hash bytea;
BEGIN
  PERFORM pg_advisory_xact_lock(entries_lock());
  SELECT e.position, e.at, e.rules, e.hash INTO tail_position, tail_at, tail_rules, tail_hash FROM entries e ORDER BY e.position DESC LIMIT 1;
  rehearsed := EXISTS (SELECT FROM rehearsal);
  IF NOT rehearsed AND abs(host_clock - came) > most_apart THEN
    PERFORM refuse_append('clock_apart', format('the clock of the host is %s s %s the database''s',
      round(abs(host_clock - came) / 1000000.0), CASE WHEN host_clock < came THEN 'behind' ELSE 'ahead of' END));
  END IF;
  IF appended[1].position <> coalesce(tail_position, 0) + 1 OR appended[1].previous <> coalesce(tail_hash, decode(repeat('00', 32), 'hex')) THEN
    RETURN false;
  END IF;
  IF host_clock IS NULL AND NOT rehearsed THEN
    IF tail_position IS NOT NULL THEN
      PERFORM refuse_append('clock_apart', 'the log is a real one, and the clock of this host is a rehearsal''s');
    END IF;
    INSERT INTO rehearsal VALUES (clock_timestamp());
  END IF;
  IF host_clock IS NOT NULL AND NOT rehearsed AND EXISTS (
    SELECT FROM unnest(appended) a
    WHERE a.at > coalesce(tail_at, 0) AND abs(a.at - microseconds(clock_timestamp())) > most_apart
  ) THEN
    PERFORM refuse_append('entry_stale', 'an entry is dated more than 30 s from now');
  END IF;
  IF tail_rules ~ '^[0-9]+$' THEN
    SELECT min(a.rules::numeric) INTO oldest_rules FROM unnest(appended) a WHERE a.rules ~ '^[0-9]+$';
    IF oldest_rules < tail_rules::numeric THEN
      PERFORM refuse_append('newer_rules', format('rules %s decided the last entry, and rules %s this one', tail_rules, oldest_rules));
    END IF;
  END IF;
  INSERT INTO entries
    (position, stream, command_id, kind, actor, at, rules, command, signed, signature, outcome, body, salts, previous, hash)
    SELECT * FROM unnest(appended);
  RETURN true;
END $$;

-- For workers of the releases before. They name no types, so their statements take these functions as they took the former ones.
DROP FUNCTION append_entries(entries[]);
DROP FUNCTION append_entries(entries[], bigint);
CREATE FUNCTION append_entries(appended entry_without_salts[], host_clock bigint) RETURNS boolean LANGUAGE sql VOLATILE AS $$
  SELECT record_entries(array_agg(ROW(a.position, a.stream, a.command_id, a.kind, a.actor, a.at, a.rules, a.command, a.signed, a.signature,
    a.outcome, a.body, ''::bytea, a.previous, a.hash)::entry ORDER BY a.position), host_clock) FROM unnest(appended) a
$$;
CREATE FUNCTION append_entries(appended entry_without_salts[]) RETURNS boolean LANGUAGE sql VOLATILE AS $$
  SELECT append_entries(appended, CASE WHEN EXISTS (SELECT FROM rehearsal) THEN NULL ELSE microseconds(clock_timestamp()) END)
$$;

-- A session that prepared an append for the former functions goes on sending what they took. It is ended here: its worker connects anew
-- at once, and prepares it for these. Where the role that migrates may not end it, that takes until its worker prepares statements anew.
DO $$
DECLARE
  session integer;
BEGIN
  IF EXISTS (SELECT FROM entries) THEN
    FOR session IN SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'consortium' LOOP
      BEGIN
        PERFORM pg_terminate_backend(session);
      EXCEPTION WHEN insufficient_privilege THEN
        RAISE WARNING 'a session of another role goes on with what it prepared for the schema before';
      END;
    END LOOP;
  END IF;
END $$;

-- The time of an entry is held against the database's clock, so that a host whose clock is wrong cannot move the log's time.

-- Holds a row when the log is a rehearsal, whose time is nobody's clock. Decided with the first entry, for ever.
CREATE TABLE rehearsal (since timestamptz NOT NULL);

CREATE FUNCTION rehearsal_is_decided() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' OR EXISTS (SELECT FROM entries) THEN
    RAISE EXCEPTION 'whether a log is a rehearsal is decided with its first entry' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER rehearsal_is_decided BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON rehearsal
  FOR EACH STATEMENT EXECUTE FUNCTION rehearsal_is_decided();
ALTER TABLE rehearsal ENABLE ALWAYS TRIGGER rehearsal_is_decided;

CREATE FUNCTION microseconds(instant timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE AS
  $$ SELECT (extract(epoch FROM instant) * 1000000)::bigint $$;

-- What is refused has one code and a name of its own as its constraint. To workers of the release before, which do not know the
-- names, the code is an operator's intervention: they try again, and another worker may take over.
CREATE FUNCTION refuse_append(name text, message text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING MESSAGE = message, ERRCODE = 'operator_intervention', CONSTRAINT = name;
END $$;

-- `host_clock`: what the clock of the host shows that sends this; NULL for a rehearsal. Held against when the statement came, not
-- against when its turn came. What is said of the lock, the look and the insert in 0001_log.sql holds here too.
CREATE FUNCTION append_entries(appended entries[], host_clock bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
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
  INSERT INTO entries SELECT * FROM unnest(appended);
  RETURN true;
END $$;

-- For workers of the release before, which do not say what their clock shows.
CREATE OR REPLACE FUNCTION append_entries(appended entries[]) RETURNS boolean LANGUAGE sql VOLATILE AS $$
  SELECT append_entries(appended, CASE WHEN EXISTS (SELECT FROM rehearsal) THEN NULL ELSE microseconds(clock_timestamp()) END)
$$;

CREATE TABLE entries (
  position   bigint PRIMARY KEY CHECK (position > 0),
  stream     text COLLATE "C" NOT NULL,
  command_id text COLLATE "C" NOT NULL UNIQUE,
  kind       text COLLATE "C" NOT NULL,
  actor      text COLLATE "C" NOT NULL,
  at         bigint NOT NULL,
  rules      text COLLATE "C" NOT NULL,
  command    bytea NOT NULL,
  signed     bytea NOT NULL,
  signature  bytea NOT NULL,
  outcome    text COLLATE "C" NOT NULL CHECK (outcome IN ('accepted', 'refused')),
  body       bytea NOT NULL,
  previous   bytea NOT NULL CHECK (length(previous) = 32),
  hash       bytea NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX entries_of_stream ON entries (stream, position);
-- Compressing every body again at each insert costs more than it saves.
ALTER TABLE entries
  ALTER COLUMN command SET STORAGE EXTERNAL,
  ALTER COLUMN signed SET STORAGE EXTERNAL,
  ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE FUNCTION entries_are_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'entries are final' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER entries_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
  FOR EACH STATEMENT EXECUTE FUNCTION entries_are_final();
ALTER TABLE entries ENABLE ALWAYS TRIGGER entries_are_final;

-- One lock a log: two logs in two schemas of a database do not wait for each other.
CREATE FUNCTION entries_lock() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT 'entries'::regclass::oid::bigint $$;

-- Lock, look and insert are statements of their own: under READ COMMITTED each sees what was committed before it began,
-- so the tail is the one that the lock protects. The lock is let go after the commit is durable and visible.
CREATE FUNCTION append_entries(appended entries[]) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  tail_position bigint;
  tail_hash bytea;
BEGIN
  PERFORM pg_advisory_xact_lock(entries_lock());
  SELECT e.position, e.hash INTO tail_position, tail_hash FROM entries e ORDER BY e.position DESC LIMIT 1;
  IF appended[1].position <> coalesce(tail_position, 0) + 1 OR appended[1].previous <> coalesce(tail_hash, decode(repeat('00', 32), 'hex')) THEN
    RETURN false;
  END IF;
  INSERT INTO entries SELECT * FROM unnest(appended);
  RETURN true;
END $$;

CREATE VIEW events (position, number, stream, kind, at, body) AS
  SELECT e.position, j.number, e.stream, j.body ->> 'kind', e.at, j.body
  FROM entries e CROSS JOIN LATERAL json_array_elements(convert_from(e.body, 'UTF8')::json) WITH ORDINALITY AS j (body, number)
  WHERE e.outcome = 'accepted';

CREATE TABLE read_generations (
  generation bigint PRIMARY KEY,
  checkpoint bigint NOT NULL DEFAULT 0,
  live       boolean NOT NULL DEFAULT false
);
CREATE TABLE read_rows (
  generation bigint NOT NULL,
  model      text COLLATE "C" NOT NULL,
  key        text COLLATE "C" NOT NULL,
  body       bytea NOT NULL,
  PRIMARY KEY (generation, model, key)
);
CREATE TABLE snapshots (
  name     text COLLATE "C" PRIMARY KEY,
  shape    text NOT NULL,
  position bigint NOT NULL,
  body     bytea NOT NULL
);
ALTER TABLE snapshots ALTER COLUMN body SET STORAGE EXTERNAL;

-- Each (model, key) at most once; an empty body takes the row away.
CREATE FUNCTION project_rows(wanted bigint, after bigint, upto bigint, models text[], keys text[], bodies bytea[])
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  INSERT INTO read_generations (generation) SELECT wanted WHERE after = 0 ON CONFLICT DO NOTHING;
  UPDATE read_generations SET checkpoint = upto WHERE generation = wanted AND checkpoint = after;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO read_rows
    SELECT wanted, r.model, r.key, r.body FROM unnest(models, keys, bodies) AS r (model, key, body) WHERE r.body <> ''
    ON CONFLICT (generation, model, key) DO UPDATE SET body = excluded.body;
  DELETE FROM read_rows d USING unnest(models, keys, bodies) AS r (model, key, body)
    WHERE r.body = '' AND d.generation = wanted AND d.model = r.model AND d.key = r.key;
  RETURN true;
END $$;

CREATE FUNCTION promote_generation(wanted bigint, reached bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  INSERT INTO read_generations (generation) SELECT wanted WHERE reached = 0 ON CONFLICT DO NOTHING;
  PERFORM 1 FROM read_generations WHERE live FOR UPDATE;
  UPDATE read_generations SET live = true
    WHERE generation = wanted AND checkpoint >= reached AND checkpoint >= coalesce((SELECT max(checkpoint) FROM read_generations WHERE live), 0);
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM read_generations WHERE generation <> wanted;
  DELETE FROM read_rows WHERE generation <> wanted;
  RETURN true;
END $$;

CREATE VIEW agenda (stream, process, phase, line, waits_for, due, deadline, attention, closed) AS
  SELECT r.key, convert_from(r.body, 'UTF8')::jsonb->>'process', convert_from(r.body, 'UTF8')::jsonb->>'phase', convert_from(r.body, 'UTF8')::jsonb->>'line', convert_from(r.body, 'UTF8')::jsonb->>'waits_for', convert_from(r.body, 'UTF8')::jsonb->>'due', convert_from(r.body, 'UTF8')::jsonb->>'deadline', convert_from(r.body, 'UTF8')::jsonb->>'attention',
         convert_from(r.body, 'UTF8')::jsonb->>'closed'
  FROM read_rows r JOIN read_generations g USING (generation) WHERE g.live AND r.model = 'standings';
CREATE VIEW members (member, phase, name, tier, country, lei, dues_owed_minor, line) AS
  SELECT split_part(r.key, '/', 2), convert_from(r.body, 'UTF8')::jsonb->>'phase', convert_from(r.body, 'UTF8')::jsonb->'values'->>'name', convert_from(r.body, 'UTF8')::jsonb->'values'->>'tier', convert_from(r.body, 'UTF8')::jsonb->'values'->>'country', convert_from(r.body, 'UTF8')::jsonb->'values'->>'lei',
         convert_from(r.body, 'UTF8')::jsonb->'values'->>'dues_owed_minor', convert_from(r.body, 'UTF8')::jsonb->>'line'
  FROM read_rows r JOIN read_generations g USING (generation) WHERE g.live AND r.model = 'standings' AND r.key LIKE 'member/%';
CREATE VIEW proposals (proposal, phase, title, class, method, result, due, line) AS
  SELECT split_part(r.key, '/', 2), convert_from(r.body, 'UTF8')::jsonb->>'phase', convert_from(r.body, 'UTF8')::jsonb->'values'->>'title', convert_from(r.body, 'UTF8')::jsonb->'values'->>'class', convert_from(r.body, 'UTF8')::jsonb->'values'->>'method', convert_from(r.body, 'UTF8')::jsonb->'values'->>'result',
         convert_from(r.body, 'UTF8')::jsonb->>'due', convert_from(r.body, 'UTF8')::jsonb->>'line'
  FROM read_rows r JOIN read_generations g USING (generation) WHERE g.live AND r.model = 'standings' AND r.key LIKE 'proposal/%';
CREATE VIEW rounds (round, phase, pledged_minor, committed_minor, called_minor, cleared_minor, overdue_minor, held_minor, due, line) AS
  SELECT split_part(r.key, '/', 2), convert_from(r.body, 'UTF8')::jsonb->>'phase', convert_from(r.body, 'UTF8')::jsonb->'values'->>'pledged_minor', convert_from(r.body, 'UTF8')::jsonb->'values'->>'committed_minor', convert_from(r.body, 'UTF8')::jsonb->'values'->>'called_minor',
         convert_from(r.body, 'UTF8')::jsonb->'values'->>'cleared_minor', convert_from(r.body, 'UTF8')::jsonb->'values'->>'overdue_minor', convert_from(r.body, 'UTF8')::jsonb->'values'->>'held_minor', convert_from(r.body, 'UTF8')::jsonb->>'due', convert_from(r.body, 'UTF8')::jsonb->>'line'
  FROM read_rows r JOIN read_generations g USING (generation) WHERE g.live AND r.model = 'standings' AND r.key LIKE 'round/%';

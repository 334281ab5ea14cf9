-- What is derived, by the declared versions of what made it: several releases keep theirs side by side. `read_generations`,
-- `read_rows` and `snapshots` are those of the release before; its workers go on using them, and nobody else does.

CREATE TABLE kept (
  name     text COLLATE "C" NOT NULL,
  version  text COLLATE "C" NOT NULL,
  position bigint NOT NULL,
  body     bytea NOT NULL,
  PRIMARY KEY (name, version)
);
ALTER TABLE kept ALTER COLUMN body SET STORAGE EXTERNAL;

-- A number is never used twice: who still writes rows of a generation that is gone writes into no other.
CREATE TABLE lists (
  generation bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  edition    text COLLATE "C" NOT NULL,
  checkpoint bigint NOT NULL DEFAULT 0,
  live       boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX lists_live ON lists (edition) WHERE live;
CREATE TABLE list_rows (
  generation bigint NOT NULL,
  model      text COLLATE "C" NOT NULL,
  key        text COLLATE "C" NOT NULL,
  body       bytea NOT NULL,
  PRIMARY KEY (generation, model, key)
);

CREATE FUNCTION keep_snapshot(new_name text, new_version text, new_position bigint, new_body bytea) RETURNS void LANGUAGE sql VOLATILE AS $$
  INSERT INTO kept (name, version, position, body) VALUES (new_name, new_version, new_position, new_body)
    ON CONFLICT (name, version) DO UPDATE SET position = excluded.position, body = excluded.body;
  DELETE FROM kept WHERE name = new_name AND version NOT IN (
    SELECT version FROM kept WHERE name = new_name ORDER BY (version = new_version) DESC, position DESC LIMIT 2
  );
$$;

-- Each (model, key) at most once; an empty body takes the row away.
CREATE FUNCTION project_list(wanted bigint, after bigint, upto bigint, models text[], keys text[], bodies bytea[])
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE lists SET checkpoint = upto WHERE generation = wanted AND checkpoint = after;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO list_rows
    SELECT wanted, r.model, r.key, r.body FROM unnest(models, keys, bodies) AS r (model, key, body) WHERE r.body <> ''
    ON CONFLICT (generation, model, key) DO UPDATE SET body = excluded.body;
  DELETE FROM list_rows d USING unnest(models, keys, bodies) AS r (model, key, body)
    WHERE r.body = '' AND d.generation = wanted AND d.model = r.model AND d.key = r.key;
  RETURN true;
END $$;

CREATE FUNCTION promote_list(wanted bigint, reached bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  mine lists%ROWTYPE;
  shown bigint;
BEGIN
  SELECT * INTO mine FROM lists WHERE generation = wanted FOR UPDATE;
  SELECT checkpoint INTO shown FROM lists WHERE edition = mine.edition AND live FOR UPDATE;
  IF mine.checkpoint IS NULL OR mine.checkpoint < greatest(reached, shown) THEN
    RETURN false;
  END IF;
  DELETE FROM lists WHERE generation <> wanted AND (edition = mine.edition OR NOT live OR generation NOT IN (
    SELECT generation FROM lists WHERE live AND edition <> mine.edition ORDER BY checkpoint DESC, generation DESC LIMIT 1
  ));
  UPDATE lists SET live = true WHERE generation = wanted;
  RETURN true;
END $$;

-- The views show the lists that were made last.
CREATE OR REPLACE VIEW agenda (stream, process, phase, line, waits_for, due, deadline, attention, closed) AS
  SELECT r.key, convert_from(r.body, 'UTF8')::jsonb->>'process', convert_from(r.body, 'UTF8')::jsonb->>'phase', convert_from(r.body, 'UTF8')::jsonb->>'line', convert_from(r.body, 'UTF8')::jsonb->>'waits_for', convert_from(r.body, 'UTF8')::jsonb->>'due', convert_from(r.body, 'UTF8')::jsonb->>'deadline', convert_from(r.body, 'UTF8')::jsonb->>'attention',
         convert_from(r.body, 'UTF8')::jsonb->>'closed'
  FROM list_rows r WHERE r.generation = (SELECT max(generation) FROM lists WHERE live) AND r.model = 'standings';
CREATE OR REPLACE VIEW members (member, phase, name, tier, country, lei, dues_owed_minor, line) AS
  SELECT split_part(r.key, '/', 2), convert_from(r.body, 'UTF8')::jsonb->>'phase', convert_from(r.body, 'UTF8')::jsonb->'values'->>'name', convert_from(r.body, 'UTF8')::jsonb->'values'->>'tier', convert_from(r.body, 'UTF8')::jsonb->'values'->>'country', convert_from(r.body, 'UTF8')::jsonb->'values'->>'lei',
         convert_from(r.body, 'UTF8')::jsonb->'values'->>'dues_owed_minor', convert_from(r.body, 'UTF8')::jsonb->>'line'
  FROM list_rows r WHERE r.generation = (SELECT max(generation) FROM lists WHERE live) AND r.model = 'standings' AND r.key LIKE 'member/%';
CREATE OR REPLACE VIEW proposals (proposal, phase, title, class, method, result, due, line) AS
  SELECT split_part(r.key, '/', 2), convert_from(r.body, 'UTF8')::jsonb->>'phase', convert_from(r.body, 'UTF8')::jsonb->'values'->>'title', convert_from(r.body, 'UTF8')::jsonb->'values'->>'class', convert_from(r.body, 'UTF8')::jsonb->'values'->>'method', convert_from(r.body, 'UTF8')::jsonb->'values'->>'result',
         convert_from(r.body, 'UTF8')::jsonb->>'due', convert_from(r.body, 'UTF8')::jsonb->>'line'
  FROM list_rows r WHERE r.generation = (SELECT max(generation) FROM lists WHERE live) AND r.model = 'standings' AND r.key LIKE 'proposal/%';
CREATE OR REPLACE VIEW rounds (round, phase, pledged_minor, committed_minor, called_minor, cleared_minor, overdue_minor, held_minor, due, line) AS
  SELECT split_part(r.key, '/', 2), convert_from(r.body, 'UTF8')::jsonb->>'phase', convert_from(r.body, 'UTF8')::jsonb->'values'->>'pledged_minor', convert_from(r.body, 'UTF8')::jsonb->'values'->>'committed_minor', convert_from(r.body, 'UTF8')::jsonb->'values'->>'called_minor',
         convert_from(r.body, 'UTF8')::jsonb->'values'->>'cleared_minor', convert_from(r.body, 'UTF8')::jsonb->'values'->>'overdue_minor', convert_from(r.body, 'UTF8')::jsonb->'values'->>'held_minor', convert_from(r.body, 'UTF8')::jsonb->>'due', convert_from(r.body, 'UTF8')::jsonb->>'line'
  FROM list_rows r WHERE r.generation = (SELECT max(generation) FROM lists WHERE live) AND r.model = 'standings' AND r.key LIKE 'round/%';

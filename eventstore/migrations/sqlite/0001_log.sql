CREATE TABLE entries (
  position   INTEGER PRIMARY KEY CHECK (position > 0),
  stream     TEXT NOT NULL,
  command_id TEXT NOT NULL UNIQUE,
  kind       TEXT NOT NULL,
  actor      TEXT NOT NULL,
  at         INTEGER NOT NULL,
  rules      TEXT NOT NULL,
  command    BLOB NOT NULL,
  signed     BLOB NOT NULL,
  signature  BLOB NOT NULL,
  outcome    TEXT NOT NULL CHECK (outcome IN ('accepted', 'refused')),
  body       BLOB NOT NULL,
  previous   BLOB NOT NULL CHECK (length(previous) = 32),
  hash       BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX entries_of_stream ON entries (stream, position);
CREATE TRIGGER entries_are_final_update BEFORE UPDATE ON entries BEGIN SELECT raise(ABORT, 'entries are final'); END;
-- INSERT OR REPLACE takes rows away without the triggers of a DELETE.
CREATE TRIGGER entries_are_final_replace BEFORE INSERT ON entries
  WHEN EXISTS (SELECT 1 FROM entries WHERE position = NEW.position) OR EXISTS (SELECT 1 FROM entries WHERE command_id = NEW.command_id)
BEGIN SELECT raise(ABORT, 'entries are final'); END;
CREATE TRIGGER entries_are_final_delete BEFORE DELETE ON entries BEGIN SELECT raise(ABORT, 'entries are final'); END;

CREATE VIEW events (position, number, stream, kind, at, body) AS
  SELECT e.position, j.key + 1, e.stream, j.value ->> 'kind', e.at, j.value
  FROM entries e, json_each(CAST(e.body AS TEXT)) j
  WHERE e.outcome = 'accepted';

CREATE TABLE read_generations (
  generation INTEGER PRIMARY KEY,
  checkpoint INTEGER NOT NULL,
  live       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE read_rows (
  generation INTEGER NOT NULL,
  model      TEXT NOT NULL,
  key        TEXT NOT NULL,
  body       BLOB NOT NULL,
  PRIMARY KEY (generation, model, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE snapshots (
  name     TEXT PRIMARY KEY,
  shape    TEXT NOT NULL,
  position INTEGER NOT NULL,
  body     BLOB NOT NULL
) STRICT;

CREATE VIEW agenda (stream, process, phase, line, waits_for, due, deadline, attention, closed) AS
  SELECT r.key, CAST(r.body AS TEXT)->>'process', CAST(r.body AS TEXT)->>'phase', CAST(r.body AS TEXT)->>'line', CAST(r.body AS TEXT)->>'waits_for', CAST(r.body AS TEXT)->>'due', CAST(r.body AS TEXT)->>'deadline', CAST(r.body AS TEXT)->>'attention',
         CAST(r.body AS TEXT)->>'closed'
  FROM read_rows r JOIN read_generations g USING (generation) WHERE g.live AND r.model = 'standings';
CREATE VIEW members (member, phase, name, tier, country, lei, dues_owed_minor, line) AS
  SELECT substr(r.key, instr(r.key, '/') + 1), CAST(r.body AS TEXT)->>'phase', CAST(r.body AS TEXT)->'values'->>'name', CAST(r.body AS TEXT)->'values'->>'tier', CAST(r.body AS TEXT)->'values'->>'country', CAST(r.body AS TEXT)->'values'->>'lei',
         CAST(r.body AS TEXT)->'values'->>'dues_owed_minor', CAST(r.body AS TEXT)->>'line'
  FROM read_rows r JOIN read_generations g USING (generation) WHERE g.live AND r.model = 'standings' AND r.key LIKE 'member/%';
CREATE VIEW proposals (proposal, phase, title, class, method, result, due, line) AS
  SELECT substr(r.key, instr(r.key, '/') + 1), CAST(r.body AS TEXT)->>'phase', CAST(r.body AS TEXT)->'values'->>'title', CAST(r.body AS TEXT)->'values'->>'class', CAST(r.body AS TEXT)->'values'->>'method', CAST(r.body AS TEXT)->'values'->>'result',
         CAST(r.body AS TEXT)->>'due', CAST(r.body AS TEXT)->>'line'
  FROM read_rows r JOIN read_generations g USING (generation) WHERE g.live AND r.model = 'standings' AND r.key LIKE 'proposal/%';
CREATE VIEW rounds (round, phase, pledged_minor, committed_minor, called_minor, cleared_minor, overdue_minor, held_minor, due, line) AS
  SELECT substr(r.key, instr(r.key, '/') + 1), CAST(r.body AS TEXT)->>'phase', CAST(r.body AS TEXT)->'values'->>'pledged_minor', CAST(r.body AS TEXT)->'values'->>'committed_minor', CAST(r.body AS TEXT)->'values'->>'called_minor',
         CAST(r.body AS TEXT)->'values'->>'cleared_minor', CAST(r.body AS TEXT)->'values'->>'overdue_minor', CAST(r.body AS TEXT)->'values'->>'held_minor', CAST(r.body AS TEXT)->>'due', CAST(r.body AS TEXT)->>'line'
  FROM read_rows r JOIN read_generations g USING (generation) WHERE g.live AND r.model = 'standings' AND r.key LIKE 'round/%';

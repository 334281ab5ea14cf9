-- What is derived, by the declared versions of what made it: several releases keep theirs side by side. `read_generations`,
-- `read_rows` and `snapshots` are those of the release before; its workers go on using them, and nobody else does.

CREATE TABLE kept (
  name     TEXT NOT NULL,
  version  TEXT NOT NULL,
  position INTEGER NOT NULL,
  body     BLOB NOT NULL,
  PRIMARY KEY (name, version)
) STRICT;

-- A number is never used twice: who still writes rows of a generation that is gone writes into no other.
CREATE TABLE lists (
  generation INTEGER PRIMARY KEY AUTOINCREMENT,
  edition    TEXT NOT NULL,
  checkpoint INTEGER NOT NULL DEFAULT 0,
  live       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX lists_live ON lists (edition) WHERE live;
CREATE TABLE list_rows (
  generation INTEGER NOT NULL,
  model      TEXT NOT NULL,
  key        TEXT NOT NULL,
  body       BLOB NOT NULL,
  PRIMARY KEY (generation, model, key)
) STRICT, WITHOUT ROWID;

-- The views show the lists that were made last.
DROP VIEW agenda;
DROP VIEW members;
DROP VIEW proposals;
DROP VIEW rounds;
CREATE VIEW agenda (stream, process, phase, line, waits_for, due, deadline, attention, closed) AS
  SELECT r.key, CAST(r.body AS TEXT)->>'process', CAST(r.body AS TEXT)->>'phase', CAST(r.body AS TEXT)->>'line', CAST(r.body AS TEXT)->>'waits_for', CAST(r.body AS TEXT)->>'due', CAST(r.body AS TEXT)->>'deadline', CAST(r.body AS TEXT)->>'attention',
         CAST(r.body AS TEXT)->>'closed'
  FROM list_rows r WHERE r.generation = (SELECT max(generation) FROM lists WHERE live) AND r.model = 'standings';
CREATE VIEW members (member, phase, name, tier, country, lei, dues_owed_minor, line) AS
  SELECT substr(r.key, instr(r.key, '/') + 1), CAST(r.body AS TEXT)->>'phase', CAST(r.body AS TEXT)->'values'->>'name', CAST(r.body AS TEXT)->'values'->>'tier', CAST(r.body AS TEXT)->'values'->>'country', CAST(r.body AS TEXT)->'values'->>'lei',
         CAST(r.body AS TEXT)->'values'->>'dues_owed_minor', CAST(r.body AS TEXT)->>'line'
  FROM list_rows r WHERE r.generation = (SELECT max(generation) FROM lists WHERE live) AND r.model = 'standings' AND r.key LIKE 'member/%';
CREATE VIEW proposals (proposal, phase, title, class, method, result, due, line) AS
  SELECT substr(r.key, instr(r.key, '/') + 1), CAST(r.body AS TEXT)->>'phase', CAST(r.body AS TEXT)->'values'->>'title', CAST(r.body AS TEXT)->'values'->>'class', CAST(r.body AS TEXT)->'values'->>'method', CAST(r.body AS TEXT)->'values'->>'result',
         CAST(r.body AS TEXT)->>'due', CAST(r.body AS TEXT)->>'line'
  FROM list_rows r WHERE r.generation = (SELECT max(generation) FROM lists WHERE live) AND r.model = 'standings' AND r.key LIKE 'proposal/%';
CREATE VIEW rounds (round, phase, pledged_minor, committed_minor, called_minor, cleared_minor, overdue_minor, held_minor, due, line) AS
  SELECT substr(r.key, instr(r.key, '/') + 1), CAST(r.body AS TEXT)->>'phase', CAST(r.body AS TEXT)->'values'->>'pledged_minor', CAST(r.body AS TEXT)->'values'->>'committed_minor', CAST(r.body AS TEXT)->'values'->>'called_minor',
         CAST(r.body AS TEXT)->'values'->>'cleared_minor', CAST(r.body AS TEXT)->'values'->>'overdue_minor', CAST(r.body AS TEXT)->'values'->>'held_minor', CAST(r.body AS TEXT)->>'due', CAST(r.body AS TEXT)->>'line'
  FROM list_rows r WHERE r.generation = (SELECT max(generation) FROM lists WHERE live) AND r.model = 'standings' AND r.key LIKE 'round/%';

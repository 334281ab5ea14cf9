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

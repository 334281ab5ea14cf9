-- The newest checkpoint that the log signed of itself, beside the head: one row, once there is one.
CREATE TABLE sealed (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  size       INTEGER NOT NULL CHECK (size > 0),
  checkpoint BLOB NOT NULL
) STRICT;

-- Of the tree over the entries' hashes: those of complete subtrees of 256, 65,536 … leaves, of which proofs are made. They are derived
-- from the entries, and made anew from them when they are doubted.
CREATE TABLE kept_hashes (
  level  INTEGER NOT NULL CHECK (level > 0),
  number INTEGER NOT NULL CHECK (number >= 0),
  hash   BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;

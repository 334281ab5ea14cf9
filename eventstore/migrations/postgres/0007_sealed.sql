-- The newest checkpoint that the log signed of itself, beside the head: one row, once there is one. Each commit writes it anew, and
-- a page that is nearly empty has room for that.
CREATE TABLE sealed (
  one        boolean PRIMARY KEY DEFAULT true CHECK (one),
  size       bigint NOT NULL CHECK (size > 0),
  checkpoint bytea NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE sealed ALTER COLUMN checkpoint SET STORAGE PLAIN;

-- Of the tree over the entries' hashes: those of complete subtrees of 256, 65,536 … leaves, of which proofs are made. They are derived
-- from the entries, and made anew from them when they are doubted.
CREATE TABLE kept_hashes (
  level  integer NOT NULL CHECK (level > 0),
  number bigint NOT NULL CHECK (number >= 0),
  hash   bytea NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (level, number)
);

CREATE FUNCTION keep_hashes(levels integer[], numbers bigint[], hashes bytea[]) RETURNS void LANGUAGE sql VOLATILE AS $$
  INSERT INTO kept_hashes (level, number, hash) SELECT * FROM unnest(levels, numbers, hashes)
    ON CONFLICT (level, number) DO UPDATE SET hash = excluded.hash
$$;

-- `record_entries` of 0006_salts.sql with what becomes durable with the entries: a checkpoint over all of them, or none, and hashes of the
-- tree. Workers of the release before, which sign nothing, go on with that one. The lock that it takes is held here too.
CREATE FUNCTION record_sealed(appended entry[], host_clock bigint, checkpoint_size bigint, new_checkpoint bytea, levels integer[], numbers bigint[], hashes bytea[])
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF NOT record_entries(appended, host_clock) THEN
    RETURN false;
  END IF;
  IF checkpoint_size IS NOT NULL THEN
    UPDATE sealed SET size = checkpoint_size, checkpoint = new_checkpoint;
    IF NOT FOUND THEN
      INSERT INTO sealed (size, checkpoint) VALUES (checkpoint_size, new_checkpoint);
    END IF;
  END IF;
  IF cardinality(levels) > 0 THEN
    PERFORM keep_hashes(levels, numbers, hashes);
  END IF;
  RETURN true;
END $$;

-- The version of the rules never falls along a log: a release with older rules appends nothing after a newer one.
CREATE TRIGGER entries_by_no_older_rules BEFORE INSERT ON entries
  WHEN CAST(NEW.rules AS INTEGER) < (SELECT CAST(rules AS INTEGER) FROM entries WHERE position = NEW.position - 1)
BEGIN SELECT raise(ABORT, 'entries of newer rules come before this one'); END;

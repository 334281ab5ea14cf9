-- A salt for each part of an entry; none in entries that rules older than 7 decided. A release before this column goes on without it.
ALTER TABLE entries ADD COLUMN salts BLOB NOT NULL DEFAULT x'' CHECK (length(salts) % 16 = 0);

-- +goose Up
-- Every change there was; its number is the version of the store.
CREATE TABLE changes (
	version  INTEGER PRIMARY KEY AUTOINCREMENT,
	at       INTEGER NOT NULL,          -- ms since 1970
	by       TEXT    NOT NULL,
	kind     TEXT    NOT NULL,
	identity TEXT    NOT NULL,
	key      TEXT    NOT NULL,          -- kind and identity in lower case
	old      TEXT,                      -- NULL: there was none
	new      TEXT                       -- NULL: removed
) STRICT;
CREATE INDEX changes_key ON changes (key, version);

CREATE TABLE documents (
	key      TEXT    NOT NULL PRIMARY KEY,
	kind     TEXT    NOT NULL,
	identity TEXT    NOT NULL,
	content  TEXT    NOT NULL,          -- JSON
	version  INTEGER NOT NULL REFERENCES changes (version)
) STRICT;

-- +goose Up
-- What is remembered of each user of a source.
CREATE TABLE known (
	source   TEXT    NOT NULL,
	id       TEXT    NOT NULL,                -- SourceID of the user
	guid     TEXT    NOT NULL,
	dn       TEXT    NOT NULL,
	origin   TEXT    NOT NULL,                -- URL of the server another one referred to
	disabled TEXT    NOT NULL,                -- why the synchronisation disabled the user, '': it did not
	since    INTEGER NOT NULL,                -- of disabled, Unix milliseconds
	missing  INTEGER NOT NULL,                -- since when the entry is gone, 0: it is there
	removed  INTEGER NOT NULL,                -- an administrator deleted the user
	stamp    TEXT    NOT NULL,                -- of the entry whose photo was read last
	photo    TEXT    NOT NULL,                -- hash of the photo that was stored
	PRIMARY KEY (source, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX known_guid ON known (guid);

-- What was done, for the budget.
CREATE TABLE spent (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	source   TEXT    NOT NULL,
	at       INTEGER NOT NULL,
	kind     INTEGER NOT NULL,
	number   INTEGER NOT NULL
) STRICT;
CREATE INDEX spent_source ON spent (source, at);

-- How the last run went, in the words of the service.
CREATE TABLE state (
	source   TEXT NOT NULL PRIMARY KEY,
	value    BLOB NOT NULL
) STRICT;

-- +goose Up
CREATE TABLE groups (
	id            INTEGER PRIMARY KEY,                 -- of the row in group_words
	guid          TEXT    NOT NULL UNIQUE,
	mail          TEXT    NOT NULL,
	mail_key      TEXT    NOT NULL UNIQUE,             -- lower case
	sip_address   TEXT    UNIQUE,                      -- NULL: none
	display_name  TEXT    NOT NULL,
	display_key   TEXT    NOT NULL,
	description   TEXT    NOT NULL,
	mail_nickname TEXT    NOT NULL,
	alias_key     TEXT    NOT NULL,
	hidden        INTEGER NOT NULL,
	source        TEXT    NOT NULL,
	source_id     TEXT    NOT NULL,
	when_created  INTEGER NOT NULL,                    -- Unix milliseconds
	when_changed  INTEGER NOT NULL
) STRICT;
CREATE INDEX groups_display ON groups (display_key, guid);
CREATE INDEX groups_alias ON groups (alias_key) WHERE alias_key <> '';
CREATE UNIQUE INDEX groups_source ON groups (source, source_id) WHERE source <> '';
CREATE INDEX groups_changed ON groups (when_changed);

-- Who is in a group: a user, a group, or an external contact by mail and name.
CREATE TABLE members (
	group_guid   TEXT NOT NULL REFERENCES groups (guid) ON DELETE CASCADE,
	key          TEXT NOT NULL,                        -- GUID, or mail in lower case
	user_guid    TEXT REFERENCES users (guid) ON DELETE CASCADE,
	member_guid  TEXT REFERENCES groups (guid) ON DELETE CASCADE,
	mail         TEXT NOT NULL,
	display_name TEXT NOT NULL,
	PRIMARY KEY (group_guid, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_user ON members (user_guid) WHERE user_guid IS NOT NULL;
CREATE INDEX members_group ON members (member_guid) WHERE member_guid IS NOT NULL;

CREATE TABLE photos (
	guid    TEXT    NOT NULL PRIMARY KEY REFERENCES users (guid) ON DELETE CASCADE,
	type    TEXT    NOT NULL,
	data    BLOB    NOT NULL,
	hash    TEXT    NOT NULL,
	changed INTEGER NOT NULL
) STRICT;
ALTER TABLE users ADD COLUMN photo_hash TEXT NOT NULL DEFAULT '';

-- Users and groups that were deleted, for those who follow changes.
CREATE TABLE gone (
	id          INTEGER PRIMARY KEY AUTOINCREMENT,
	guid        TEXT    NOT NULL,
	sip_address TEXT    NOT NULL,
	mail        TEXT    NOT NULL,
	is_group    INTEGER NOT NULL,
	at          INTEGER NOT NULL
) STRICT;
CREATE INDEX gone_at ON gone (at);

-- Words by which people are found. They are made by the program, which notes in
-- word_version for which of its rules; it makes them anew for other ones.
CREATE TABLE word_ids (
	id   INTEGER PRIMARY KEY,
	guid TEXT    NOT NULL UNIQUE REFERENCES users (guid) ON DELETE CASCADE
) STRICT;
CREATE TABLE word_version (version INTEGER NOT NULL) STRICT;
CREATE VIRTUAL TABLE user_words USING fts5 (
	first_name, last_name, display_name, mail, alias, sip, phone, title, company, department, office, place, marks,
	content = '', contentless_delete = 1, detail = column, tokenize = 'ascii', prefix = '1 2 3'
);
CREATE VIRTUAL TABLE group_words USING fts5 (
	first_name, last_name, display_name, mail, alias, sip, phone, title, company, department, office, place, marks,
	content = '', contentless_delete = 1, detail = column, tokenize = 'ascii', prefix = '1 2 3'
);

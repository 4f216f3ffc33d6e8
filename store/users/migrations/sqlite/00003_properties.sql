-- +goose Up
ALTER TABLE users ADD COLUMN ip_phone            TEXT    NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN mail_nickname       TEXT    NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN country             TEXT    NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN city                TEXT    NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN state               TEXT    NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN description         TEXT    NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN manager             TEXT    NOT NULL DEFAULT ''; -- SIP address or GUID
ALTER TABLE users ADD COLUMN proxy_addresses     TEXT    NOT NULL DEFAULT ''; -- one a line, sorted
ALTER TABLE users ADD COLUMN hidden              INTEGER NOT NULL DEFAULT 0;  -- from address lists
ALTER TABLE users ADD COLUMN client_policy       TEXT    NOT NULL DEFAULT ''; -- tags, '' = global
ALTER TABLE users ADD COLUMN presence_policy     TEXT    NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN conferencing_policy TEXT    NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN source              TEXT    NOT NULL DEFAULT ''; -- '' = made here
ALTER TABLE users ADD COLUMN source_id           TEXT    NOT NULL DEFAULT '';
CREATE UNIQUE INDEX users_source ON users (source, source_id) WHERE source <> '';
CREATE INDEX users_manager ON users (manager) WHERE manager <> '';
CREATE INDEX users_changed ON users (when_changed);

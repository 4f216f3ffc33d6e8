-- +goose Up
CREATE TABLE users (
	guid                       TEXT    NOT NULL PRIMARY KEY,
	sip_address                TEXT    UNIQUE,            -- NULL: not homed
	upn                        TEXT    NOT NULL,
	upn_key                    TEXT    NOT NULL UNIQUE,   -- lower case
	sam                        TEXT    NOT NULL,
	sam_key                    TEXT    NOT NULL UNIQUE,
	display_name               TEXT    NOT NULL,
	display_key                TEXT    NOT NULL,
	first_name                 TEXT    NOT NULL,
	last_name                  TEXT    NOT NULL,
	email                      TEXT    NOT NULL,
	title                      TEXT    NOT NULL,
	company                    TEXT    NOT NULL,
	department                 TEXT    NOT NULL,
	office                     TEXT    NOT NULL,
	phone                      TEXT    NOT NULL,
	mobile_phone               TEXT    NOT NULL,
	home_phone                 TEXT    NOT NULL,
	other_phone                TEXT    NOT NULL,
	line_uri                   TEXT    UNIQUE,            -- NULL: none
	enabled                    INTEGER NOT NULL,
	enabled_rich_presence      INTEGER NOT NULL,
	enabled_federation         INTEGER NOT NULL,
	enabled_internet           INTEGER NOT NULL,
	enterprise_voice_enabled   INTEGER NOT NULL,
	audio_video_disabled       INTEGER NOT NULL,
	registrar_pool             TEXT    NOT NULL,
	home_server                TEXT    NOT NULL,
	routing_group              INTEGER NOT NULL,
	admin_roles                TEXT    NOT NULL,          -- comma separated, sorted
	when_created               INTEGER NOT NULL,          -- Unix milliseconds
	when_changed               INTEGER NOT NULL
) STRICT;
CREATE INDEX users_display ON users (display_key, guid);
CREATE INDEX users_group ON users (routing_group);

CREATE TABLE secrets (
	guid       TEXT    NOT NULL PRIMARY KEY REFERENCES users (guid) ON DELETE CASCADE,
	argon2id   TEXT    NOT NULL,
	nt_hash    BLOB,
	ha1_sha256 BLOB,
	ha1_md5    BLOB,
	changed    INTEGER NOT NULL
) STRICT;

CREATE TABLE client_certificates (
	serial   TEXT    NOT NULL PRIMARY KEY,
	guid     TEXT    NOT NULL REFERENCES users (guid) ON DELETE CASCADE,
	device   TEXT    NOT NULL,
	key_hash BLOB    NOT NULL UNIQUE,
	issued   INTEGER NOT NULL,
	expires  INTEGER NOT NULL,
	revoked  INTEGER NOT NULL                             -- 0: not revoked
) STRICT;
CREATE INDEX certificates_user ON client_certificates (guid, issued);
CREATE INDEX certificates_expiry ON client_certificates (expires);

-- +goose Up
-- Changes of SIP addresses that the routing group has not carried out yet.
CREATE TABLE renames (
	id            INTEGER PRIMARY KEY AUTOINCREMENT,
	was           TEXT    NOT NULL,
	becomes       TEXT    NOT NULL,
	routing_group INTEGER NOT NULL
) STRICT;

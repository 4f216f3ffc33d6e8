-- +goose Up
-- People are found in memory; the words of groups are made anew.
DROP TABLE user_words;
DROP TABLE word_ids;
DROP TABLE group_words;
DELETE FROM word_version;
CREATE VIRTUAL TABLE group_words USING fts5 (
	display_name, mail, alias, sip,
	content = '', contentless_delete = 1, detail = column, tokenize = 'ascii', prefix = '1 2 3'
);

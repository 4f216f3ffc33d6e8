-- +goose Up
CREATE TABLE routing_group (
    pool          text        NOT NULL,
    routing_group bigint      NOT NULL,
    term          bigint      NOT NULL,
    position      bigint      NOT NULL,
    reached       timestamptz NOT NULL,
    PRIMARY KEY (pool, routing_group)
);
COMMENT ON TABLE routing_group IS 'How far the copy of each routing group is: every change up to term and position is in user_copy; reached is when the pool was there';

CREATE TABLE user_copy (
    pool          text        NOT NULL,
    user_uri      text        NOT NULL,
    routing_group bigint      NOT NULL,
    written       timestamptz NOT NULL DEFAULT now(),
    data          bytea       NOT NULL,
    content       jsonb       NOT NULL,
    PRIMARY KEY (pool, user_uri)
);
CREATE INDEX user_copy_of_group ON user_copy (pool, routing_group);
COMMENT ON COLUMN user_copy.data IS 'the record that recovery imports';
COMMENT ON COLUMN user_copy.content IS 'the same for reading; the views are made of it';

CREATE VIEW contacts AS
SELECT u.pool, u.user_uri, c ->> 'uri' AS contact_uri, c ->> 'name' AS display_name,
       ARRAY(SELECT jsonb_array_elements_text(c -> 'groups')) AS groups, (c ->> 'subscribed')::boolean AS subscribed
FROM user_copy u CROSS JOIN LATERAL jsonb_array_elements(u.content -> 'contacts') AS c;

CREATE VIEW presence_notes AS
SELECT u.pool, u.user_uri, n ->> 'type' AS note_type, n ->> 'text' AS note,
       to_timestamp((n ->> 'published')::numeric / 1000) AS published, ARRAY(SELECT (jsonb_array_elements_text(n -> 'containers'))::integer) AS containers
FROM user_copy u CROSS JOIN LATERAL jsonb_array_elements(u.content -> 'notes') AS n;

CREATE VIEW conferences AS
SELECT u.pool, u.user_uri AS organizer, c ->> 'id' AS conference_id, c ->> 'subject' AS subject, c ->> 'access' AS access_level,
       (c ->> 'locked')::boolean AS locked, to_timestamp((c ->> 'created')::numeric / 1000) AS created,
       to_timestamp((c ->> 'expires')::numeric / 1000) AS expires,
       ARRAY(SELECT jsonb_array_elements_text(c -> 'presenters')) AS presenters,
       ARRAY(SELECT jsonb_array_elements_text(c -> 'attendees')) AS attendees
FROM user_copy u CROSS JOIN LATERAL jsonb_array_elements(u.content -> 'conferences') AS c;

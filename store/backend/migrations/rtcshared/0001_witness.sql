-- +goose Up
CREATE TABLE witness (
    pool       text   NOT NULL,
    group_id   bigint NOT NULL,
    term       bigint NOT NULL DEFAULT 0,
    vote       bigint NOT NULL DEFAULT 0,
    last_term  bigint NOT NULL DEFAULT 0,
    last_index bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (pool, group_id)
);
COMMENT ON TABLE witness IS 'The vote of the primary Back End in groups of the pool. Changed by Front Ends alone; a row that is changed or lost by hand can cost acknowledged changes';

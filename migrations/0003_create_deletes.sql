-- What was deleted and is in files yet: one row for each delete, until those files are rewritten or gone.

CREATE TABLE deletes (
    id         STRING NOT NULL,
    time       TIMESTAMP NOT NULL,
    matchers   ARRAY<STRING> NOT NULL,
    start_time TIMESTAMP NOT NULL,
    end_time   TIMESTAMP NOT NULL,
    series_ids ARRAY<BIGINT> NOT NULL,
    files      ARRAY<STRING> NOT NULL
);

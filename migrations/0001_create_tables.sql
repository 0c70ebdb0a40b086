-- The tables of the lake, as promlake 0.1 made them. `samples` comes last: a lake that has it has the others,
-- and it keeps the number of the last migration applied.

CREATE TABLE metadata (
    family STRING NOT NULL,
    kind   STRING NOT NULL,
    unit   STRING NOT NULL,
    help   STRING NOT NULL
);

CREATE TABLE exemplars (
    day       DATE NOT NULL,
    metric    STRING NOT NULL,
    series_id BIGINT NOT NULL,
    timestamp TIMESTAMP NOT NULL,
    value     DOUBLE NOT NULL,
    labels    MAP(STRING, STRING) NOT NULL
) PARTITIONED BY (day);

CREATE TABLE series (
    day       DATE NOT NULL,
    metric    STRING NOT NULL,
    series_id BIGINT NOT NULL,
    labels    MAP(STRING, STRING) NOT NULL
) PARTITIONED BY (day);

CREATE TABLE samples (
    day             DATE NOT NULL,
    metric          STRING NOT NULL,
    series_id       BIGINT NOT NULL,
    timestamp       TIMESTAMP NOT NULL,
    value           DOUBLE,
    scaled          BIGINT,
    scale           TINYINT,
    histogram       STRUCT<
        counter_reset_hint TINYINT,
        schema             INT,
        zero_threshold     DOUBLE,
        zero_count         DOUBLE,
        count              DOUBLE,
        sum                DOUBLE,
        positive_offsets   ARRAY<INT>,
        positive_lengths   ARRAY<INT>,
        positive_buckets   ARRAY<DOUBLE>,
        negative_offsets   ARRAY<INT>,
        negative_lengths   ARRAY<INT>,
        negative_buckets   ARRAY<DOUBLE>,
        custom_values      ARRAY<DOUBLE>
    >,
    start_timestamp TIMESTAMP
) PARTITIONED BY (day);

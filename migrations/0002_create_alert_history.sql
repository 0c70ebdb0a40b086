-- Every change of the state of an alert: inactive, pending or firing. An alert that is not there is inactive.

CREATE TABLE alert_history (
    day         DATE NOT NULL,
    time        TIMESTAMP NOT NULL,
    alert       STRING NOT NULL,
    labels      MAP(STRING, STRING) NOT NULL,
    annotations MAP(STRING, STRING) NOT NULL,
    from_state  STRING NOT NULL,
    to_state    STRING NOT NULL,
    value       DOUBLE,
    rule_group  STRING NOT NULL,
    file        STRING NOT NULL,
    node        STRING NOT NULL
) PARTITIONED BY (day);

//! Amazon's services, each a kind of its own and all of them roles of `aws`.

use crate::config::discovery::{FILTERS, add, has, required_word};
use crate::config::http;
use crate::config::mistake::Found;
use crate::config::schema::{Field, Kind, Schema, field, with};
use crate::config::yaml::Node;

/// Whose account is asked, where, and how often. A region that is not given is that of the machine.
const ACCOUNT: &[Field] = &[
    field("region", Kind::Text),
    field("endpoint", Kind::Text),
    field("access_key", Kind::Text),
    field("secret_key", Kind::Secret),
    field("profile", Kind::Text),
    field("role_arn", Kind::Text),
    field("external_id", Kind::Text),
    with("refresh_interval", Kind::Duration, "60s"),
    with("port", Kind::Integer, "80"),
];

const CLUSTERS: &[Field] = &[field("clusters", Kind::List(&Kind::Text))];

/// Requests at a time.
const CONCURRENCY: &[Field] = &[with("request_concurrency", Kind::Integer, "10")];

pub static AWS: Schema = Schema {
    name: "aws_sd_config",
    fields: &[
        &[field("role", Kind::OneOf(&["ec2", "ecs", "elasticache", "lightsail", "msk", "rds"]))],
        ACCOUNT,
        FILTERS,
        CLUSTERS,
        http::FIELDS,
    ],
};

pub static EC2: Schema = Schema { name: "ec2_sd_config", fields: &[ACCOUNT, FILTERS, http::FIELDS] };

pub static ECS: Schema = Schema {
    name: "ecs_sd_config",
    fields: &[ACCOUNT, CLUSTERS, &[with("request_concurrency", Kind::Integer, "20")], http::FIELDS],
};

pub static ELASTICACHE: Schema =
    Schema { name: "elasticache_sd_config", fields: &[ACCOUNT, CLUSTERS, CONCURRENCY, http::FIELDS] };

pub static LIGHTSAIL: Schema = Schema { name: "lightsail_sd_config", fields: &[ACCOUNT, http::FIELDS] };

pub static MSK: Schema = Schema { name: "msk_sd_config", fields: &[ACCOUNT, CLUSTERS, CONCURRENCY, http::FIELDS] };

pub static RDS: Schema =
    Schema { name: "rds_sd_config", fields: &[ACCOUNT, CLUSTERS, FILTERS, CONCURRENCY, http::FIELDS] };

pub(super) fn check_role(node: &Node, path: &str, found: &Found) {
    required_word(node, path, "role", "unknown AWS SD role \"\"", found);
}

pub(super) fn check_ec2(node: &Node, path: &str, found: &Found) {
    let filters = node.get("filters").map(Node::items).unwrap_or_default();
    for (position, filter) in filters.iter().enumerate().filter(|(_, filter)| !has(filter, "values")) {
        let path = format!("{path}.filters[{position}]");
        add(filter, &path, "values", "EC2 SD configuration filter values cannot be empty", found);
    }
}

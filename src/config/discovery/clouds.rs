//! Machines that are rented, asked of who lets them. Amazon has a file of its own.

use crate::config::discovery::{add, has, kept, one_secret, required, required_word, text};
use crate::config::http;
use crate::config::mistake::Found;
use crate::config::schema::{Field, Kind, Schema, field, with};
use crate::config::yaml::Node;
use crate::model::duration;

/// How often machines are asked for, and where they answer.
const MACHINES: &[Field] = &[with("refresh_interval", Kind::Duration, "60s"), with("port", Kind::Integer, "80")];

pub static AZURE: Schema = Schema {
    name: "azure_sd_config",
    fields: &[
        &[
            with("environment", Kind::Text, "AzurePublicCloud"),
            with("port", Kind::Integer, "80"),
            field("subscription_id", Kind::Text),
            field("tenant_id", Kind::Text),
            field("client_id", Kind::Text),
            field("client_secret", Kind::Secret),
            with("refresh_interval", Kind::Duration, "5m"),
            with(
                "authentication_method",
                Kind::OneOf(&["OAuth", "ManagedIdentity", "SDK", "WorkloadIdentity"]),
                "OAuth",
            ),
            field("resource_group", Kind::Text),
        ],
        http::FIELDS,
    ],
};

pub static DIGITALOCEAN: Schema = Schema {
    name: "digitalocean_sd_config",
    fields: &[MACHINES, &[with("role", Kind::OneOf(&["droplets", "databases"]), "droplets")], http::FIELDS],
};

pub static GCE: Schema = Schema {
    name: "gce_sd_config",
    fields: &[
        &[field("project", Kind::Text), field("zone", Kind::Text), field("filter", Kind::Text)],
        MACHINES,
        &[with("tag_separator", Kind::Text, ",")],
    ],
};

pub static HETZNER: Schema = Schema {
    name: "hetzner_sd_config",
    fields: &[
        MACHINES,
        &[field("role", Kind::OneOf(&["robot", "hcloud"])), field("label_selector", Kind::Text)],
        http::FIELDS,
    ],
};

pub static IONOS: Schema =
    Schema { name: "ionos_sd_config", fields: &[&[field("datacenter_id", Kind::Text)], MACHINES, http::FIELDS] };

pub static LINODE: Schema = Schema {
    name: "linode_sd_config",
    fields: &[MACHINES, &[with("tag_separator", Kind::Text, ","), field("region", Kind::Text)], http::FIELDS],
};

pub static OCI: Schema = Schema {
    name: "oci_sd_config",
    fields: &[
        &[
            with("auth", Kind::OneOf(&["api_key", "instance_principal"]), "api_key"),
            field("tenancy", Kind::Text),
            field("user", Kind::Text),
            field("fingerprint", Kind::Text),
            field("key_file", Kind::Path),
            field("key_passphrase", Kind::Secret),
            field("key_passphrase_file", Kind::Path),
            field("region", Kind::Text),
            field("compartments", Kind::List(&Kind::Text)),
        ],
        MACHINES,
        http::FIELDS,
    ],
};

pub static OPENSTACK: Schema = Schema {
    name: "openstack_sd_config",
    fields: &[
        &[
            field("identity_endpoint", Kind::Text),
            field("username", Kind::Text),
            field("userid", Kind::Text),
            field("password", Kind::Secret),
            field("project_name", Kind::Text),
            field("project_id", Kind::Text),
            field("domain_name", Kind::Text),
            field("domain_id", Kind::Text),
            field("application_credential_name", Kind::Text),
            field("application_credential_id", Kind::Text),
            field("application_credential_secret", Kind::Secret),
            field("role", Kind::OneOf(&["instance", "hypervisor", "loadbalancer"])),
            field("region", Kind::Text),
        ],
        MACHINES,
        &[
            with("all_tenants", Kind::Bool, "false"),
            field("tls_config", Kind::Section(&http::TLS)),
            with("availability", Kind::OneOf(&["public", "admin", "internal"]), "public"),
        ],
    ],
};

pub static OUTSCALE: Schema = Schema {
    name: "outscale_sd_config",
    fields: &[
        &[
            // By default that of the region.
            field("endpoint", Kind::Text),
            with("region", Kind::Text, "eu-west-2"),
            field("access_key", Kind::Text),
            field("secret_key", Kind::Secret),
            field("secret_key_file", Kind::Path),
        ],
        MACHINES,
        http::FIELDS,
    ],
};

pub static OVHCLOUD: Schema = Schema {
    name: "ovhcloud_sd_config",
    fields: &[&[
        with("endpoint", Kind::Text, "ovh-eu"),
        field("application_key", Kind::Text),
        field("application_secret", Kind::Secret),
        field("consumer_key", Kind::Secret),
        with("refresh_interval", Kind::Duration, "60s"),
        field("service", Kind::OneOf(&["vps", "dedicated_server"])),
    ]],
};

pub static SCALEWAY: Schema = Schema {
    name: "scaleway_sd_config",
    fields: &[
        &[
            field("project_id", Kind::Text),
            with("api_url", Kind::Url, "https://api.scaleway.com"),
            with("zone", Kind::Text, "fr-par-1"),
            field("access_key", Kind::Text),
            field("secret_key", Kind::Secret),
            field("secret_key_file", Kind::Path),
            field("name_filter", Kind::Text),
            field("tags_filter", Kind::List(&Kind::Text)),
            field("role", Kind::OneOf(&["instance", "baremetal"])),
        ],
        MACHINES,
        http::FIELDS,
    ],
};

pub static STACKIT: Schema = Schema {
    name: "stackit_sd_config",
    fields: &[
        &[
            field("project", Kind::Text),
            with("region", Kind::Text, "eu01"),
            field("endpoint", Kind::Url),
            field("service_account_key", Kind::Secret),
            field("private_key", Kind::Secret),
            field("service_account_key_path", Kind::Text),
            field("private_key_path", Kind::Text),
            field("credentials_file_path", Kind::Text),
        ],
        MACHINES,
        http::FIELDS,
    ],
};

pub static TRITON: Schema = Schema {
    name: "triton_sd_config",
    fields: &[&[
        field("account", Kind::Text),
        with("role", Kind::OneOf(&["container", "cn"]), "container"),
        field("dns_suffix", Kind::Text),
        field("endpoint", Kind::Text),
        field("groups", Kind::List(&Kind::Text)),
        with("port", Kind::Integer, "9163"),
        with("refresh_interval", Kind::Duration, "60s"),
        field("tls_config", Kind::Section(&http::TLS)),
        with("version", Kind::Integer, "1"),
    ]],
};

pub static VULTR: Schema = Schema { name: "vultr_sd_config", fields: &[MACHINES, http::FIELDS] };

pub(super) fn check_azure(node: &Node, path: &str, found: &Found) {
    required(node, path, &[("subscription_id", "azure SD configuration requires a subscription_id")], found);
    if text(node, "authentication_method", "OAuth") == "OAuth" {
        let keys = [
            ("tenant_id", "azure SD configuration requires a tenant_id"),
            ("client_id", "azure SD configuration requires a client_id"),
            ("client_secret", "azure SD configuration requires a client_secret"),
        ];
        required(node, path, &keys, found);
    }
}

pub(super) fn check_gce(node: &Node, path: &str, found: &Found) {
    let keys =
        [("project", "GCE SD configuration requires a project"), ("zone", "GCE SD configuration requires a zone")];
    required(node, path, &keys, found);
}

pub(super) fn check_hetzner(node: &Node, path: &str, found: &Found) {
    required_word(node, path, "role", "role missing (one of: robot, hcloud)", found);
}

pub(super) fn check_ionos(node: &Node, path: &str, found: &Found) {
    required(node, path, &[("datacenter_id", "datacenter id can't be empty")], found);
}

pub(super) fn check_oci(node: &Node, path: &str, found: &Found) {
    required(node, path, &[("region", "oci_sd: region is required")], found);
    match text(node, "auth", "api_key") {
        "instance_principal" => {
            let keys = ["tenancy", "user", "fingerprint", "key_file", "key_passphrase", "key_passphrase_file"];
            if let Some(key) = keys.into_iter().find(|key| has(node, key)) {
                let message = "oci_sd: instance_principal auth must not have tenancy, user, fingerprint, key_file, \
                               key_passphrase, or key_passphrase_file set";
                add(node, path, key, message, found);
            }
        }
        "api_key" => check_oci_key(node, path, found),
        _ => {}
    }
    for (position, item) in node.get("compartments").map(Node::items).unwrap_or_default().iter().enumerate() {
        if item.text().is_none_or(str::is_empty) {
            let path = format!("{path}.compartments[{position}]");
            found.add(item.line, &path, format!("oci_sd: compartments[{position}] must not be empty"));
        }
    }
    if never_refreshes(node) {
        add(node, path, "refresh_interval", "oci_sd: refresh_interval must be positive, got 0s", found);
    }
}

fn check_oci_key(node: &Node, path: &str, found: &Found) {
    let keys = [
        ("tenancy", "oci_sd: api_key auth requires tenancy"),
        ("user", "oci_sd: api_key auth requires user"),
        ("fingerprint", "oci_sd: api_key auth requires fingerprint"),
        ("key_file", "oci_sd: api_key auth requires key_file"),
    ];
    required(node, path, &keys, found);
    if has(node, "key_passphrase") && has(node, "key_passphrase_file") {
        let message = "oci_sd: at most one of key_passphrase and key_passphrase_file must be configured";
        add(node, path, "key_passphrase_file", message, found);
    }
}

fn never_refreshes(node: &Node) -> bool {
    duration::parse(text(node, "refresh_interval", "60s")).is_ok_and(|ms| ms == 0)
}

pub(super) fn check_openstack(node: &Node, path: &str, found: &Found) {
    required_word(node, path, "role", "role missing (one of: instance, hypervisor, loadbalancer)", found);
    required(node, path, &[("region", "openstack SD configuration requires a region")], found);
}

pub(super) fn check_outscale(node: &Node, path: &str, found: &Found) {
    kept(node, path, "region", "outscale SD configuration requires a region", found);
    required(node, path, &[("access_key", "outscale SD configuration requires access_key")], found);
    one_secret(node, path, found);
}

pub(super) fn check_ovhcloud(node: &Node, path: &str, found: &Found) {
    kept(node, path, "endpoint", "endpoint can not be empty", found);
    let keys = [
        ("application_key", "application key can not be empty"),
        ("application_secret", "application secret can not be empty"),
        ("consumer_key", "consumer key can not be empty"),
    ];
    required(node, path, &keys, found);
    required_word(node, path, "service", "unknown service: ", found);
}

pub(super) fn check_scaleway(node: &Node, path: &str, found: &Found) {
    required_word(node, path, "role", "role missing (one of: instance, baremetal)", found);
    let keys = [("project_id", "project_id is mandatory"), ("access_key", "access_key is mandatory")];
    required(node, path, &keys, found);
    one_secret(node, path, found);
    // As Scaleway's own client has them; its message shows the secret, ours does not.
    let formats: [(&str, Format, &str); 5] = [
        ("project_id", is_uuid, "invalid project ID format, expected a UUID: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
        ("access_key", is_access_key, "invalid access key format, expected SCW and 17 letters or digits"),
        ("secret_key", is_uuid, "invalid secret key format, expected a UUID: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
        ("zone", is_zone, "invalid default zone format, expected one like fr-par-1"),
        ("api_url", has_no_slash, "invalid API url, it should not have a trailing slash"),
    ];
    for (key, is_right, message) in formats {
        if node.get(key).and_then(Node::text).is_some_and(|text| !text.is_empty() && !is_right(text)) {
            add(node, path, key, message, found);
        }
    }
}

type Format = fn(&str) -> bool;

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

fn is_access_key(text: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    text.strip_prefix("SCW").is_some_and(|rest| rest.len() == 17 && rest.bytes().all(is_letter))
}

fn is_zone(text: &str) -> bool {
    let lower = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase());
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [country, city, number] => {
            country.len() == 2 && city.len() == 3 && lower(country) && lower(city) && number.parse::<u8>().is_ok()
        }
        _ => false,
    }
}

fn has_no_slash(url: &str) -> bool {
    !url.ends_with('/')
}

pub(super) fn check_stackit(node: &Node, path: &str, found: &Found) {
    if text(node, "endpoint", "").is_empty() && text(node, "region", "eu01").is_empty() {
        add(node, path, "region", "stackit_sd: endpoint and region missing", found);
    }
}

pub(super) fn check_triton(node: &Node, path: &str, found: &Found) {
    let keys = [
        ("account", "triton SD configuration requires an account"),
        ("dns_suffix", "triton SD configuration requires a dns_suffix"),
        ("endpoint", "triton SD configuration requires an endpoint"),
    ];
    required(node, path, &keys, found);
    if never_refreshes(node) {
        let message = "triton SD configuration requires RefreshInterval to be a positive integer";
        add(node, path, "refresh_interval", message, found);
    }
}

//! Nodes: the address of each kubelet.

use std::collections::BTreeMap;

use crate::discovery::group::{ADDRESS, Collected, host_port, sanitized};
use crate::discovery::kinds::kubernetes::labels::add_meta;
use crate::discovery::kinds::kubernetes::objects::Node;
use crate::model::labels::Labels;

/// The best address first.
const ADDRESSES: [&str; 6] = ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

/// Targets and common labels; none of a node that has no address.
pub(super) fn group(node: &Node) -> Option<(Vec<Labels>, Labels)> {
    // Of several of one type the first.
    let mut addresses: BTreeMap<&str, &str> = BTreeMap::new();
    for address in node.status.addresses.iter().flatten() {
        addresses.entry(&address.r#type).or_insert(&address.address);
    }
    let Some(host) = ADDRESSES.iter().find_map(|kind| addresses.get(kind)) else {
        tracing::warn!(discovery = "kubernetes", node = node.metadata.name, "the node has no address");
        return None;
    };
    let mut target = Collected::new();
    target.set(ADDRESS, host_port(host, node.status.daemon_endpoints.kubelet_endpoint.port));
    target.set("instance", &node.metadata.name);
    target.prefixed("__meta_kubernetes_node_address_", addresses);
    let mut labels = Collected::new();
    labels.set("__meta_kubernetes_node_provider_id", &node.spec.provider_id);
    for condition in node.status.conditions.iter().flatten() {
        let name = sanitized(&condition.r#type.to_lowercase());
        labels.named(format!("__meta_kubernetes_node_condition_{name}"), condition.status.to_lowercase());
    }
    add_meta(&mut labels, &node.metadata, "node");
    Some((vec![target.build()], labels.build()))
}

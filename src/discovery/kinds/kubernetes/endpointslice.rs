//! Endpoint slices: each address and port of a slice, with the labels of the pod there, and the other ports of these pods.

use crate::discovery::group::{ADDRESS, Collected, host_port, pairs, sanitized};
use crate::discovery::kinds::kubernetes::endpoints::{SeenPods, pod_of};
use crate::discovery::kinds::kubernetes::labels::{
    NAMESPACE, add_meta, add_namespace, add_node, add_pod, add_service,
};
use crate::discovery::kinds::kubernetes::objects::{
    Endpoint, EndpointSlice, SERVICE_NAME, Service, SlicePort, key,
};
use crate::discovery::kinds::kubernetes::role::{Around, Known};
use crate::discovery::kinds::kubernetes::stores::Kind;
use crate::model::labels::Labels;

pub(super) fn depends(slice: &EndpointSlice, around: &Around) -> bool {
    let mut endpoints = slice.endpoints.iter().flatten();
    service_key(slice).is_some_and(|service| around.touches(Kind::Service, &service))
        || around.touches_namespace(&slice.metadata)
        || endpoints
            .any(|endpoint| around.touches_address(endpoint.target_ref.as_ref(), endpoint.node_name.as_deref()))
}

fn service_key(slice: &EndpointSlice) -> Option<String> {
    slice.metadata.label(SERVICE_NAME).map(|name| key(&slice.metadata.namespace, name))
}

pub(super) fn group(slice: &EndpointSlice, known: &Known) -> (Vec<Labels>, Labels) {
    let meta = &slice.metadata;
    let mut labels = Collected::new();
    labels.set(NAMESPACE, &meta.namespace);
    labels.set("__meta_kubernetes_endpointslice_address_type", &slice.address_type);
    add_meta(&mut labels, meta, "endpointslice");
    let service = service_key(slice).and_then(|key| known.stores.services.get(&key));
    if let Some(service) = service {
        add_service(&mut labels, service);
    }
    add_namespace(&mut labels, &meta.namespace, known);
    if service.is_some_and(|service| is_second_family(slice, service)) {
        return (vec![], labels.build());
    }
    let mut targets = vec![];
    let mut pods = SeenPods::default();
    for endpoint in slice.endpoints.iter().flatten() {
        for port in slice.ports.iter().flatten() {
            for address in endpoint.addresses.iter().flatten() {
                targets.push(target(address, endpoint, port, known, &mut pods));
            }
        }
    }
    targets.extend(pods.other_ports(known));
    (targets, labels.build())
}

/// Whether the service has the same targets by addresses of the other family, which is its first one.
fn is_second_family(slice: &EndpointSlice, service: &Service) -> bool {
    let both = matches!(service.spec.ip_family_policy.as_deref(), Some("PreferDualStack" | "RequireDualStack"));
    let first = service.spec.ip_families.iter().flatten().next();
    both && first.is_some_and(|first| *first != slice.address_type)
}

fn target<'a>(
    address: &str,
    endpoint: &Endpoint,
    port: &SlicePort,
    known: &'a Known,
    pods: &mut SeenPods<'a>,
) -> Labels {
    let mut labels = Collected::new();
    labels.set(ADDRESS, port.port.map_or_else(|| address.to_string(), |port| host_port(address, port)));
    labels.maybe("__meta_kubernetes_endpointslice_port_name", port.name.as_ref());
    labels.maybe("__meta_kubernetes_endpointslice_port_protocol", port.protocol.as_ref());
    labels.maybe("__meta_kubernetes_endpointslice_port", port.port.map(|port| port.to_string()));
    labels.maybe("__meta_kubernetes_endpointslice_port_app_protocol", port.app_protocol.as_ref());
    let state = |state: Option<bool>| state.map(|state| state.to_string());
    let conditions = &endpoint.conditions;
    labels.maybe("__meta_kubernetes_endpointslice_endpoint_conditions_ready", state(conditions.ready));
    labels.maybe("__meta_kubernetes_endpointslice_endpoint_conditions_serving", state(conditions.serving));
    labels.maybe("__meta_kubernetes_endpointslice_endpoint_conditions_terminating", state(conditions.terminating));
    labels.maybe("__meta_kubernetes_endpointslice_endpoint_hostname", endpoint.hostname.as_ref());
    if let Some(target) = &endpoint.target_ref {
        labels.set("__meta_kubernetes_endpointslice_address_target_kind", &target.kind);
        labels.set("__meta_kubernetes_endpointslice_address_target_name", &target.name);
    }
    labels.maybe("__meta_kubernetes_endpointslice_endpoint_node_name", endpoint.node_name.as_ref());
    labels.maybe("__meta_kubernetes_endpointslice_endpoint_zone", endpoint.zone.as_ref());
    for (name, value) in pairs(&endpoint.deprecated_topology) {
        let name = sanitized(name);
        labels.named(format!("__meta_kubernetes_endpointslice_endpoint_topology_{name}"), value);
        labels.named(format!("__meta_kubernetes_endpointslice_endpoint_topology_present_{name}"), "true");
    }
    let target_node = endpoint.target_ref.as_ref().filter(|target| target.kind == "Node");
    let node = target_node.map(|target| target.name.as_str()).or(endpoint.node_name.as_deref());
    add_node(&mut labels, node, known);
    if let Some(pod) = pod_of(endpoint.target_ref.as_ref(), known) {
        add_pod(&mut labels, pod, known);
        pods.add_port(&mut labels, pod, port.port, None);
    }
    labels.build()
}

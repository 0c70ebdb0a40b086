//! Endpoints: each address and port behind a service, with the labels of the pod there, and the other ports of these pods.

use crate::discovery::group::{ADDRESS, Collected, host_port};
use crate::discovery::kinds::kubernetes::labels::{
    NAMESPACE, add_container, add_meta, add_namespace, add_node, add_pod, add_service, containers,
};
use crate::discovery::kinds::kubernetes::objects::{
    EndpointAddress, Endpoints, EndpointsPort, Pod, Reference, key,
};
use crate::discovery::kinds::kubernetes::role::{Around, Known};
use crate::discovery::kinds::kubernetes::stores::Kind;
use crate::model::labels::Labels;

/// What Kubernetes says when there are more than 1,000 addresses.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

pub(super) fn depends(own: &str, endpoints: &Endpoints, around: &Around) -> bool {
    let mut subsets = endpoints.subsets.iter().flatten();
    around.touches(Kind::Service, own)
        || around.touches_namespace(&endpoints.metadata)
        || subsets.any(|subset| {
            let mut all = subset.addresses.iter().chain(&subset.not_ready_addresses).flatten();
            all.any(|address| around.touches_address(address.target_ref.as_ref(), address.node_name.as_deref()))
        })
}

pub(super) fn group(endpoints: &Endpoints, known: &Known) -> (Vec<Labels>, Labels) {
    let meta = &endpoints.metadata;
    let mut labels = Collected::new();
    labels.set(NAMESPACE, &meta.namespace);
    if let Some(service) = known.stores.services.get(&meta.key()) {
        add_service(&mut labels, service);
    }
    add_meta(&mut labels, meta, "endpoints");
    add_namespace(&mut labels, &meta.namespace, known);
    if meta.label(OVER_CAPACITY).is_some_and(|text| matches!(text, "truncated" | "warning")) {
        let name = &meta.name;
        let message =
            "there are more than 1000 endpoints in one object, please use \"role: endpointslice\" instead";
        tracing::warn!(discovery = "kubernetes", endpoint = name, "{message}");
    }
    let mut targets = vec![];
    let mut pods = SeenPods::default();
    for subset in endpoints.subsets.iter().flatten() {
        for port in subset.ports.iter().flatten() {
            for address in subset.addresses.iter().flatten() {
                targets.push(target(address, port, "true", known, &mut pods));
            }
            for address in subset.not_ready_addresses.iter().flatten() {
                targets.push(target(address, port, "false", known, &mut pods));
            }
        }
    }
    targets.extend(pods.other_ports(known));
    (targets, labels.build())
}

fn target<'a>(
    address: &EndpointAddress,
    port: &EndpointsPort,
    ready: &str,
    known: &'a Known,
    pods: &mut SeenPods<'a>,
) -> Labels {
    let mut labels = Collected::new();
    labels.set(ADDRESS, host_port(&address.ip, port.port));
    labels.set("__meta_kubernetes_endpoint_port_name", &port.name);
    labels.set("__meta_kubernetes_endpoint_port_protocol", &port.protocol);
    labels.set("__meta_kubernetes_endpoint_ready", ready);
    if let Some(target) = &address.target_ref {
        labels.set("__meta_kubernetes_endpoint_address_target_kind", &target.kind);
        labels.set("__meta_kubernetes_endpoint_address_target_name", &target.name);
    }
    labels.maybe("__meta_kubernetes_endpoint_node_name", address.node_name.as_ref());
    labels.set("__meta_kubernetes_endpoint_hostname", &address.hostname);
    let target_node = address.target_ref.as_ref().filter(|target| target.kind == "Node");
    let node = address.node_name.as_deref().or(target_node.map(|target| target.name.as_str()));
    add_node(&mut labels, node, known);
    if let Some(pod) = pod_of(address.target_ref.as_ref(), known) {
        add_pod(&mut labels, pod, known);
        pods.add_port(&mut labels, pod, Some(port.port), Some(&port.protocol));
    }
    labels.build()
}

/// The pod that an address is one of, if it is known.
pub(super) fn pod_of<'a>(target: Option<&Reference>, known: &'a Known) -> Option<&'a Pod> {
    let target = target.filter(|target| target.kind == "Pod")?;
    known.stores.pods.get(&key(&target.namespace, &target.name))
}

/// Pods behind a service, in the order they were seen, with the ports that the service has of them.
#[derive(Default)]
pub(super) struct SeenPods<'a>(Vec<(&'a Pod, Vec<i64>)>);

impl<'a> SeenPods<'a> {
    /// The containers that have a service's port, if any. `protocol` stands in place of that which a container says.
    pub(super) fn add_port(
        &mut self,
        labels: &mut Collected,
        pod: &'a Pod,
        port: Option<i64>,
        protocol: Option<&str>,
    ) {
        let at = self.0.iter().position(|(seen, _)| std::ptr::eq(*seen, pod)).unwrap_or_else(|| {
            self.0.push((pod, vec![]));
            self.0.len() - 1
        });
        self.0[at].1.extend(port);
        for (container, is_init) in containers(pod) {
            let own = container.ports.iter().flatten().find(|own| Some(own.container_port) == port);
            if let Some(own) = own {
                let protocol = protocol.unwrap_or(&own.protocol);
                add_container(labels, container, is_init, (&own.name, own.container_port, protocol));
            }
        }
    }

    /// Ports of the pods that the service does not have.
    pub(super) fn other_ports(&self, known: &Known) -> Vec<Labels> {
        let mut targets = vec![];
        for (pod, seen) in self.0.iter().filter(|(pod, _)| !pod.status.pod_ip.is_empty()) {
            for (container, is_init) in containers(pod) {
                let others = container.ports.iter().flatten().filter(|port| !seen.contains(&port.container_port));
                for port in others {
                    let mut labels = Collected::new();
                    labels.set(ADDRESS, host_port(&pod.status.pod_ip, port.container_port));
                    let own = (port.name.as_str(), port.container_port, port.protocol.as_str());
                    add_container(&mut labels, container, is_init, own);
                    add_pod(&mut labels, pod, known);
                    targets.push(labels.build());
                }
            }
        }
        targets
    }
}

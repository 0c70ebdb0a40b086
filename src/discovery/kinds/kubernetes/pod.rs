//! Pods: each port of each container, and each container without ports.

use crate::discovery::group::{ADDRESS, Collected, host_port};
use crate::discovery::kinds::kubernetes::labels::{
    NAMESPACE, add_container, add_namespace, add_node, add_pod, containers,
};
use crate::discovery::kinds::kubernetes::objects::Pod;
use crate::discovery::kinds::kubernetes::role::Known;
use crate::model::labels::Labels;

/// Targets and common labels; none of a pod that has no address, or whose node the selectors leave out.
pub(super) fn group(pod: &Pod, known: &Known) -> Option<(Vec<Labels>, Labels)> {
    let ip = &pod.status.pod_ip;
    if ip.is_empty() || known.attached.node && known.stores.nodes.get(&pod.spec.node_name).is_none() {
        return None;
    }
    let mut labels = Collected::new();
    add_pod(&mut labels, pod, known);
    labels.set(NAMESPACE, &pod.metadata.namespace);
    add_node(&mut labels, Some(&pod.spec.node_name), known);
    add_namespace(&mut labels, &pod.metadata.namespace, known);
    let mut targets = vec![];
    for (container, is_init) in containers(pod) {
        let statuses = if is_init { &pod.status.init_container_statuses } else { &pod.status.container_statuses };
        let status = statuses.iter().flatten().find(|status| status.name == container.name);
        let mut target = Collected::new();
        target.maybe("__meta_kubernetes_pod_container_id", status.map(|status| &status.container_id));
        for port in container.ports.iter().flatten() {
            let mut target = target.clone();
            add_container(&mut target, container, is_init, (&port.name, port.container_port, &port.protocol));
            target.set(ADDRESS, host_port(ip, port.container_port));
            targets.push(target.build());
        }
        if container.ports.iter().flatten().next().is_none() {
            target.set(ADDRESS, ip);
            target.set("__meta_kubernetes_pod_container_name", &container.name);
            target.set("__meta_kubernetes_pod_container_image", &container.image);
            target.set("__meta_kubernetes_pod_container_init", is_init.to_string());
            targets.push(target.build());
        }
    }
    Some((targets, labels.build()))
}

//! Labels that several roles give.

use crate::discovery::group::{Collected, pairs, sanitized};
use crate::discovery::kinds::kubernetes::objects::{Container, Meta, Node, Pod, Service, key};
use crate::discovery::kinds::kubernetes::role::Known;

pub(super) const NAMESPACE: &str = "__meta_kubernetes_namespace";

/// The name of an object, and its labels and annotations.
pub(super) fn add_meta(labels: &mut Collected, meta: &Meta, role: &str) {
    labels.named(format!("__meta_kubernetes_{role}_name"), &meta.name);
    add_labels_and_annotations(labels, meta, role);
}

fn add_labels_and_annotations(labels: &mut Collected, meta: &Meta, role: &str) {
    for (what, map) in [("label", &meta.labels), ("annotation", &meta.annotations)] {
        for (name, value) in pairs(map) {
            let name = sanitized(name);
            labels.named(format!("__meta_kubernetes_{role}_{what}_{name}"), value);
            labels.named(format!("__meta_kubernetes_{role}_{what}present_{name}"), "true");
        }
    }
}

/// Those of the namespace around, if they are to be attached.
pub(super) fn add_namespace(labels: &mut Collected, namespace: &str, known: &Known) {
    if known.attached.namespace
        && let Some(namespace) = known.stores.namespaces.get(namespace)
    {
        add_labels_and_annotations(labels, &namespace.metadata, "namespace");
    }
}

/// Those of a node, if they are to be attached.
pub(super) fn add_node(labels: &mut Collected, node: Option<&str>, known: &Known) {
    if known.attached.node
        && let Some(node) = node.and_then(|name| known.stores.nodes.get(name))
    {
        let Node { metadata, .. } = node;
        add_meta(labels, metadata, "node");
    }
}

pub(super) fn add_service(labels: &mut Collected, service: &Service) {
    labels.set(NAMESPACE, &service.metadata.namespace);
    add_meta(labels, &service.metadata, "service");
}

pub(super) fn add_pod(labels: &mut Collected, pod: &Pod, known: &Known) {
    let (meta, status) = (&pod.metadata, &pod.status);
    let ready = status.conditions.iter().flatten().find(|condition| condition.r#type == "Ready");
    labels.set("__meta_kubernetes_pod_ip", &status.pod_ip);
    labels.set(
        "__meta_kubernetes_pod_ready",
        ready.map_or("unknown".to_string(), |ready| ready.status.to_lowercase()),
    );
    labels.set("__meta_kubernetes_pod_phase", &status.phase);
    labels.set("__meta_kubernetes_pod_node_name", &pod.spec.node_name);
    labels.set("__meta_kubernetes_pod_host_ip", &status.host_ip);
    labels.set("__meta_kubernetes_pod_uid", &meta.uid);
    add_meta(labels, meta, "pod");
    let Some(owner) = meta.controller() else { return };
    labels.set("__meta_kubernetes_pod_controller_kind", &owner.kind);
    labels.set("__meta_kubernetes_pod_controller_name", &owner.name);
    let (attached, stores, key) = (known.attached, &known.stores, key(&meta.namespace, &owner.name));
    let owner_of = |meta: Option<&Meta>, kind: &str| {
        meta.and_then(Meta::controller).filter(|owner| owner.kind == kind).map(|owner| owner.name.clone())
    };
    match owner.kind.as_str() {
        "ReplicaSet" if attached.deployment => {
            let set = stores.replica_sets.get(&key).map(|set| &set.metadata);
            labels.maybe("__meta_kubernetes_pod_deployment_name", owner_of(set, "Deployment"));
        }
        "Job" => {
            labels.maybe("__meta_kubernetes_pod_job_name", attached.job.then_some(&owner.name));
            let job = stores.jobs.get(&key).filter(|_| attached.cron_job).map(|job| &job.metadata);
            labels.maybe("__meta_kubernetes_pod_cronjob_name", owner_of(job, "CronJob"));
        }
        _ => {}
    }
}

/// The containers of a pod, and whether each is one of those that run before the others.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let (main, init) = (&pod.spec.containers, &pod.spec.init_containers);
    main.iter().flatten().map(|container| (container, false)).chain(init.iter().flatten().map(|c| (c, true)))
}

/// A container and one of its ports.
pub(super) fn add_container(labels: &mut Collected, container: &Container, is_init: bool, port: (&str, i64, &str)) {
    let (name, number, protocol) = port;
    labels.set("__meta_kubernetes_pod_container_name", &container.name);
    labels.set("__meta_kubernetes_pod_container_image", &container.image);
    labels.set("__meta_kubernetes_pod_container_port_name", name);
    labels.set("__meta_kubernetes_pod_container_port_number", number.to_string());
    labels.set("__meta_kubernetes_pod_container_port_protocol", protocol);
    labels.set("__meta_kubernetes_pod_container_init", is_init.to_string());
}

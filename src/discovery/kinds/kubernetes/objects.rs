//! What the API is like, as far as it is needed. Two objects that are equal here differ in nothing that a target would
//! show, so that the heartbeats of nodes pass unnoticed.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The label by which a slice names its service.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    /// Taken out before an object is kept.
    pub(super) resource_version: String,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
    controller: Option<bool>,
}

impl Meta {
    pub(super) fn key(&self) -> String {
        key(&self.namespace, &self.name)
    }

    /// The owner that controls it.
    pub(super) fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str)
    }
}

pub(super) fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_string() } else { format!("{namespace}/{name}") }
}

/// Objects of which the description is all that matters.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Namespace {
    pub(super) metadata: Meta,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct ReplicaSet {
    pub(super) metadata: Meta,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Job {
    pub(super) metadata: Meta,
}

/// A state with the name of what it is of: `Ready`, `True`.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Condition {
    pub(super) r#type: String,
    pub(super) status: String,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Node {
    pub(super) metadata: Meta,
    pub(super) spec: NodeSpec,
    pub(super) status: NodeStatus,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct NodeSpec {
    #[serde(rename = "providerID")]
    pub(super) provider_id: String,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeStatus {
    pub(super) conditions: Option<Vec<Condition>>,
    pub(super) addresses: Option<Vec<NodeAddress>>,
    pub(super) daemon_endpoints: DaemonEndpoints,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct NodeAddress {
    pub(super) r#type: String,
    pub(super) address: String,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DaemonEndpoints {
    pub(super) kubelet_endpoint: DaemonEndpoint,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct DaemonEndpoint {
    #[serde(rename = "Port")]
    pub(super) port: i64,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Meta,
    pub(super) spec: PodSpec,
    pub(super) status: PodStatus,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub(super) node_name: String,
    pub(super) containers: Option<Vec<Container>>,
    pub(super) init_containers: Option<Vec<Container>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) ports: Option<Vec<ContainerPort>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerPort {
    pub(super) name: String,
    pub(super) container_port: i64,
    pub(super) protocol: String,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    pub(super) phase: String,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: String,
    #[serde(rename = "hostIP")]
    pub(super) host_ip: String,
    pub(super) conditions: Option<Vec<Condition>>,
    pub(super) container_statuses: Option<Vec<ContainerStatus>>,
    pub(super) init_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    #[serde(rename = "containerID")]
    pub(super) container_id: String,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Service {
    pub(super) metadata: Meta,
    pub(super) spec: ServiceSpec,
    pub(super) status: ServiceStatus,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceSpec {
    pub(super) r#type: String,
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: String,
    pub(super) external_name: String,
    #[serde(rename = "loadBalancerIP")]
    pub(super) load_balancer_ip: String,
    pub(super) ip_family_policy: Option<String>,
    pub(super) ip_families: Option<Vec<String>>,
    pub(super) ports: Option<Vec<ServicePort>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct ServicePort {
    pub(super) name: String,
    pub(super) port: i64,
    pub(super) protocol: String,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceStatus {
    pub(super) load_balancer: LoadBalancer,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct LoadBalancer {
    pub(super) ingress: Option<Vec<LoadBalancerIngress>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct LoadBalancerIngress {
    pub(super) ip: String,
}

/// What stands behind an address.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Reference {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Endpoints {
    pub(super) metadata: Meta,
    pub(super) subsets: Option<Vec<Subset>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Subset {
    pub(super) addresses: Option<Vec<EndpointAddress>>,
    pub(super) not_ready_addresses: Option<Vec<EndpointAddress>>,
    pub(super) ports: Option<Vec<EndpointsPort>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EndpointAddress {
    pub(super) ip: String,
    pub(super) hostname: String,
    pub(super) node_name: Option<String>,
    pub(super) target_ref: Option<Reference>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct EndpointsPort {
    pub(super) name: String,
    pub(super) port: i64,
    pub(super) protocol: String,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EndpointSlice {
    pub(super) metadata: Meta,
    pub(super) address_type: String,
    pub(super) endpoints: Option<Vec<Endpoint>>,
    pub(super) ports: Option<Vec<SlicePort>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Endpoint {
    pub(super) addresses: Option<Vec<String>>,
    pub(super) conditions: EndpointConditions,
    pub(super) hostname: Option<String>,
    pub(super) target_ref: Option<Reference>,
    pub(super) node_name: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) deprecated_topology: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct EndpointConditions {
    pub(super) ready: Option<bool>,
    pub(super) serving: Option<bool>,
    pub(super) terminating: Option<bool>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SlicePort {
    pub(super) name: Option<String>,
    pub(super) port: Option<i64>,
    pub(super) protocol: Option<String>,
    pub(super) app_protocol: Option<String>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Ingress {
    pub(super) metadata: Meta,
    pub(super) spec: IngressSpec,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct IngressSpec {
    pub(super) ingress_class_name: Option<String>,
    pub(super) rules: Option<Vec<IngressRule>>,
    pub(super) tls: Option<Vec<IngressTls>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct IngressRule {
    pub(super) host: String,
    pub(super) http: Option<IngressPaths>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct IngressPaths {
    pub(super) paths: Option<Vec<IngressPath>>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct IngressPath {
    pub(super) path: String,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct IngressTls {
    pub(super) hosts: Option<Vec<String>>,
}

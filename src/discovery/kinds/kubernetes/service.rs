//! Services: each port, by the service's name.

use crate::discovery::group::{ADDRESS, Collected, host_port};
use crate::discovery::kinds::kubernetes::labels::{add_namespace, add_service};
use crate::discovery::kinds::kubernetes::objects::Service;
use crate::discovery::kinds::kubernetes::role::Known;
use crate::model::labels::Labels;

pub(super) fn group(service: &Service, known: &Known) -> (Vec<Labels>, Labels) {
    let (meta, spec) = (&service.metadata, &service.spec);
    let mut labels = Collected::new();
    add_service(&mut labels, service);
    add_namespace(&mut labels, &meta.namespace, known);
    let targets = spec.ports.iter().flatten().map(|port| {
        let mut target = Collected::new();
        target.set(ADDRESS, host_port(&format!("{}.{}.svc", meta.name, meta.namespace), port.port));
        target.set("__meta_kubernetes_service_port_name", &port.name);
        target.set("__meta_kubernetes_service_port_number", port.port.to_string());
        target.set("__meta_kubernetes_service_port_protocol", &port.protocol);
        target.set("__meta_kubernetes_service_type", &spec.r#type);
        match spec.r#type.as_str() {
            "ExternalName" => target.set("__meta_kubernetes_service_external_name", &spec.external_name),
            _ => target.set("__meta_kubernetes_service_cluster_ip", &spec.cluster_ip),
        };
        if spec.r#type == "LoadBalancer" {
            target.set("__meta_kubernetes_service_loadbalancer_ip", load_balancer_ips(service));
        }
        target.build()
    });
    (targets.collect(), labels.build())
}

/// Those it has, or the one that was asked for.
fn load_balancer_ips(service: &Service) -> String {
    let ingress = service.status.load_balancer.ingress.iter().flatten();
    let ips: Vec<&str> = ingress.map(|ingress| ingress.ip.as_str()).filter(|ip| !ip.is_empty()).collect();
    if ips.is_empty() { service.spec.load_balancer_ip.clone() } else { ips.join(",") }
}

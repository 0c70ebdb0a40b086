//! Ingresses: each path of each host.

use crate::discovery::group::{ADDRESS, Collected};
use crate::discovery::kinds::kubernetes::labels::{NAMESPACE, add_meta, add_namespace};
use crate::discovery::kinds::kubernetes::objects::{Ingress, IngressRule};
use crate::discovery::kinds::kubernetes::role::Known;
use crate::model::labels::Labels;

pub(super) fn group(ingress: &Ingress, known: &Known) -> (Vec<Labels>, Labels) {
    let (meta, spec) = (&ingress.metadata, &ingress.spec);
    let mut labels = Collected::new();
    labels.set(NAMESPACE, &meta.namespace);
    labels.maybe("__meta_kubernetes_ingress_class_name", spec.ingress_class_name.as_ref());
    add_meta(&mut labels, meta, "ingress");
    add_namespace(&mut labels, &meta.namespace, known);
    let mut targets = vec![];
    for rule in spec.rules.iter().flatten() {
        let mut hosts = spec.tls.iter().flatten().flat_map(|tls| tls.hosts.iter().flatten());
        let scheme = if hosts.any(|pattern| fits(pattern, &rule.host)) { "https" } else { "http" };
        for path in paths(rule) {
            let mut target = Collected::new();
            target.set(ADDRESS, &rule.host);
            target.set("__meta_kubernetes_ingress_scheme", scheme);
            target.set("__meta_kubernetes_ingress_host", &rule.host);
            target.set("__meta_kubernetes_ingress_path", path);
            targets.push(target.build());
        }
    }
    (targets, labels.build())
}

/// `/` for none, and for one that is empty.
fn paths(rule: &IngressRule) -> Vec<&str> {
    let Some(http) = &rule.http else { return vec!["/"] };
    let paths = http.paths.iter().flatten().map(|path| path.path.as_str());
    paths.map(|path| if path.is_empty() { "/" } else { path }).collect()
}

/// A star is the first part of a name, whatever it is.
fn fits(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    let Some(rest) = pattern.strip_prefix("*.") else { return false };
    host.split_once('.').is_some_and(|(_, behind)| behind == rest)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn hosts() {
        let check =
            |pattern: &str, host: &str, want: bool| assert_eq!(fits(pattern, host), want, "{pattern} {host}");
        check("a.example", "a.example", true);
        check("*.example", "a.example", true);
        check("*.example", "a.b.example", false);
        check("*.example", "example", false);
        check("a.*", "a.example", false);
        check("", "", true);
    }
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use crate::discovery::fake::{Asked, Reply, Running, serve, until};
use crate::model::labels::Labels;

/// An API server: lists in pages, watches that go on from a version, and trouble when the test wants it.
#[derive(Clone)]
struct Cluster {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<Told>,
    address: String,
}

#[derive(Default)]
struct State {
    version: u64,
    /// By path of their list, then by name.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// Every event with its version.
    log: Vec<(u64, String, String)>,
    /// Versions before this one are gone.
    oldest: u64,
    asked: Vec<String>,
    refused: Vec<String>,
}

#[derive(Clone, Debug)]
enum Told {
    /// List, line.
    Event(String, String),
    /// All watches end.
    HangUp,
    /// All watches are told that their version is gone.
    Expire,
}

impl Cluster {
    async fn start() -> Self {
        let (events, _) = broadcast::channel(1000);
        let mut cluster = Self { state: Arc::default(), events, address: String::new() };
        let answering = cluster.clone();
        cluster.address = serve(move |asked| {
            let cluster = answering.clone();
            Box::pin(async move { cluster.answer(&asked) })
        })
        .await;
        cluster
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let mut state = self.state.lock();
        let query: Vec<String> = asked.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        state.asked.push(format!("{}?{}", asked.path, query.join("&")));
        if state.refused.iter().any(|path| asked.path.contains(path.as_str())) {
            return Reply::Whole(403, vec![], r#"{"kind": "Status", "message": "may not list"}"#.to_string());
        }
        let path = asked.path.clone();
        if asked.param("watch") == "true" {
            let from: u64 = asked.param("resourceVersion").parse().unwrap();
            if from < state.oldest {
                return Reply::Whole(410, vec![], "gone".to_string());
            }
            return self.watch(&state, path, from);
        }
        // Pages of two.
        let all: Vec<Value> =
            state.objects.get(&path).map(|list| list.values().cloned().collect()).unwrap_or_default();
        let first: usize = asked.param("continue").parse().unwrap_or(0);
        let next = if first + 2 < all.len() { (first + 2).to_string() } else { String::new() };
        let items: Vec<&Value> = all.iter().skip(first).take(2).collect();
        Reply::json(
            json!({
                "metadata": {"resourceVersion": state.version.to_string(), "continue": next}, "items": items,
            })
            .to_string(),
        )
    }

    fn watch(&self, state: &State, path: String, from: u64) -> Reply {
        let (sender, receiver) = mpsc::channel(100);
        let mut events = self.events.subscribe();
        let missed = state.log.iter().filter(|(version, list, _)| *version > from && *list == path);
        let mut missed: Vec<String> = missed.map(|(_, _, line)| line.clone()).collect();
        missed.push(
            json!({
                "type": "BOOKMARK", "object": {"metadata": {"resourceVersion": state.version.to_string()}},
            })
            .to_string(),
        );
        tokio::spawn(async move {
            for line in missed {
                let _ = sender.send(format!("{line}\n")).await;
            }
            while let Ok(told) = events.recv().await {
                let line = match told {
                    Told::HangUp => return,
                    Told::Expire => json!({"type": "ERROR", "object": {"kind": "Status", "code": 410}}).to_string(),
                    Told::Event(list, line) if list == path => line,
                    Told::Event(..) => continue,
                };
                // In two parts, since a connection knows nothing of lines.
                let (a, b) = line.split_at(line.len() / 2);
                for part in [a.to_string(), format!("{b}\n")] {
                    if sender.send(part).await.is_err() {
                        return;
                    }
                }
            }
        });
        Reply::Parts(receiver)
    }

    /// Adds or changes an object.
    fn put(&self, list: &str, mut object: Value) {
        let mut state = self.state.lock();
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        let name = object["metadata"]["name"].as_str().unwrap().to_string();
        let objects = state.objects.entry(list.to_string()).or_default();
        let kind = if objects.insert(name, object.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        self.tell(&mut state, list, kind, &object);
    }

    fn delete(&self, list: &str, name: &str) {
        let mut state = self.state.lock();
        state.version += 1;
        let mut object = state.objects.get_mut(list).and_then(|objects| objects.remove(name)).unwrap();
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        self.tell(&mut state, list, "DELETED", &object);
    }

    fn tell(&self, state: &mut State, list: &str, kind: &str, object: &Value) {
        let event = (state.version, list.to_string(), json!({"type": kind, "object": object}).to_string());
        state.log.push(event.clone());
        let _ = self.events.send(Told::Event(event.1, event.2));
    }

    fn entry(&self, more: &str) -> String {
        format!("{{api_server: 'http://{}', {more}}}", self.address)
    }

    fn asked(&self, path: &str) -> usize {
        self.state.lock().asked.iter().filter(|asked| asked.contains(path)).count()
    }
}

const PODS: &str = "/api/v1/pods";
const NODES: &str = "/api/v1/nodes";
const SERVICES: &str = "/api/v1/services";
const ENDPOINTS: &str = "/api/v1/endpoints";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/ingresses";
const NAMESPACES: &str = "/api/v1/namespaces";
const REPLICA_SETS: &str = "/apis/apps/v1/replicasets";
const JOBS: &str = "/apis/batch/v1/jobs";

fn pod(name: &str, ip: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": "u1", "labels": {"app.io/x": "web"},
            "annotations": {"scrape": "true"},
            "ownerReferences": [{"kind": "Other", "name": "o"}, {"kind": "ReplicaSet", "name": "rs1", "controller": true}]},
        "spec": {"nodeName": "n1",
            "containers": [
                {"name": "app", "image": "shop:1", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"},
                    {"containerPort": 9090, "protocol": "TCP"}]},
                {"name": "bare", "image": "bare:1"}],
            "initContainers": [{"name": "init", "image": "init:1"}]},
        "status": {"podIP": ip, "hostIP": "10.0.0.1", "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "app", "containerID": "cri://1"}],
            "initContainerStatuses": null},
    })
}

/// The labels of a target, of which those of its pod are left out.
fn own(labels: &Labels) -> String {
    labels.to_string().replace("__meta_kubernetes_", "")
}

const POD: &str = r#"pod_annotation_scrape="true", pod_annotationpresent_scrape="true", "#;
const POD_END: &str = r#"pod_controller_kind="ReplicaSet", pod_controller_name="rs1", pod_host_ip="10.0.0.1", pod_ip="1.2.3.4", pod_label_app_io_x="web", pod_labelpresent_app_io_x="true", pod_name="p1", pod_node_name="n1", pod_phase="Running", pod_ready="true", pod_uid="u1"}"#;

#[tokio::test]
async fn pods_by_container_and_port() {
    let cluster = Cluster::start().await;
    cluster.put(PODS, pod("p1", "1.2.3.4"));
    cluster.put(PODS, pod("starting", ""));
    let running = Running::start("kubernetes", &cluster.entry("role: pod"));
    let found = running.found("__address__", &["1.2.3.4", "1.2.3.4", "1.2.3.4:8080", "1.2.3.4:9090"]).await;
    let container = |rest: &str| format!("namespace=\"shop\", {POD}{rest}, {POD_END}");
    let want = [
        format!(
            "{{__address__=\"1.2.3.4\", {}",
            container(r#"pod_container_image="bare:1", pod_container_init="false", pod_container_name="bare""#)
        ),
        format!(
            "{{__address__=\"1.2.3.4\", {}",
            container(r#"pod_container_image="init:1", pod_container_init="true", pod_container_name="init""#)
        ),
        format!(
            "{{__address__=\"1.2.3.4:8080\", {}",
            container(
                r#"pod_container_id="cri://1", pod_container_image="shop:1", pod_container_init="false", pod_container_name="app", pod_container_port_name="http", pod_container_port_number="8080", pod_container_port_protocol="TCP""#
            )
        ),
        format!(
            "{{__address__=\"1.2.3.4:9090\", {}",
            container(
                r#"pod_container_id="cri://1", pod_container_image="shop:1", pod_container_init="false", pod_container_name="app", pod_container_port_number="9090", pod_container_port_protocol="TCP""#
            )
        ),
    ];
    assert_eq!(found.iter().map(own).collect::<Vec<_>>(), want);
}

/// More objects than a page has; then events, a connection that ends, events that were missed meanwhile, and a version
/// that is gone by an event and by a status.
#[tokio::test]
async fn lists_are_kept_up_to_date_through_trouble() {
    let cluster = Cluster::start().await;
    let node = |name: &str, address: &str| {
        json!({"metadata": {"name": name}, "status": {"addresses": [{"type": "InternalIP", "address": address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}})
    };
    for number in 1..=5 {
        cluster.put(NODES, node(&format!("n{number}"), &format!("10.0.0.{number}")));
    }
    let running = Running::start("kubernetes", &cluster.entry("role: node"));
    running.found("instance", &["n1", "n2", "n3", "n4", "n5"]).await;
    assert_eq!(cluster.asked("continue=2"), 1);
    cluster.delete(NODES, "n2");
    cluster.put(NODES, node("n1", "10.9.9.9"));
    running.found("__address__", &["10.0.0.3:10250", "10.0.0.4:10250", "10.0.0.5:10250", "10.9.9.9:10250"]).await;
    // Gone and back, with what happened meanwhile.
    cluster.events.send(Told::HangUp).unwrap();
    cluster.delete(NODES, "n3");
    running.found("instance", &["n4", "n5", "n1"]).await;
    let (lists, watches) = (cluster.asked("limit=500"), cluster.asked("watch=true"));
    // The version is gone while it is watched …
    cluster.events.send(Told::Expire).unwrap();
    cluster.delete(NODES, "n4");
    running.found("instance", &["n5", "n1"]).await;
    until("another list", || cluster.asked("limit=500") > lists).await;
    // … and while it is not.
    until("another watch", || cluster.asked("watch=true") > watches).await;
    {
        let mut state = cluster.state.lock();
        state.oldest = state.version + 2;
    }
    cluster.events.send(Told::HangUp).unwrap();
    cluster.delete(NODES, "n5");
    cluster.put(NODES, node("n6", "10.0.0.6"));
    running.found("instance", &["n6", "n1"]).await;
    // Nothing that a target shows changed: nobody is told.
    let before = running.manager.numbers().received_updates;
    cluster.put(NODES, node("n6", "10.0.0.6"));
    cluster.put(NODES, node("n7", "10.0.0.7"));
    running.found("instance", &["n6", "n7", "n1"]).await;
    assert_eq!(running.manager.numbers().received_updates, before + 1);
    let events = running.manager.context().stats.kubernetes_events.lock().clone();
    assert!(events[&("node", "add")] >= 7 && events[&("node", "delete")] >= 4, "{events:?}");
}

#[tokio::test]
async fn an_api_that_refuses_is_asked_again() {
    let cluster = Cluster::start().await;
    cluster.put(PODS, pod("p1", "1.2.3.4"));
    cluster.state.lock().refused.push(PODS.to_string());
    let running = Running::start("kubernetes", &cluster.entry("role: pod"));
    let stats = running.manager.context().stats.clone();
    until("a failure", || stats.kubernetes_failures.load(Ordering::Relaxed) > 0).await;
    cluster.state.lock().refused.clear();
    running.found("pod", &["", "", "", ""]).await;
}

#[tokio::test]
async fn nodes_and_their_labels() {
    let cluster = Cluster::start().await;
    cluster.put(
        NODES,
        json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}, "spec": {"providerID": "x://1"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}],
                "addresses": [{"type": "Hostname", "address": "n1.x"}, {"type": "ExternalIP", "address": "192.0.2.1"},
                    {"type": "ExternalIP", "address": "192.0.2.2"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}}),
    );
    cluster.put(NODES, json!({"metadata": {"name": "unknown"}, "status": {"addresses": []}}));
    let running = Running::start("kubernetes", &cluster.entry("role: node"));
    let found = running.found("instance", &["n1"]).await;
    assert_eq!(
        own(&found[0]),
        r#"{__address__="192.0.2.1:10250", node_address_ExternalIP="192.0.2.1", node_address_Hostname="n1.x", node_condition_diskpressure="false", node_condition_ready="true", node_label_zone="a", node_labelpresent_zone="true", node_name="n1", node_provider_id="x://1", instance="n1"}"#
    );
}

#[tokio::test]
async fn services_by_port() {
    let cluster = Cluster::start().await;
    let service = |name: &str, spec: Value, status: Value| json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec, "status": status});
    let port = json!([{"name": "http", "port": 80, "protocol": "TCP"}]);
    let balanced =
        json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "x"}, {"ip": "192.0.2.2"}]}});
    cluster.put(
        SERVICES,
        service("a", json!({"type": "ClusterIP", "clusterIP": "10.1.1.1", "ports": port}), json!({})),
    );
    cluster.put(
        SERVICES,
        service("b", json!({"type": "ExternalName", "externalName": "b.example", "ports": port}), json!({})),
    );
    cluster.put(
        SERVICES,
        service("c", json!({"type": "LoadBalancer", "clusterIP": "10.1.1.3", "ports": port}), balanced),
    );
    cluster.put(
        SERVICES,
        service(
            "d",
            json!({"type": "LoadBalancer", "clusterIP": "10.1.1.4", "loadBalancerIP": "192.0.2.9", "ports": port}),
            json!({}),
        ),
    );
    cluster.put(NAMESPACES, json!({"metadata": {"name": "shop", "labels": {"team": "t1"}}}));
    let running = Running::start("kubernetes", &cluster.entry("role: service, attach_metadata: {namespace: true}"));
    let names = ["a.shop.svc:80", "b.shop.svc:80", "c.shop.svc:80", "d.shop.svc:80"];
    let found = running.found("__address__", &names).await;
    let labels = |name: &str, own: &str, kind: &str| {
        let (ip, balancer) = own.split_once('|').unwrap_or((own, ""));
        format!(
            r#"{{__address__="{name}.shop.svc:80", namespace="shop", namespace_label_team="t1", namespace_labelpresent_team="true", {ip}{balancer}service_name="{name}", service_port_name="http", service_port_number="80", service_port_protocol="TCP", service_type="{kind}"}}"#
        )
    };
    let want = [
        labels("a", r#"service_cluster_ip="10.1.1.1", "#, "ClusterIP"),
        labels("b", r#"service_external_name="b.example", "#, "ExternalName"),
        labels(
            "c",
            r#"service_cluster_ip="10.1.1.3", |service_loadbalancer_ip="192.0.2.1,192.0.2.2", "#,
            "LoadBalancer",
        ),
        labels("d", r#"service_cluster_ip="10.1.1.4", |service_loadbalancer_ip="192.0.2.9", "#, "LoadBalancer"),
    ];
    assert_eq!(found.iter().map(own).collect::<Vec<_>>(), want);
    // The labels of the namespace change, and with them those of all that is in it.
    cluster.put(NAMESPACES, json!({"metadata": {"name": "shop", "labels": {"team": "t2"}}}));
    running.found("__meta_kubernetes_namespace_label_team", &["t2"; 4]).await;
}

#[tokio::test]
async fn ingresses_by_host_and_path() {
    let cluster = Cluster::start().await;
    cluster.put(
        INGRESSES,
        json!({"metadata": {"name": "i", "namespace": "shop"}, "spec": {"ingressClassName": "nginx",
            "tls": [{"hosts": ["*.example"]}, {"secretName": "x"}],
            "rules": [{"host": "a.example", "http": {"paths": [{"path": "/x"}, {"backend": {}}]}}, {"host": "b.other"}]}}),
    );
    let running = Running::start("kubernetes", &cluster.entry("role: ingress"));
    let found = running.found("__address__", &["a.example", "a.example", "b.other"]).await;
    let labels = |host: &str, path: &str, scheme: &str| {
        format!(
            r#"{{__address__="{host}", ingress_class_name="nginx", ingress_host="{host}", ingress_name="i", ingress_path="{path}", ingress_scheme="{scheme}", namespace="shop"}}"#
        )
    };
    let want =
        [labels("a.example", "/", "https"), labels("a.example", "/x", "https"), labels("b.other", "/", "http")];
    assert_eq!(found.iter().map(own).collect::<Vec<_>>(), want);
}

/// A service with a pod, an address that is no pod, and one that is not ready.
fn endpoints() -> Value {
    json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"l": "e"}}, "subsets": [{
        "addresses": [
            {"ip": "1.2.3.4", "nodeName": "n1", "targetRef": {"kind": "Pod", "namespace": "shop", "name": "p1"}},
            {"ip": "5.6.7.8", "hostname": "h"}],
        "notReadyAddresses": [{"ip": "9.9.9.9", "targetRef": {"kind": "Node", "name": "n1"}}],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}, {"addresses": null}]})
}

#[tokio::test]
async fn endpoints_with_their_pods_services_and_nodes() {
    let cluster = Cluster::start().await;
    cluster.put(ENDPOINTS, endpoints());
    cluster.put(PODS, pod("p1", "1.2.3.4"));
    cluster.put(SERVICES, json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"s": "1"}}}));
    cluster.put(NODES, json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}}));
    let running = Running::start("kubernetes", &cluster.entry("role: endpoints, attach_metadata: {node: true}"));
    let addresses = ["1.2.3.4:8080", "1.2.3.4:9090", "5.6.7.8:8080", "9.9.9.9:8080"];
    let found = running.found("__address__", &addresses).await;
    let endpoint = |rest: &str, ready: &str| {
        format!(r#"{rest}endpoint_port_name="http", endpoint_port_protocol="TCP", endpoint_ready="{ready}", "#)
    };
    let common = r#"endpoints_label_l="e", endpoints_labelpresent_l="e", endpoints_name="web", namespace="shop", "#
        .replace(r#"present_l="e""#, r#"present_l="true""#);
    let node = r#"node_label_zone="a", node_labelpresent_zone="true", node_name="n1", "#;
    let service = r#"service_label_s="1", service_labelpresent_s="true", service_name="web"}"#;
    let container = |number: &str, name: &str| {
        let name = if name.is_empty() { String::new() } else { format!("pod_container_port_name=\"{name}\", ") };
        format!(
            r#"pod_container_image="shop:1", pod_container_init="false", pod_container_name="app", {name}pod_container_port_number="{number}", pod_container_port_protocol="TCP", "#
        )
    };
    let of_pod = |container: String| format!("{POD}{container}{}, {service}", POD_END.trim_end_matches('}'));
    let pod_target =
        r#"endpoint_address_target_kind="Pod", endpoint_address_target_name="p1", endpoint_node_name="n1", "#;
    let node_target = r#"endpoint_address_target_kind="Node", endpoint_address_target_name="n1", "#;
    let want = [
        format!(
            r#"{{__address__="1.2.3.4:8080", {}{common}{node}{}"#,
            endpoint(pod_target, "true"),
            of_pod(container("8080", "http"))
        ),
        // A port of the pod that the service does not have.
        format!(r#"{{__address__="1.2.3.4:9090", {common}{}"#, of_pod(container("9090", ""))),
        format!(
            r#"{{__address__="5.6.7.8:8080", {}{common}{service}"#,
            endpoint(r#"endpoint_hostname="h", "#, "true")
        ),
        format!(r#"{{__address__="9.9.9.9:8080", {}{common}{node}{service}"#, endpoint(node_target, "false")),
    ];
    assert_eq!(found.iter().map(own).collect::<Vec<_>>(), want);

    // What stands around changes.
    let phase = "__meta_kubernetes_pod_phase";
    let mut failed = pod("p1", "1.2.3.4");
    failed["status"]["phase"] = "Failed".into();
    cluster.put(PODS, failed);
    running.found(phase, &["Failed", "Failed", "", ""]).await;
    cluster.put(NODES, json!({"metadata": {"name": "n1", "labels": {"zone": "b"}}}));
    running.found("__meta_kubernetes_node_label_zone", &["b", "", "", "b"]).await;
    cluster.put(SERVICES, json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"s": "2"}}}));
    running.found("__meta_kubernetes_service_label_s", &["2"; 4]).await;
    cluster.delete(PODS, "p1");
    running.found(phase, &["", "", ""]).await;
    cluster.delete(ENDPOINTS, "web");
    running.found(phase, &[]).await;
}

#[tokio::test]
async fn slices_with_their_pods_and_services() {
    let cluster = Cluster::start().await;
    cluster.put(
        SLICES,
        json!({"metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "h2"}],
            "endpoints": [
                {"addresses": ["1.2.3.4"], "conditions": {"ready": true, "serving": true, "terminating": false},
                    "targetRef": {"kind": "Pod", "namespace": "shop", "name": "p1"}, "nodeName": "n1", "zone": "z"},
                {"addresses": ["5.6.7.8"], "conditions": {}, "hostname": "h",
                    "deprecatedTopology": {"kubernetes.io/x": "y"}}]}),
    );
    cluster.put(PODS, pod("p1", "1.2.3.4"));
    cluster.put(SERVICES, json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"s": "1"}}}));
    let running = Running::start("kubernetes", &cluster.entry("role: endpointslice"));
    let addresses = ["1.2.3.4:8080", "1.2.3.4:9090", "5.6.7.8:8080"];
    let found = running.found("__address__", &addresses).await;
    let common = r#"endpointslice_address_type="IPv4", "#;
    let meta = r#"endpointslice_label_kubernetes_io_service_name="web", endpointslice_labelpresent_kubernetes_io_service_name="true", endpointslice_name="web-1", "#;
    let port = r#"endpointslice_port="8080", endpointslice_port_app_protocol="h2", endpointslice_port_name="http", endpointslice_port_protocol="TCP", "#;
    let service = r#"service_label_s="1", service_labelpresent_s="true", service_name="web"}"#;
    let first = format!(
        r#"{{__address__="1.2.3.4:8080", endpointslice_address_target_kind="Pod", endpointslice_address_target_name="p1", {common}endpointslice_endpoint_conditions_ready="true", endpointslice_endpoint_conditions_serving="true", endpointslice_endpoint_conditions_terminating="false", endpointslice_endpoint_node_name="n1", endpointslice_endpoint_zone="z", {meta}{port}namespace="shop", {POD}pod_container_image="shop:1", pod_container_init="false", pod_container_name="app", pod_container_port_name="http", pod_container_port_number="8080", pod_container_port_protocol="TCP", {}, {service}"#,
        POD_END.trim_end_matches('}')
    );
    assert_eq!(own(&found[0]), first);
    let last = format!(
        r#"{{__address__="5.6.7.8:8080", {common}endpointslice_endpoint_hostname="h", endpointslice_endpoint_topology_kubernetes_io_x="y", endpointslice_endpoint_topology_present_kubernetes_io_x="true", {meta}{port}namespace="shop", {service}"#
    );
    assert_eq!(own(&found[2]), last);
    // Of a service with addresses of both families the other slice is left out.
    cluster.put(
        SERVICES,
        json!({"metadata": {"name": "web", "namespace": "shop"},
            "spec": {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"]}}),
    );
    running.found("__address__", &[]).await;
}

#[tokio::test]
async fn owners_of_owners_are_attached() {
    let cluster = Cluster::start().await;
    cluster.put(PODS, pod("p1", "1.2.3.4"));
    let mut of_job = pod("p2", "1.2.3.5");
    of_job["metadata"]["ownerReferences"] = json!([{"kind": "Job", "name": "j1", "controller": true}]);
    of_job["spec"] = json!({"nodeName": "n2", "containers": [{"name": "c", "image": "i"}]});
    cluster.put(PODS, of_job);
    let owned = |name: &str, kind: &str, owner: &str| json!({"metadata": {"name": name, "namespace": "shop", "ownerReferences": [{"kind": kind, "name": owner, "controller": true}]}});
    cluster.put(REPLICA_SETS, owned("rs1", "Deployment", "d1"));
    cluster.put(JOBS, owned("j1", "CronJob", "cj1"));
    let attach = "attach_metadata: {deployment: true, job: true, cronjob: true}";
    let running = Running::start("kubernetes", &cluster.entry(&format!("role: pod, {attach}")));
    let label = |name: &str| format!("__meta_kubernetes_pod_{name}_name");
    running.found(&label("deployment"), &["d1", "d1", "d1", "d1", ""]).await;
    running.found(&label("job"), &["", "", "", "", "j1"]).await;
    running.found(&label("cronjob"), &["", "", "", "", "cj1"]).await;
    cluster.put(REPLICA_SETS, owned("rs1", "Deployment", "d2"));
    running.found(&label("deployment"), &["d2", "d2", "d2", "d2", ""]).await;
}

#[tokio::test]
async fn pods_of_nodes_that_selectors_leave_out_are_left_out() {
    let cluster = Cluster::start().await;
    cluster.put(PODS, pod("p1", "1.2.3.4"));
    let more = "role: pod, attach_metadata: {node: true}, \
                selectors: [{role: node, label: 'zone=a', field: 'metadata.name!=x'}, {role: pod, label: 'app'}]";
    let running = Running::start("kubernetes", &cluster.entry(more));
    until("a watch of nodes", || {
        cluster.asked("/api/v1/nodes?labelSelector=zone=a&fieldSelector=metadata.name!=x&watch") > 0
    })
    .await;
    assert!(cluster.asked("/api/v1/pods?labelSelector=app&limit=500") > 0);
    cluster.put(NODES, json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}}));
    running.found("__meta_kubernetes_node_label_zone", &["a"; 4]).await;
    cluster.delete(NODES, "n1");
    running.found("__address__", &[]).await;
}

/// One that may not be seen keeps none from being found.
#[tokio::test]
async fn namespaces_are_asked_for_one_by_one() {
    let cluster = Cluster::start().await;
    cluster.put("/api/v1/namespaces/shop/pods", pod("p1", "1.2.3.4"));
    cluster.state.lock().refused.push("/namespaces/secret/".to_string());
    let entry = cluster.entry("role: pod, namespaces: {names: [secret, shop]}");
    let running = Running::start("kubernetes", &entry);
    running.found("__meta_kubernetes_namespace", &["shop"; 4]).await;
    assert_eq!(cluster.asked("/api/v1/pods"), 0);
}

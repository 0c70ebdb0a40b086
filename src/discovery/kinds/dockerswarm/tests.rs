use super::*;

/// A manager's answers, made by hand after the API's documentation.
const NODES: &str = r#"[
  {"ID": "n1", "Spec": {"Role": "manager", "Availability": "active", "Labels": {"zone.a": "1"}},
   "Description": {"Hostname": "m1", "Platform": {"Architecture": "x86_64", "OS": "linux"}, "Engine": {"EngineVersion": "27.1"}},
   "Status": {"State": "ready", "Addr": "10.0.0.1"},
   "ManagerStatus": {"Leader": true, "Reachability": "reachable", "Addr": "10.0.0.1:2377"}},
  {"ID": "n2", "Spec": {"Role": "worker", "Availability": "drain", "Labels": null},
   "Description": {"Hostname": "w1", "Platform": {"Architecture": "aarch64", "OS": "linux"}, "Engine": {"EngineVersion": "27.1"}},
   "Status": {"State": "down", "Addr": "fd00::2"}}
]"#;

const SERVICES: &str = r#"[
  {"ID": "s1", "Spec": {"Name": "shop_web", "Labels": {"com.x": "y"}, "Mode": {"Replicated": {"Replicas": 2}},
    "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1", "Hostname": "h"}}},
   "Endpoint": {"Ports": [{"Name": "http", "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"},
     {"Protocol": "udp", "PublishedPort": 53, "PublishMode": "ingress"}],
     "VirtualIPs": [{"NetworkID": "net1", "Addr": "10.255.0.5/16"}, {"NetworkID": "net2", "Addr": ""}]},
   "UpdateStatus": {"State": "completed"}},
  {"ID": "s2", "Spec": {"Name": "agent", "Mode": {"Global": {}}, "TaskTemplate": {}},
   "Endpoint": {"VirtualIPs": [{"NetworkID": "net2", "Addr": "10.1.0.7/24"}]}}
]"#;

const TASKS: &str = r#"[
  {"ID": "t1", "ServiceID": "s1", "NodeID": "n1", "Slot": 2, "DesiredState": "running",
   "Spec": {"ContainerSpec": {"Image": "nginx:1", "Labels": {"l": "v"}}},
   "Status": {"State": "running", "ContainerStatus": {"ContainerID": "cc"},
     "PortStatus": {"Ports": [{"Protocol": "tcp", "PublishedPort": 9100, "PublishMode": "host"}]}},
   "NetworksAttachments": [{"Network": {"ID": "net1"}, "Addresses": ["10.255.0.6/16", "not one"]}]},
  {"ID": "t2", "ServiceID": "s2", "NodeID": "n2", "Slot": 0, "DesiredState": "shutdown", "Spec": {},
   "Status": {"State": "failed", "PortStatus": {}},
   "NetworksAttachments": [{"Network": {"ID": "net2"}, "Addresses": ["10.1.0.8/24"]}]},
  {"ID": "t3", "ServiceID": "gone", "NodeID": "", "Status": {"State": "new"}, "DesiredState": "running"}
]"#;

fn networks() -> HashMap<String, Collected> {
    let labels = |name: &str| {
        let mut labels = Collected::new();
        labels.named(format!("{PREFIX}network_name"), name);
        labels
    };
    HashMap::from([("net1".to_string(), labels("ingress")), ("net2".to_string(), labels("back"))])
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Vec<T> {
    serde_json::from_str(text).unwrap()
}

fn shown(targets: Vec<Labels>) -> Vec<String> {
    targets.iter().map(|target| target.to_string().replace("__meta_dockerswarm_", "")).collect()
}

const MANAGER: &str = r#"node_address="10.0.0.1", node_availability="active", node_hostname="m1", node_id="n1", node_label_zone_a="1", node_platform_architecture="x86_64", node_platform_os="linux", node_role="manager", node_status="ready", "#;
const WORKER: &str = r#"node_address="fd00::2", node_availability="drain", node_hostname="w1", node_id="n2", node_platform_architecture="aarch64", node_platform_os="linux", node_role="worker", node_status="down""#;

#[test]
fn nodes() {
    let all = read::<Node>(NODES).iter().map(|node| node.target(9100)).collect();
    let manager = r#"{__address__="10.0.0.1:9100", node_address="10.0.0.1", node_availability="active", node_engine_version="27.1", node_hostname="m1", node_id="n1", node_label_zone_a="1", node_manager_address="10.0.0.1:2377", node_manager_leader="true", node_manager_reachability="reachable", node_platform_architecture="x86_64", node_platform_os="linux", node_role="manager", node_status="ready"}"#;
    let worker = r#"{__address__="[fd00::2]:9100", node_address="fd00::2", node_availability="drain", node_engine_version="27.1", node_hostname="w1", node_id="n2", node_platform_architecture="aarch64", node_platform_os="linux", node_role="worker", node_status="down"}"#;
    assert_eq!(shown(all), [manager, worker]);
}

#[test]
fn services() {
    let all = read::<Service>(SERVICES).iter().flat_map(|service| service.targets(9100, &networks())).collect();
    let web = r#"{__address__="10.255.0.5:8080", network_name="ingress", service_endpoint_port_name="http", service_endpoint_port_publish_mode="ingress", service_id="s1", service_label_com_x="y", service_mode="replicated", service_name="shop_web", service_task_container_hostname="h", service_task_container_image="nginx:1", service_updating_status="completed"}"#;
    let agent = r#"{__address__="10.1.0.7:9100", network_name="back", service_id="s2", service_mode="global", service_name="agent"}"#;
    assert_eq!(shown(all), [web, agent]);
}

#[test]
fn tasks() {
    let by_id = |node: Node| (node.id.clone(), node);
    let swarm = Swarm {
        services: read::<Service>(SERVICES).into_iter().map(|service| (service.id.clone(), service)).collect(),
        nodes: read::<Node>(NODES).into_iter().map(by_id).collect(),
        networks: networks(),
    };
    let all = read::<Task>(TASKS).iter().flat_map(|task| task.targets(80, &swarm)).collect();
    let service =
        r#"service_id="s1", service_label_com_x="y", service_mode="replicated", service_name="shop_web", "#;
    let task = r#"task_container_id="cc", task_desired_state="running", task_id="t1""#;
    let end = r#"task_slot="2", task_state="running"}"#;
    let want = [
        format!(
            r#"{{__address__="10.0.0.1:9100", container_label_l="v", {MANAGER}{service}{task}, task_port_publish_mode="host", {end}"#
        ),
        format!(
            r#"{{__address__="10.255.0.6:8080", container_label_l="v", network_name="ingress", {MANAGER}{service}{task}, task_port_publish_mode="ingress", {end}"#
        ),
        format!(
            r#"{{__address__="10.1.0.8:80", network_name="back", {WORKER}, service_id="s2", service_mode="global", service_name="agent", task_desired_state="shutdown", task_id="t2", task_slot="0", task_state="failed"}}"#
        ),
    ];
    assert_eq!(shown(all), want);
}

use super::*;
use crate::config::file::Config;

/// A daemon's answers, made by hand after the API's documentation.
const CONTAINERS: &str = r#"[
  {"Id": "c1", "Names": ["/web", "/other/alias"], "Image": "nginx:1", "ImageID": "sha256:aa",
   "Labels": {"com.docker.compose.project": "shop", "a-b": "c"},
   "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
             {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
             {"PrivatePort": 443, "Type": "tcp"}, {"PrivatePort": 53, "Type": "udp"}],
   "HostConfig": {"NetworkMode": "shop_default"},
   "NetworkSettings": {"Networks": {
     "shop_default": {"NetworkID": "n1", "IPAddress": "172.18.0.2", "GlobalIPv6Address": ""},
     "back": {"NetworkID": "n2", "IPAddress": "172.19.0.2"}}}},
  {"Id": "c2", "Names": ["/host"], "Image": "", "ImageID": "", "Labels": null, "Ports": [],
   "HostConfig": {"NetworkMode": "host"},
   "NetworkSettings": {"Networks": {"host": {"NetworkID": "n3", "IPAddress": ""}}}},
  {"Id": "c3", "Names": ["/sidecar"], "Labels": {}, "Ports": null,
   "HostConfig": {"NetworkMode": "container:c1"}, "NetworkSettings": {"Networks": {}}},
  {"Id": "c4", "Names": ["/six"], "Ports": [{"PrivatePort": 9000, "Type": "udp"}],
   "HostConfig": {"NetworkMode": "back"},
   "NetworkSettings": {"Networks": {"back": {"NetworkID": "n2", "IPAddress": "", "GlobalIPv6Address": "2001:db8::4"},
     "gone": null}}},
  {"Id": "c5", "Names": [], "HostConfig": {"NetworkMode": "back"}, "NetworkSettings": {"Networks": {"back": {}}}},
  {"Id": "c6", "Names": ["/loop"], "HostConfig": {"NetworkMode": "container:c7"}},
  {"Id": "c7", "Names": ["/pool"], "HostConfig": {"NetworkMode": "container:c6"}}
]"#;

const NETWORKS: &str = r#"[
  {"Id": "n1", "Name": "shop_default", "Scope": "local", "Internal": false, "Ingress": false, "Labels": {"x.y": "z"}},
  {"Id": "n2", "Name": "back", "Scope": "local", "Internal": true, "Ingress": false, "Labels": null},
  {"Id": "n3", "Name": "host", "Scope": "local", "Internal": false, "Ingress": false, "Labels": {}}
]"#;

fn found(more: &str) -> Vec<String> {
    let entry = format!("docker_sd_configs: [{{host: 'unix:///var/run/docker.sock', port: 9999{more}}}]");
    let config = Config::parse(&format!("scrape_configs: [{{job_name: j, {entry}}}]")).unwrap();
    let settings = config.scrape_configs[0].discoveries[0].settings();
    let clock: Clock = std::sync::Arc::new(|| 0);
    let source = Source {
        daemon: Daemon::new(&settings, Duration::from_secs(1), &clock).unwrap(),
        port: settings.integer("port"),
        host_networking_host: settings.text("host_networking_host").to_string(),
        match_first_network: settings.is_true("match_first_network"),
    };
    let containers: Vec<Container> = serde_json::from_str(CONTAINERS).unwrap();
    let networks: Vec<Network> = serde_json::from_str(NETWORKS).unwrap();
    let networks = networks.iter().map(|network| (network.id.clone(), network.labels(PREFIX))).collect();
    let group = source.group(&containers, &networks);
    assert_eq!(group.source, "Docker");
    group.targets.iter().map(|target| target.to_string().replace("__meta_docker_", "")).collect()
}

#[test]
fn containers_by_port_and_network() {
    let back = r#"network_id="n2", network_ingress="false", network_internal="true", "#;
    let web = r#"container_id="c1", container_image="nginx:1", container_image_id="sha256:aa", container_label_a_b="c", container_label_com_docker_compose_project="shop", container_name="/web", container_network_mode="shop_default", "#;
    let ports = |ip: &str| {
        let end = |ip: &str| format!(r#"port_public="8080", port_public_ip="{ip}""#);
        format!(
            r#"{{__address__="172.19.0.2:80", {web}{back}network_ip="172.19.0.2", network_name="back", network_scope="local", port_private="80", {}}}"#,
            end(ip)
        )
    };
    let want = [
        ports("0.0.0.0"),
        ports("::"),
        format!(
            r#"{{__address__="172.19.0.2:443", {web}{back}network_ip="172.19.0.2", network_name="back", network_scope="local", port_private="443"}}"#
        ),
        r#"{__address__="localhost", container_id="c2", container_name="/host", container_network_mode="host", network_id="n3", network_ingress="false", network_internal="false", network_name="host", network_scope="local"}"#.to_string(),
        format!(
            r#"{{__address__="172.19.0.2:9999", container_id="c3", container_name="/sidecar", container_network_mode="container:c1", {back}network_ip="172.19.0.2", network_name="back", network_scope="local"}}"#
        ),
        format!(
            r#"{{__address__="[2001:db8::4]:9999", container_id="c4", container_name="/six", container_network_mode="back", {back}network_ip="2001:db8::4", network_name="back", network_scope="local"}}"#
        ),
    ];
    assert_eq!(found(""), want);
}

#[test]
fn all_networks_if_so_wanted() {
    let addresses = |more: &str| {
        let all = found(more);
        let first = |text: &String| text.split('"').nth(1).unwrap_or("").to_string();
        all.iter().map(first).collect::<Vec<_>>()
    };
    let want = [
        "172.19.0.2:80",
        "172.19.0.2:80",
        "172.19.0.2:443",
        "172.18.0.2:80",
        "172.18.0.2:80",
        "172.18.0.2:443",
        "here",
        "172.19.0.2:9999",
        "172.18.0.2:9999",
        "[2001:db8::4]:9999",
    ];
    assert_eq!(addresses(", match_first_network: false, host_networking_host: here"), want);
}

#[test]
fn filters_as_the_api_takes_them() {
    let entry = "docker_sd_configs: [{host: 'tcp://h:2375', filters: [{name: label, values: [b, a]}, {name: name, values: [x]}]}]";
    let config = Config::parse(&format!("scrape_configs: [{{job_name: j, {entry}}}]")).unwrap();
    let settings = config.scrape_configs[0].discoveries[0].settings();
    let clock: Clock = std::sync::Arc::new(|| 0);
    let daemon = Daemon::new(&settings, Duration::from_secs(1), &clock).unwrap();
    assert_eq!(daemon.filters, r#"{"label":{"a":true,"b":true},"name":{"x":true}}"#);
    assert_eq!(
        daemon.api.url("containers/json", &[("filters", "{}")]).as_str(),
        "http://h:2375/containers/json?filters=%7B%7D"
    );
}

#[test]
fn hosts_that_are_none() {
    let clock: Clock = std::sync::Arc::new(|| 0);
    let check = |host: &str, want: &str| {
        let made = api(host, &HttpConfig::default(), Duration::from_secs(1), &clock);
        assert_eq!(made.err().map(|error| error.to_string()).as_deref(), Some(want));
    };
    check("localhost:2375", "unable to parse docker host `localhost:2375`");
    check("ssh://x", "host \"ssh://x\": the protocol ssh is not supported");
}

use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::*;
use crate::discovery::fake::{Asked, Reply, Running, serve, until};

#[test]
fn the_worst_check_counts() {
    let check = |checks: &[(&str, &str)], want: &str| {
        let checks: Vec<Check> =
            checks.iter().map(|(id, status)| Check { id: id.to_string(), status: status.to_string() }).collect();
        assert_eq!(health(&checks), want);
    };
    check(&[], "passing");
    check(&[("a", "passing"), ("b", "warning")], "warning");
    check(&[("a", "critical"), ("b", "warning")], "critical");
    check(&[("_node_maintenance", "critical"), ("b", "critical")], "maintenance");
    check(&[("_service_maintenance:x", "critical")], "maintenance");
    check(&[("a", "critical"), ("b", "odd")], "");
}

/// The index, the catalog, and instances by service.
type State = (u64, String, HashMap<String, String>);

/// A server whose answers wait for a newer index, as Consul's do.
#[derive(Clone)]
struct Server {
    state: Arc<Mutex<State>>,
    index: watch::Sender<u64>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> (Self, String) {
        let (index, _) = watch::channel(1);
        let server = Self {
            state: Arc::new(Mutex::new((1, "{}".to_string(), HashMap::new()))),
            index,
            asked: Arc::default(),
        };
        let answering = server.clone();
        let address = serve(move |asked| {
            let server = answering.clone();
            Box::pin(async move { server.answer(asked).await })
        })
        .await;
        (server, address)
    }

    async fn answer(&self, asked: Asked) -> Reply {
        let query: Vec<String> = asked.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let token = asked.head.to_lowercase().lines().any(|line| line == "x-consul-token: hush");
        self.asked.lock().push(format!("{} {} {token}", asked.path, query.join("&")));
        if asked.path == "/agent/v1/agent/self" {
            return Reply::json(r#"{"Config": {"Datacenter": "dc7"}}"#);
        }
        let known: u64 = asked.param("index").parse().unwrap_or(0);
        let mut changes = self.index.subscribe();
        let _ = changes.wait_for(|index| *index > known).await;
        let state = self.state.lock();
        let body = match asked.path.strip_prefix("/agent/v1/health/service/") {
            Some(name) => state.2.get(name).cloned().unwrap_or_else(|| "[]".to_string()),
            None if asked.path == "/agent/v1/catalog/services" => state.1.clone(),
            None => return Reply::Whole(404, vec![], "no such path".to_string()),
        };
        Reply::Whole(200, vec![("X-Consul-Index", state.0.to_string())], body)
    }

    fn change(&self, catalog: &str, instances: &[(&str, &str)]) {
        let mut state = self.state.lock();
        state.0 += 1;
        state.1 = catalog.to_string();
        state.2 = instances.iter().map(|(name, body)| (name.to_string(), body.to_string())).collect();
        self.index.send_replace(state.0);
    }
}

fn instance(address: &str, tags: &str) -> String {
    format!(
        r#"{{"Node": {{"Node": "n1", "Address": "10.0.0.1", "TaggedAddresses": {{"lan": "10.0.0.1"}}, "Meta": {{"rack-no": "7"}}}},
            "Service": {{"ID": "web-1", "Service": "web", "Tags": [{tags}], "Address": "{address}", "Port": 8080,
              "Meta": {{"v.1": "x"}}}},
            "Checks": [{{"CheckID": "c", "Status": "warning"}}]}}"#
    )
}

fn entry(address: &str, more: &str) -> String {
    format!("{{server: '{address}', path_prefix: agent, token: hush, refresh_interval: 10ms{more}}}")
}

#[tokio::test]
async fn services_of_the_catalog_come_change_and_go() {
    let (server, address) = Server::start().await;
    let web = |address: &str| format!("[{}]", instance(address, r#""a", "b""#));
    server.change(r#"{"web": ["a", "b"], "db": ["a"], "consul": []}"#, &[("web", &web(""))]);
    let running =
        Running::start("consul", &entry(&address, ", tags: [a, b], node_meta: {rack: x}, filter: 'f == g'"));
    let found = running.found("__address__", &["10.0.0.1:8080"]).await;
    let want = r#"{__address__="10.0.0.1:8080", __meta_consul_address="10.0.0.1", __meta_consul_dc="dc7", __meta_consul_health="warning", __meta_consul_metadata_rack_no="7", __meta_consul_node="n1", __meta_consul_service="web", __meta_consul_service_id="web-1", __meta_consul_service_metadata_v_1="x", __meta_consul_service_port="8080", __meta_consul_tagged_address_lan="10.0.0.1", __meta_consul_tags=",a,b,"}"#;
    assert_eq!(found[0].to_string(), want);
    // Only services with all tags are asked for, and with what the entry says.
    let asked = server.asked.lock().clone();
    assert!(asked.iter().all(|line| line.ends_with(" true")), "{asked:?}");
    assert!(asked.iter().all(|line| !line.contains("/db") && !line.contains("service/consul")), "{asked:?}");
    let catalog = "/agent/v1/catalog/services wait=120000ms&filter=f == g&stale=&node-meta=rack:x true";
    assert!(asked.iter().any(|line| line == catalog), "{asked:?}");
    let health = "/agent/v1/health/service/web wait=120000ms&stale=&node-meta=rack:x&tag=a&tag=b true";
    assert!(asked.iter().any(|line| line == health), "{asked:?}");

    server.change(r#"{"web": ["a", "b"]}"#, &[("web", &web("192.0.2.9"))]);
    let found = running.found("__address__", &["192.0.2.9:8080"]).await;
    assert_eq!(found[0].get("__meta_consul_service_address"), Some("192.0.2.9"));
    server.change("{}", &[]);
    running.found("__address__", &[]).await;
    server.change(r#"{"web": ["a", "b"]}"#, &[("web", &web(""))]);
    running.found("__address__", &["10.0.0.1:8080"]).await;
}

#[tokio::test]
async fn named_services_need_no_catalog() {
    let (server, address) = Server::start().await;
    let bodies = [instance("1.1.1.1", ""), instance("2.2.2.2", "")].map(|one| format!("[{one}]"));
    server.change("{}", &[("a", &bodies[0]), ("b", &bodies[1])]);
    let more =
        ", services: [a, b], datacenter: dc1, namespace: n, partition: p, allow_stale: false, health_filter: h";
    let running = Running::start("consul", &entry(&address, more));
    running.found("__address__", &["1.1.1.1:8080", "2.2.2.2:8080"]).await;
    let asked = server.asked.lock().clone();
    let want = "/agent/v1/health/service/a wait=120000ms&dc=dc1&ns=n&partition=p&filter=h true";
    assert!(asked.iter().any(|line| line == want), "{asked:?}");
    assert!(asked.iter().all(|line| line.contains("/health/")), "{asked:?}");
}

#[tokio::test]
async fn a_server_that_is_away_is_counted() {
    let running = Running::start("consul", "{server: '127.0.0.1:1', services: [a]}");
    let stats = running.manager.context().stats.clone();
    until("a failure", || stats.consul_rpc_failures.load(Ordering::Relaxed) > 0).await;
}

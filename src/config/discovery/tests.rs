use super::*;
use crate::config::yaml;

static SECTION: Schema = Schema { name: "scrape_config", fields: &[FIELDS] };

/// A section with an entry of a kind, which begins on line 2.
fn section(kind: &str, entry: &str) -> (Node, Found) {
    let text = format!("{kind}_sd_configs:\n- {}\n", entry.replace('\n', "\n  "));
    let (node, twice) = yaml::parse(&text).unwrap_or_else(|fault| panic!("{kind}: {fault:?}"));
    assert_eq!(twice, [], "{kind}");
    let found = Found::default();
    SECTION.check(&node, "", &found);
    (node, found)
}

/// All that is wrong with an entry: `LINE .KEY: MESSAGE`.
fn told(kind: &str, entry: &str) -> Vec<String> {
    let (node, found) = section(kind, entry);
    let all = read(&node, "", &found);
    assert!(all.iter().all(|discovery| discovery.kind.name == kind && discovery.line >= 1), "{kind}");
    let Err(mistakes) = found.into_result() else { return vec![] };
    let prefix = format!("{kind}_sd_configs[0]");
    let shown = mistakes.0.into_iter().map(|mistake| {
        let path = mistake.path.strip_prefix(&prefix).unwrap_or(&mistake.path).to_string();
        format!("{} {path}: {}", mistake.line.unwrap_or_default(), mistake.message)
    });
    shown.collect()
}

/// The least that each kind takes.
const LEAST: [(&str, &str); 36] = [
    ("aws", "{role: ec2}"),
    ("azure", "{subscription_id: a, tenant_id: b, client_id: c, client_secret: d}"),
    ("consul", "{}"),
    ("digitalocean", "{}"),
    ("dns", "{names: [_web._tcp.example.org]}"),
    ("docker", "{host: 'unix:///var/run/docker.sock'}"),
    ("dockerswarm", "{host: 'unix:///var/run/docker.sock', role: tasks}"),
    ("ec2", "{}"),
    ("ecs", "{}"),
    ("elasticache", "{}"),
    ("eureka", "{server: 'http://eureka:8761/eureka'}"),
    ("file", "{files: [targets/*.json]}"),
    ("gce", "{project: a, zone: b}"),
    ("hetzner", "{role: hcloud}"),
    ("http", "{url: 'http://example.org/targets'}"),
    ("ionos", "{datacenter_id: a}"),
    ("kubernetes", "{role: pod}"),
    ("kuma", "{server: 'http://kuma:5676'}"),
    ("lightsail", "{}"),
    ("linode", "{}"),
    ("marathon", "{servers: ['https://marathon:443']}"),
    ("msk", "{}"),
    ("nerve", "{servers: [localhost], paths: [/services]}"),
    ("nomad", "{}"),
    ("oci", "{tenancy: a, user: b, fingerprint: c, key_file: d, region: e}"),
    ("openstack", "{role: instance, region: RegionOne}"),
    ("outscale", "{access_key: a, secret_key: b}"),
    ("ovhcloud", "{application_key: a, application_secret: b, consumer_key: c, service: vps}"),
    ("puppetdb", "{url: 'https://puppetdb', query: 'resources { type = \"Package\" }'}"),
    ("rds", "{}"),
    (
        "scaleway",
        "{role: instance, project_id: 11111111-1111-1111-1111-111111111112, access_key: SCW0123456789ABCDEFG, \
         secret_key: 11111111-1111-1111-1111-111111111111}",
    ),
    ("serverset", "{servers: [localhost], paths: [/services]}"),
    ("stackit", "{}"),
    ("triton", "{account: a, dns_suffix: b, endpoint: c}"),
    ("uyuni", "{server: 'https://uyuni', username: a, password: b}"),
    ("vultr", "{}"),
];

#[test]
fn each_kind_takes_the_least_it_needs() {
    let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(names, LEAST.map(|(kind, _)| kind));
    for (kind, entry) in LEAST {
        assert_eq!(told(kind, entry), [] as [&str; 0], "{kind}");
        let (node, found) = section(kind, entry);
        assert_eq!(read(&node, "", &found).len(), 1, "{kind}");
    }
}

#[test]
fn tables_agree() {
    for (kind, row) in KINDS.iter().zip(FIELDS) {
        assert_eq!(kind.key, row.key);
        assert_eq!(kind.key, format!("{}s", kind.schema.name));
        let mut keys: Vec<_> =
            kind.schema.fields.iter().flat_map(|group| group.iter().map(|field| field.key)).collect();
        let rows = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), rows, "{}: a key twice", kind.name);
    }
    assert!(FIELDS.is_sorted_by(|a, b| a.key < b.key));
    let (before, behind) = AROUND_STATIC;
    assert!(
        before.iter().all(|row| row.key < "static_configs") && behind.iter().all(|row| row.key > "static_configs")
    );
    // A default is a value that could be given.
    for kind in KINDS {
        for field in kind.schema.fields.iter().copied().flatten().filter(|field| !field.default.is_empty()) {
            let entry = format!("{{{}: {:?}}}", field.key, field.default).replace(
                '"',
                match field.kind {
                    Kind::Bool | Kind::Integer => "",
                    _ => "'",
                },
            );
            let path = format!(".{}: ", field.key);
            let told = told(kind.name, &entry);
            assert!(!told.iter().any(|line| line.contains(&path)), "{}: {told:?}", kind.name);
        }
    }
}

#[test]
fn what_a_kind_needs() {
    let check =
        |kind: &str, entry: &str, expected: &[&str]| assert_eq!(told(kind, entry), expected, "{kind}: {entry}");
    check("aws", "region: a", &["2 .role: unknown AWS SD role \"\""]);
    check("aws", "role: s3", &["2 .role: expected ec2, ecs, elasticache, lightsail, msk, rds, got `s3`"]);
    check(
        "azure",
        "port: 1",
        &[
            "2 .subscription_id: azure SD configuration requires a subscription_id",
            "2 .tenant_id: azure SD configuration requires a tenant_id",
            "2 .client_id: azure SD configuration requires a client_id",
            "2 .client_secret: azure SD configuration requires a client_secret",
        ],
    );
    check("azure", "subscription_id: a\nauthentication_method: SDK", &[]);
    check(
        "azure",
        "subscription_id: a\nauthentication_method: invalid",
        &["3 .authentication_method: expected OAuth, ManagedIdentity, SDK, WorkloadIdentity, got `invalid`"],
    );
    check("consul", "port: 1", &["2 .port: field port not found in consul_sd_config"]);
    check("consul", "server: ' '", &["2 .server: consul SD configuration requires a server address"]);
    check("consul", "tags: []\nserver:", &["3 .server: consul SD configuration requires a server address"]);
    check("digitalocean", "role: kubernetes", &["2 .role: expected droplets, databases, got `kubernetes`"]);
    check("docker", "port: 1", &["2 .host: host missing"]);
    check(
        "dockerswarm",
        "port: 1",
        &["2 .host: host missing", "2 .role: role missing (one of: tasks, services, nodes)"],
    );
    check(
        "dockerswarm",
        "host: 'tcp://a:1'\nrole: pods",
        &["3 .role: expected tasks, services, nodes, got `pods`"],
    );
    check("eureka", "refresh_interval: 1m", &["2 .server: eureka_sd: empty or null eureka server"]);
    check("eureka", "server: eureka.com", &["2 .server: eureka_sd: invalid eureka server URL"]);
    check(
        "gce",
        "port: 1",
        &["2 .project: GCE SD configuration requires a project", "2 .zone: GCE SD configuration requires a zone"],
    );
    check("hetzner", "port: 1", &["2 .role: role missing (one of: robot, hcloud)"]);
    check("ionos", "port: 1", &["2 .datacenter_id: datacenter id can't be empty"]);
    check(
        "kubernetes",
        "namespaces:",
        &["2 .role: role missing (one of: pod, service, endpoints, endpointslice, node, ingress)"],
    );
    check("kuma", "client_id: a", &["2 .server: kuma SD server must not be empty: "]);
    check("kuma", "server: kuma/v3", &["2 .server: kuma SD server must not be empty and have a scheme: kuma/v3"]);
    check("marathon", "servers: []", &["2 .servers: marathon_sd: must contain at least one Marathon server"]);
    check("nomad", "server: ''", &["2 .server: nomad SD configuration requires a server address"]);
    check(
        "openstack",
        "port: 1",
        &[
            "2 .role: role missing (one of: instance, hypervisor, loadbalancer)",
            "2 .region: openstack SD configuration requires a region",
        ],
    );
    check(
        "openstack",
        "role: instance\nregion: a\navailability: invalid",
        &["4 .availability: expected public, admin, internal, got `invalid`"],
    );
    check(
        "outscale",
        "region:\nport: 1",
        &[
            "2 .region: outscale SD configuration requires a region",
            "2 .access_key: outscale SD configuration requires access_key",
            "2 .secret_key: one of secret_key & secret_key_file must be configured",
        ],
    );
    check(
        "ovhcloud",
        "endpoint: ''",
        &[
            "2 .endpoint: endpoint can not be empty",
            "2 .application_key: application key can not be empty",
            "2 .application_secret: application secret can not be empty",
            "2 .consumer_key: consumer key can not be empty",
            "2 .service: unknown service: ",
        ],
    );
    check("stackit", "endpoint: '://invalid'", &["2 .endpoint: parse \"://invalid\": missing protocol scheme"]);
    check("stackit", "region: ''", &["2 .region: stackit_sd: endpoint and region missing"]);
    check(
        "triton",
        "refresh_interval: 0s",
        &[
            "2 .account: triton SD configuration requires an account",
            "2 .dns_suffix: triton SD configuration requires a dns_suffix",
            "2 .endpoint: triton SD configuration requires an endpoint",
            "2 .refresh_interval: triton SD configuration requires RefreshInterval to be a positive integer",
        ],
    );
    check(
        "uyuni",
        "server: ''",
        &[
            "2 .server: Uyuni SD configuration requires server host",
            "2 .username: Uyuni SD configuration requires a username",
            "2 .password: Uyuni SD configuration requires a password",
        ],
    );
}

#[test]
fn what_does_not_go_together() {
    let check =
        |kind: &str, entry: &str, expected: &[&str]| assert_eq!(told(kind, entry), expected, "{kind}: {entry}");
    check(
        "consul",
        "username: a\nbasic_auth: {username: b}",
        &["3 .basic_auth: at most one of consul SD configuration username and password and basic auth \
             can be configured"],
    );
    check(
        "consul",
        "token: a\noauth2:\n  client_id: b\n  token_url: c",
        &["4 .oauth2: at most one of consul SD token, authorization, or oauth2 can be configured"],
    );
    let marathon = |more: &str, expected: &str| {
        check("marathon", &format!("servers: [a]\nauth_token: b\n{more}"), &[expected]);
    };
    marathon(
        "auth_token_file: c",
        "4 .auth_token_file: marathon_sd: at most one of auth_token & auth_token_file must be configured",
    );
    marathon(
        "basic_auth: {username: c}",
        "4 .basic_auth: marathon_sd: at most one of basic_auth, auth_token & auth_token_file must be configured",
    );
    marathon(
        "bearer_token_file: c",
        "4 .bearer_token_file: marathon_sd: at most one of bearer_token, bearer_token_file, auth_token & \
         auth_token_file must be configured",
    );
    marathon(
        "authorization: {credentials: c}",
        "4 .authorization: marathon_sd: at most one of auth_token, auth_token_file & authorization must be configured",
    );
    check(
        "outscale",
        "access_key: a\nsecret_key: b\nsecret_key_file: c",
        &["4 .secret_key_file: at most one of secret_key & secret_key_file must be configured"],
    );
    // The rules of an HTTP client, and of TLS where there is no other.
    check(
        "vultr",
        "bearer_token: a\nbearer_token_file: b",
        &["3 .bearer_token_file: at most one of bearer_token & bearer_token_file must be configured"],
    );
    check(
        "triton",
        "account: a\ndns_suffix: b\nendpoint: c\ntls_config:\n  ca: d\n  ca_file: e",
        &["7 .tls_config.ca_file: at most one of ca, ca_file & ca_ref must be configured"],
    );
}

#[test]
fn lists() {
    let check =
        |kind: &str, entry: &str, expected: &[&str]| assert_eq!(told(kind, entry), expected, "{kind}: {entry}");
    check("dns", "names: []", &["2 .names: DNS-SD config must contain at least one SRV record name"]);
    let no_port = "a port is required in DNS-SD configs for all record types except SRV";
    check("dns", "names: [a]\ntype: a", &[&format!("2 .port: {no_port}")]);
    check("dns", "names: [a]\ntype: AAAA\nport: 0", &[&format!("4 .port: {no_port}")]);
    check("dns", "names: [a]\ntype: Mx\nport: 25", &[]);
    check("dns", "names: [a]\ntype: NS\nport: x", &["4 .port: expected a whole number, got `x`"]);
    check("dns", "names: [a]\ntype: PTR", &["3 .type: invalid DNS-SD records type PTR"]);
    check("dns", "names: [a]\ntype:", &["3 .type: invalid DNS-SD records type "]);

    check(
        "file",
        "refresh_interval: 1m",
        &["2 .files: file service discovery config must contain at least one path name"],
    );
    check(
        "file",
        "names: [a.yml]",
        &[
            "2 .names: field names not found in file_sd_config",
            "2 .files: file service discovery config must contain at least one path name",
        ],
    );
    check(
        "file",
        "files:\n- a.txt\n- a/*/b.yml\n- a/b*c*.JSON\n- .yaml\n- a.ymL\n-",
        &[
            "3 .files[0]: path name \"a.txt\" is not valid for file discovery",
            "4 .files[1]: path name \"a/*/b.yml\" is not valid for file discovery",
            "7 .files[4]: path name \"a.ymL\" is not valid for file discovery",
            "8 .files[5]: path name \"\" is not valid for file discovery",
        ],
    );

    let url = |url: &str, expected: &[&str]| check("http", &format!("url: '{url}'"), expected);
    url("", &["2 .url: URL is missing"]);
    url("localhost:8080/targets", &["2 .url: URL scheme must be 'http' or 'https'"]);
    url("invalid", &["2 .url: URL scheme must be 'http' or 'https'"]);
    url("ftp://example.org", &["2 .url: URL scheme must be 'http' or 'https'"]);
    url("http://", &["2 .url: host is missing in URL"]);
    url("http:///targets", &["2 .url: host is missing in URL"]);
    url("http:example.org", &["2 .url: host is missing in URL"]);
    url("https://user:secret@/targets", &["2 .url: host is missing in URL"]);
    url("HTTPS://user:secret@example.org?of=a", &[]);
    check("http", "refresh_interval: 1m", &["2 .url: URL is missing"]);
    check("puppetdb", "url: 'http://'", &["2 .url: host is missing in URL", "2 .query: query missing"]);

    for kind in ["nerve", "serverset"] {
        check(
            kind,
            "timeout: 1s",
            &[
                &format!("2 .servers: {kind} SD config must contain at least one Zookeeper server"),
                &format!("2 .paths: {kind} SD config must contain at least one path"),
            ],
        );
        check(
            kind,
            "servers: [a]\npaths:\n- /a\n- b/",
            &[&format!("5 .paths[1]: {kind} SD config paths must begin with '/': b/")],
        );
    }
}

#[test]
fn clouds() {
    let check =
        |kind: &str, entry: &str, expected: &[&str]| assert_eq!(told(kind, entry), expected, "{kind}: {entry}");
    check(
        "ec2",
        "filters:\n- name: a\n  values: []\n- {name: b, values: [c]}\n- name: d",
        &[
            "4 .filters[0].values: EC2 SD configuration filter values cannot be empty",
            "6 .filters[2].values: EC2 SD configuration filter values cannot be empty",
        ],
    );

    check(
        "oci",
        "compartments: ['', a]\nrefresh_interval: 0",
        &[
            "2 .region: oci_sd: region is required",
            "2 .tenancy: oci_sd: api_key auth requires tenancy",
            "2 .user: oci_sd: api_key auth requires user",
            "2 .fingerprint: oci_sd: api_key auth requires fingerprint",
            "2 .key_file: oci_sd: api_key auth requires key_file",
            "2 .compartments[0]: oci_sd: compartments[0] must not be empty",
            "3 .refresh_interval: oci_sd: refresh_interval must be positive, got 0s",
        ],
    );
    let key =
        "tenancy: a\nuser: b\nfingerprint: c\nkey_file: d\nregion: e\nkey_passphrase: f\nkey_passphrase_file: g";
    check(
        "oci",
        key,
        &[
            "8 .key_passphrase_file: oci_sd: at most one of key_passphrase and key_passphrase_file must be configured",
        ],
    );
    check("oci", "region: a\nauth: instance_principal", &[]);
    check(
        "oci",
        "region: a\nauth: instance_principal\nuser: b",
        &["4 .user: oci_sd: instance_principal auth must not have tenancy, user, fingerprint, key_file, \
             key_passphrase, or key_passphrase_file set"],
    );

    check(
        "scaleway",
        "port: 1",
        &[
            "2 .role: role missing (one of: instance, baremetal)",
            "2 .project_id: project_id is mandatory",
            "2 .access_key: access_key is mandatory",
            "2 .secret_key: one of secret_key & secret_key_file must be configured",
        ],
    );
    let wrong =
        "role: instance\nproject_id: a\naccess_key: SCW1\nsecret_key: 1-1\nzone: Paris\napi_url: https://a/";
    check(
        "scaleway",
        wrong,
        &[
            "3 .project_id: invalid project ID format, expected a UUID: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
            "4 .access_key: invalid access key format, expected SCW and 17 letters or digits",
            "5 .secret_key: invalid secret key format, expected a UUID: xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
            "6 .zone: invalid default zone format, expected one like fr-par-1",
            "7 .api_url: invalid API url, it should not have a trailing slash",
        ],
    );
}

#[test]
fn access_to_kubernetes() {
    let check = |entry: &str, expected: &[&str]| {
        assert_eq!(told("kubernetes", &format!("role: pod\n{entry}")), expected, "{entry}");
    };
    check(
        "api_server: 'https://a'\nkubeconfig_file: b",
        &["4 .kubeconfig_file: cannot use 'kubeconfig_file' and 'api_server' simultaneously"],
    );
    let needs_server = "to use custom HTTP client configuration please provide the 'api_server' URL explicitly";
    check("bearer_token: a", &[&format!("3 .bearer_token: {needs_server}")]);
    check("follow_redirects: false", &[&format!("3 .follow_redirects: {needs_server}")]);
    check("tls_config:\n  insecure_skip_verify: true", &[&format!("4 .tls_config: {needs_server}")]);
    check("basic_auth: {}", &[&format!("3 .basic_auth: {needs_server}")]);
    // The defaults, said out loud.
    check("follow_redirects: true\nenable_http2: yes\ntls_config:\n  insecure_skip_verify: false\nproxy_url:", &[]);
    check(
        "kubeconfig_file: a\nbearer_token: b",
        &["4 .bearer_token: cannot use a custom HTTP client configuration together with 'kubeconfig_file'"],
    );
    check("api_server: 'https://a'\nbearer_token: b\nnamespaces: {names: [c]}", &[]);
    check(
        "api_server: 'https://a'\nnamespaces:\n  own_namespace: true",
        &["5 .namespaces.own_namespace: cannot use 'api_server' and 'namespaces.own_namespace' simultaneously"],
    );
    check(
        "kubeconfig_file: a\nnamespaces:\n  own_namespace: true",
        &[
            "5 .namespaces.own_namespace: cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
        ],
    );
    check("namespaces:\n  foo: [a]", &["4 .namespaces.foo: field foo not found in namespaces"]);
    check(
        "api_servers: [a]",
        &["3 .api_servers: field api_servers not found in kubernetes_sd_config, is api_server meant?"],
    );
}

#[test]
fn selectors_of_kubernetes() {
    let check = |role: &str, selectors: &[&str], expected: &[&str]| {
        let entry = format!("role: {role}\nselectors:\n- {}", selectors.join("\n- "));
        assert_eq!(told("kubernetes", &entry), expected, "{entry}");
    };
    let only = |role: &str, of: &str, expected: &str| {
        check(role, &[&format!("role: {of}")], &[&format!("4 .selectors[0].role: {expected}")]);
    };
    only("node", "pod", "node role supports only node selectors");
    only("ingress", "node", "ingress role supports only ingress selectors");
    only("service", "pod", "service role supports only service selectors");
    only("pod", "service", "pod role supports only pod, node selectors");
    only("endpoints", "node", "endpoints role supports only pod, service, endpoints selectors");
    only("endpointslice", "endpoints", "endpointslice role supports only pod, service, endpointslice selectors");
    check("pod", &["role: node", "{role: pod, label: 'a=b', field: 'metadata.status=Running'}"], &[]);
    check("pod", &["label: a"], &["4 .selectors[0].role: pod role supports only pod, node selectors"]);
    check("pod", &["role: pod", "role: pod"], &["5 .selectors[1].role: duplicated selector role: pod"]);
    check(
        "pod",
        &["role: pod\n  field: metadata.status-Running\n  label: 'a b'"],
        &[
            "5 .selectors[0].field: invalid selector: 'metadata.status-Running'; can't understand \
             'metadata.status-Running'",
            "6 .selectors[0].label: unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
        ],
    );
    check(
        "container",
        &["role: pod"],
        &["2 .role: expected pod, service, endpoints, endpointslice, node, ingress, got `container`"],
    );
}

#[test]
fn grammar_of_selectors() {
    for good in ["", "a=b", "a==b,c!=d", "a=", "=b", ",a=b,", r"a=b\,c\=d\\"] {
        assert_eq!(selector::fields(good), Ok(()), "{good}");
    }
    for bad in ["a", "a=b,c", "a=b=c", r"a=b\c", r"a=b\", "a>1"] {
        assert!(selector::fields(bad).is_err(), "{bad}");
    }
    for good in [
        "",
        " ",
        "a",
        "!a",
        "a,!b , c",
        "a=b",
        "a==b,c!=d",
        "a=,b!=",
        "a = ",
        "a in (b,c), d notin ( e )",
        "a in ()",
        "a in (,b,,)",
        "in in (in,notin)",
        "a>1,b<2",
        "app.kubernetes.io/name=x.y_z-1",
    ] {
        assert_eq!(selector::labels(good), Ok(()), "{good}");
    }
    for bad in [
        ",a",
        "a,",
        "a,,b",
        "a b",
        "a in b",
        "a in (b",
        "a in (b c)",
        "a in (b=c)",
        "!",
        "!a=b",
        "a=(b)",
        "a>b",
        "a>",
        "a<-1",
        "-a",
        "a=-b",
        "a=b/c",
        "A_/b",
        "/b",
        "a/",
        "a=b c",
        "=a",
        "a!b",
        "ä",
    ] {
        assert!(selector::labels(bad).is_err(), "{bad}");
    }
    assert!(selector::labels(&"a".repeat(64)).is_err());
}

#[test]
fn entries_stay_in_the_order_of_the_file() {
    let text = "job_name: a\nhttp_sd_configs:\n- url: http://a\n- ~\n- text\ndns_sd_configs: [{names: [b]}]\n\
                static_configs: []\nfile_sd_configs:\nconsul_sd_configs: c\nnomad_sd_configs:\n- {}\n";
    let (node, _) = yaml::parse(text).unwrap();
    let found = Found::default();
    let all = read(&node, "scrape_configs[0]", &found);
    let lines: Vec<_> = all.iter().map(|discovery| (discovery.kind.name, discovery.line)).collect();
    assert_eq!(lines, [("http", 3), ("dns", 6), ("nomad", 11)]);
    assert_eq!(found.into_result(), Ok(()));

    // With nothing in it an entry is its defaults; nothing at all is a mistake.
    assert_eq!(told("consul", "~"), ["2 : empty or null consul_sd_config section"]);
    assert_eq!(told("consul", "text"), ["2 : expected a mapping, got `text`"]);
}

#[test]
fn shown_with_defaults_and_without_secrets() {
    let check = |kind: &str, entry: &str, expected: &str| {
        let (node, found) = section(kind, entry);
        let all = read(&node, "", &found);
        let shown = yaml::print::print(&all[0].kind.schema.show(&all[0].node, &[]));
        assert_eq!(shown.trim_end().replace('\n', "|"), expected, "{kind}: {entry}");
    };
    check("dns", "names: [a]", "names:|- a|refresh_interval: 30s|type: SRV|port: 0");
    check("file", "files: [a.yml]\nrefresh_interval: 600s", "files:|- a.yml|refresh_interval: 10m");
    check(
        "marathon",
        "servers: [a]\nauth_token: b",
        "servers:|- a|refresh_interval: 30s|auth_token: <secret>|follow_redirects: true|enable_http2: true",
    );
    check(
        "http",
        "url: http://a:b@c/",
        "url: http://a:<secret>@c/|refresh_interval: 1m|follow_redirects: true|enable_http2: true",
    );
    check(
        "triton",
        "account: a\ntls_config: {}",
        "account: a|role: container|port: 9163|refresh_interval: 1m|tls_config:|  insecure_skip_verify: false|\
         version: 1",
    );
    check(
        "kubernetes",
        "role: pod\nattach_metadata: {node: true}",
        "role: pod|attach_metadata:|  node: true|  namespace: false|  deployment: false|  job: false|  cronjob: false|\
         follow_redirects: true|enable_http2: true",
    );
}

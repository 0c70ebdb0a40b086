use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use url::form_urlencoded;

use super::*;
use crate::discovery::fake::{Asked, Reply, Running, serve, until};

/// Made by hand after the API's documentation.
const INSTANCES: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <reservationSet>
    <item><reservationId>r-1</reservationId><ownerId>123</ownerId><instancesSet>
      <item><instanceId>i-1</instanceId><imageId>ami-1</imageId><instanceState><code>16</code><name>running</name></instanceState>
        <privateDnsName>ip-10-0-0-1.internal</privateDnsName><dnsName>ec2.example</dnsName><instanceType>t3.micro</instanceType>
        <placement><availabilityZone>eu-west-3a</availabilityZone></placement><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId>
        <privateIpAddress>10.0.0.1</privateIpAddress><ipAddress>198.51.100.1</ipAddress><architecture>x86_64</architecture>
        <instanceLifecycle>spot</instanceLifecycle>
        <tagSet><item><key>Name</key><value>web &amp; co</value></item><item><key>a:b</key><value/></item></tagSet>
        <networkInterfaceSet>
          <item><subnetId>subnet-1</subnetId><attachment><deviceIndex>0</deviceIndex></attachment></item>
          <item><subnetId>subnet-2</subnetId><attachment><deviceIndex>2</deviceIndex></attachment><ipv6AddressesSet>
            <item><ipv6Address>2001:db8::5</ipv6Address><isPrimaryIpv6>false</isPrimaryIpv6></item>
            <item><ipv6Address>2001:db8::6</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item></ipv6AddressesSet></item>
          <item><subnetId>subnet-1</subnetId><attachment><deviceIndex>3</deviceIndex></attachment></item>
        </networkInterfaceSet></item>
      <item><instanceId>i-2</instanceId><imageId>ami-1</imageId><instanceState><name>terminated</name></instanceState></item>
    </instancesSet></item>
    <item><ownerId>456</ownerId><instancesSet>
      <item><instanceId>i-3</instanceId><imageId>ami-2</imageId><instanceState><name>running</name></instanceState>
        <instanceType>m7g.large</instanceType><placement><availabilityZone>eu-west-3b</availabilityZone></placement>
        <vpcId>vpc-1</vpcId><subnetId>subnet-9</subnetId><networkInterfaceSet><item><subnetId>subnet-9</subnetId>
        <attachment><deviceIndex>99999999</deviceIndex></attachment><ipv6AddressesSet>
        <item><ipv6Address>2001:db8::9</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item></ipv6AddressesSet></item>
        </networkInterfaceSet></item>
    </instancesSet></item>
  </reservationSet>
  <nextToken>more</nextToken>
</DescribeInstancesResponse>"#;

const ZONES: &str = "<DescribeAvailabilityZonesResponse><availabilityZoneInfo><item><zoneName>eu-west-3a</zoneName>\
                     <zoneId>euw3-az1</zoneId></item><item><zoneName>x</zoneName></item></availabilityZoneInfo>\
                     </DescribeAvailabilityZonesResponse>";

#[test]
fn instances_and_their_labels() {
    let zones = zones(&Element::parse(ZONES.as_bytes()).unwrap());
    let answer = Element::parse(INSTANCES.as_bytes()).unwrap();
    let all = targets(&answer, "eu-west-3", 9100, &zones);
    let shown: Vec<String> = all.iter().map(|target| target.to_string().replace("__meta_ec2_", "")).collect();
    let first = r#"{__address__="10.0.0.1:9100", ami="ami-1", architecture="x86_64", availability_zone="eu-west-3a", availability_zone_id="euw3-az1", default_ipv6_address="2001:db8::6", instance_id="i-1", instance_lifecycle="spot", instance_state="running", instance_type="t3.micro", ipv6_addresses=",2001:db8::5,2001:db8::6,", owner_id="123", primary_ipv6_addresses=",,,2001:db8::6,", primary_subnet_id="subnet-1", private_dns_name="ip-10-0-0-1.internal", private_ip="10.0.0.1", public_dns_name="ec2.example", public_ip="198.51.100.1", region="eu-west-3", subnet_id=",subnet-1,subnet-2,", tag_Name="web & co", vpc_id="vpc-1"}"#;
    let second = r#"{__address__="[2001:db8::9]:9100", ami="ami-2", availability_zone="eu-west-3b", default_ipv6_address="2001:db8::9", instance_id="i-3", instance_state="running", instance_type="m7g.large", ipv6_addresses=",2001:db8::9,", owner_id="456", primary_subnet_id="subnet-9", region="eu-west-3", subnet_id=",subnet-9,", vpc_id="vpc-1"}"#;
    assert_eq!(shown, [first, second]);
}

/// Pages of one instance each, for those who show a signature.
fn answer(asked: &Asked) -> Reply {
    let form: HashMap<String, String> = form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
    let value = |name: &str| form.get(name).map_or("", String::as_str);
    let xml = |body: String| Reply::Whole(200, vec![("Content-Type", "text/xml".to_string())], body);
    let instance = |id: &str, next: &str| {
        xml(format!(
            "<R><reservationSet><item><instancesSet><item><instanceId>{id}</instanceId><privateIpAddress>10.0.0.1\
             </privateIpAddress></item></instancesSet></item></reservationSet>{next}</R>"
        ))
    };
    let keys = |result: &str, id: &str| {
        xml(format!(
            "<A><{result}><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t</SessionToken></Credentials></{result}></A>"
        ))
    };
    match (value("Action"), value("NextToken")) {
        ("DescribeAvailabilityZones", _) => xml(ZONES.to_string()),
        ("DescribeInstances", "") => instance("i-1", "<nextToken>2</nextToken>"),
        ("DescribeInstances", "2") => instance("i-2", ""),
        ("AssumeRole", _) => keys("AssumeRoleResult", &format!("role-{}", value("ExternalId"))),
        ("AssumeRoleWithWebIdentity", _) => keys("AssumeRoleWithWebIdentityResult", value("WebIdentityToken")),
        _ => Reply::Whole(400, vec![], "<E/>".to_string()),
    }
}

/// Who asked for instances, by the id of the key.
fn key_of(head: &str) -> Option<String> {
    let line = head.lines().find(|line| line.to_lowercase().starts_with("authorization: "))?;
    let (_, rest) = line.split_once("Credential=")?;
    rest.split_once('/').map(|(id, _)| id.to_string())
}

/// Authorization and body of each request.
type Shown = Arc<Mutex<Vec<(Option<String>, String)>>>;

struct Amazon {
    address: String,
    asked: Shown,
    refuses: Arc<Mutex<bool>>,
}

impl Amazon {
    async fn start() -> Self {
        let asked = Shown::default();
        let refuses: Arc<Mutex<bool>> = Arc::default();
        let (seen, closed) = (asked.clone(), refuses.clone());
        let address = serve(move |asked| {
            seen.lock().push((key_of(&asked.head), asked.body.clone()));
            let refused = "<Response><Errors><Error><Code>AuthFailure</Code><Message>who?</Message></Error></Errors></Response>";
            let reply = match (asked.path.as_str(), asked.method.as_str()) {
                ("/latest/api/token", "PUT") => Reply::Whole(200, vec![], "tok".to_string()),
                ("/latest/meta-data/placement/region", _) => Reply::Whole(200, vec![], "eu-north-1".to_string()),
                ("/latest/meta-data/iam/security-credentials/", _) => Reply::Whole(200, vec![], "my-role".to_string()),
                ("/latest/meta-data/iam/security-credentials/my-role", _) if asked.head.contains("token: tok") => {
                    Reply::json(r#"{"AccessKeyId": "machine", "SecretAccessKey": "s", "Token": "t", "Expiration": "2030-01-01T00:00:00Z"}"#)
                }
                _ if *closed.lock() => Reply::Whole(401, vec![], refused.to_string()),
                _ => answer(&asked),
            };
            Box::pin(async move { reply })
        })
        .await;
        Self { address, asked, refuses }
    }

    fn entry(&self, more: &str) -> String {
        format!("{{endpoint: 'http://{}', refresh_interval: 100ms{more}}}", self.address)
    }

    /// The keys by which instances were asked for.
    fn keys(&self) -> Vec<String> {
        let asked = self.asked.lock();
        let instances = asked.iter().filter(|(_, body)| body.contains("Action=DescribeInstances"));
        let mut keys: Vec<String> = instances.filter_map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

#[tokio::test]
async fn pages_are_asked_for_and_errors_keep_what_is_known() {
    let amazon = Amazon::start().await;
    let more = ", region: eu-west-3, access_key: AK1, secret_key: hush, filters: [{name: 'tag:x', values: [a, b]}]";
    let running = Running::start("ec2", &amazon.entry(more));
    let found = running.found("__meta_ec2_instance_id", &["i-1", "i-2"]).await;
    assert_eq!(found[0].get("__address__"), Some("10.0.0.1:80"));
    assert_eq!(amazon.keys(), ["AK1"]);
    let filters = "Filter.1.Name=tag%3Ax&Filter.1.Value.1=a&Filter.1.Value.2=b";
    assert!(amazon.asked.lock().iter().any(|(_, body)| body.contains(filters)));
    *amazon.refuses.lock() = true;
    until("failures", || running.manager.numbers().refresh_failures[&("ec2", "j".to_string())] > 1).await;
    running.found("__meta_ec2_instance_id", &["i-1", "i-2"]).await;
    // As a role of `aws` it is the same.
    *amazon.refuses.lock() = false;
    let running = Running::start(
        "aws",
        &amazon.entry(", role: ec2, region: r, access_key: AK2, secret_key: hush, port: 9100"),
    );
    let found = running.found("__meta_ec2_instance_id", &["i-1", "i-2"]).await;
    assert_eq!(found[0].get("__address__"), Some("10.0.0.1:9100"));
}

/// Of the environment of a test, which has no way to be told.
static MACHINE: OnceLock<String> = OnceLock::new();

#[tokio::test]
async fn the_machine_says_who_it_is_and_where() {
    let amazon = Amazon::start().await;
    MACHINE.set(format!("http://{}", amazon.address)).unwrap();
    let env = |name: &str| (name == "AWS_EC2_METADATA_SERVICE_ENDPOINT").then(|| MACHINE.get().unwrap().clone());
    let running = Running::start_with("ec2", &amazon.entry(""), env);
    running.found("__meta_ec2_region", &["eu-north-1", "eu-north-1"]).await;
    assert_eq!(amazon.keys(), ["machine"]);
}

static STS: OnceLock<(String, String)> = OnceLock::new();

#[tokio::test]
async fn roles_are_assumed() {
    let amazon = Amazon::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "identity\n").unwrap();
    STS.set((format!("http://{}", amazon.address), file.path().display().to_string())).unwrap();
    let running = Running::start_with("ec2", &amazon.entry(", region: r"), |name| {
        let (address, file) = STS.get().unwrap();
        match name {
            "AWS_ENDPOINT_URL_STS" => Some(address.clone()),
            "AWS_WEB_IDENTITY_TOKEN_FILE" => Some(file.clone()),
            "AWS_ROLE_ARN" => Some("arn:x".to_string()),
            _ => None,
        }
    });
    running.found("__meta_ec2_region", &["r", "r"]).await;
    assert_eq!(amazon.keys(), ["identity"]);
    drop(running);
    let more = ", region: r, access_key: AK, secret_key: hush, role_arn: 'arn:y', external_id: e";
    let running = Running::start_with("ec2", &amazon.entry(more), |name| {
        (name == "AWS_ENDPOINT_URL_STS").then(|| STS.get().unwrap().0.clone())
    });
    running.found("__meta_ec2_region", &["r", "r"]).await;
    assert_eq!(amazon.keys(), ["identity", "role-e"]);
}

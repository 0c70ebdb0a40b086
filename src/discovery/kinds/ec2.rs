//! Amazon's EC2: the instances of an account in a region.

use std::collections::HashMap;

use async_trait::async_trait;

use crate::config::discovery::settings::Settings;
use crate::discovery::group::{ADDRESS, Collected, Group, host_port, separated};
use crate::discovery::kinds::aws::{Account, form};
use crate::discovery::list::MAX_TARGETS;
use crate::discovery::way::{Context, Polled, Way};
use crate::discovery::xml::Element;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::model::labels::Labels;

const VERSION: &str = "2016-11-15";
/// Of an answer, whatever is in them.
const MAX_PAGES: usize = 10_000;
/// Network devices of an instance; there are at most 60.
const MAX_DEVICES: usize = 256;

pub(super) fn make(settings: &Settings<'_>, context: &Context) -> Result<Way> {
    let interval = settings.duration("refresh_interval");
    let mut filters = vec![];
    for (position, filter) in settings.sections("filters").iter().enumerate() {
        let name = format!("Filter.{}", position + 1);
        filters.push((format!("{name}.Name"), filter.text("name").to_string()));
        let values = filter.texts("values").into_iter().enumerate();
        filters.extend(values.map(|(position, value)| (format!("{name}.Value.{}", position + 1), value)));
    }
    let account = Account::new(settings, context, interval);
    let source = Source { account, port: settings.integer("port"), filters, zones: None };
    Ok(Way::Polled { interval, source: Box::new(source) })
}

struct Source {
    account: Account,
    port: i64,
    /// As the API takes them.
    filters: Vec<(String, String)>,
    /// Names of availability zones to what they are underneath, once they are known.
    zones: Option<HashMap<String, String>>,
}

#[async_trait]
impl Polled for Source {
    async fn refresh(&mut self) -> Result<Vec<Group>> {
        let region = self.account.region().await?;
        if self.zones.is_none() {
            // One may be allowed to see instances and not these.
            match self
                .account
                .ask("ec2", &form(&[("Action", "DescribeAvailabilityZones"), ("Version", VERSION)]))
                .await
            {
                Ok(answer) => self.zones = Some(zones(&answer)),
                Err(error) => tracing::debug!(discovery = "ec2", %error, "unable to describe availability zones"),
            }
        }
        let mut group = Group { source: region.clone(), ..Group::default() };
        let mut next = None;
        for _ in 0..MAX_PAGES {
            let mut asked = form(&[("Action", "DescribeInstances"), ("Version", VERSION)]);
            asked.extend(self.filters.iter().cloned());
            asked.extend(next.take().map(|token| ("NextToken".to_string(), token)));
            let answer = self.account.ask("ec2", &asked).await;
            let answer = answer.context(ErrorKind::Unavailable, || "could not describe instances".to_string())?;
            let nothing = HashMap::new();
            let zones = self.zones.as_ref().unwrap_or(&nothing);
            group.targets.extend(targets(&answer, &region, self.port, zones));
            if group.targets.len() > MAX_TARGETS {
                return Err(Error::bad_input(format!("there are more than {MAX_TARGETS} instances")));
            }
            next = answer.text_of("nextToken").map(str::to_string);
            if next.is_none() {
                return Ok(vec![group]);
            }
        }
        Err(Error::bad_input(format!("the answer has more than {MAX_PAGES} pages")))
    }
}

fn zones(answer: &Element) -> HashMap<String, String> {
    let zone = |item: &Element| Some((item.text_of("zoneName")?.to_string(), item.text_of("zoneId")?.to_string()));
    answer.items("availabilityZoneInfo").filter_map(zone).collect()
}

fn targets(answer: &Element, region: &str, port: i64, zones: &HashMap<String, String>) -> Vec<Labels> {
    let instances = answer.items("reservationSet").flat_map(|reservation| {
        let owner = reservation.text_of("ownerId");
        reservation.items("instancesSet").map(move |instance| (owner, instance))
    });
    instances.filter_map(|(owner, instance)| target(instance, owner, region, port, zones)).collect()
}

/// None of an instance without an address.
fn target(
    instance: &Element,
    owner: Option<&str>,
    region: &str,
    port: i64,
    zones: &HashMap<String, String>,
) -> Option<Labels> {
    let vpc = instance.text_of("vpcId");
    let addresses = if vpc.is_some() { Addresses::of(instance) } else { Addresses::default() };
    let (private_ip, default_ip) = (instance.text_of("privateIpAddress"), addresses.best());
    let address = private_ip.or(default_ip)?;
    let mut labels = Collected::new();
    labels.set(ADDRESS, host_port(address, port));
    labels.set("__meta_ec2_region", region);
    labels.maybe("__meta_ec2_owner_id", owner);
    labels.maybe("__meta_ec2_private_ip", private_ip);
    labels.maybe("__meta_ec2_default_ipv6_address", default_ip);
    for (label, element) in [
        ("__meta_ec2_instance_id", "instanceId"),
        ("__meta_ec2_private_dns_name", "privateDnsName"),
        ("__meta_ec2_platform", "platform"),
        ("__meta_ec2_ami", "imageId"),
        ("__meta_ec2_instance_type", "instanceType"),
        ("__meta_ec2_instance_lifecycle", "instanceLifecycle"),
        ("__meta_ec2_architecture", "architecture"),
        ("__meta_ec2_vpc_id", "vpcId"),
    ] {
        labels.maybe(label, instance.text_of(element));
    }
    if let Some(public_ip) = instance.text_of("ipAddress") {
        labels.set("__meta_ec2_public_ip", public_ip);
        labels.maybe("__meta_ec2_public_dns_name", instance.text_of("dnsName"));
    }
    let zone = instance.child("placement").and_then(|placement| placement.text_of("availabilityZone"));
    labels.maybe("__meta_ec2_availability_zone", zone);
    labels.maybe("__meta_ec2_availability_zone_id", zone.and_then(|zone| zones.get(zone)));
    let state = instance.child("instanceState").and_then(|state| state.text_of("name"));
    labels.maybe("__meta_ec2_instance_state", state);
    if vpc.is_some() {
        labels.maybe("__meta_ec2_primary_subnet_id", instance.text_of("subnetId"));
        labels.set("__meta_ec2_subnet_id", separated(&subnets(instance), ","));
        if !addresses.primary.is_empty() {
            labels.set("__meta_ec2_primary_ipv6_addresses", separated(&addresses.primary, ","));
        }
        if !addresses.all.is_empty() {
            labels.set("__meta_ec2_ipv6_addresses", separated(&addresses.all, ","));
        }
    }
    let tags = instance.items("tagSet").filter_map(|tag| Some((tag.text_of("key")?, tag.text_of("value")?)));
    labels.prefixed("__meta_ec2_tag_", tags);
    Some(labels.build())
}

/// Each once, in the order of its devices.
fn subnets(instance: &Element) -> Vec<&str> {
    let mut subnets = vec![];
    for subnet in instance.items("networkInterfaceSet").filter_map(|device| device.text_of("subnetId")) {
        if !subnets.contains(&subnet) {
            subnets.push(subnet);
        }
    }
    subnets
}

/// IPv6 addresses.
#[derive(Default)]
struct Addresses<'a> {
    /// The first of each device by its number, empty where a device has none.
    primary: Vec<&'a str>,
    all: Vec<&'a str>,
}

impl<'a> Addresses<'a> {
    fn of(instance: &'a Element) -> Self {
        let mut found = Self::default();
        let devices = instance.items("networkInterfaceSet").filter(|device| device.text_of("subnetId").is_some());
        for device in devices {
            let number = device.child("attachment").and_then(|attachment| attachment.text_of("deviceIndex"));
            let number = number.and_then(|text| text.parse::<usize>().ok()).unwrap_or_default();
            for item in device.items("ipv6AddressesSet") {
                let Some(address) = item.text_of("ipv6Address") else { continue };
                found.all.push(address);
                if item.text_of("isPrimaryIpv6") == Some("true") && number < MAX_DEVICES {
                    if found.primary.len() <= number {
                        found.primary.resize(number + 1, "");
                    }
                    found.primary[number] = address;
                }
            }
        }
        found
    }

    fn best(&self) -> Option<&'a str> {
        self.primary.iter().chain(&self.all).copied().find(|address| !address.is_empty())
    }
}

#[cfg(test)]
#[path = "ec2/tests.rs"]
mod tests;

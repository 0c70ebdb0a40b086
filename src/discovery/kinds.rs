//! One file a kind, and the one table that knows them all.
//!
//! A kind reads its settings into a type of its own, and is then either [`Polled`](crate::discovery::way::Polled) or
//! [`Watched`](crate::discovery::way::Watched). To add one: its file, its row here, its name in
//! `config::discovery::BUILT`, its recorded answers in its tests.

use crate::config::discovery::Discovery;
use crate::config::discovery::settings::Settings;
use crate::discovery::way::{Context, Way};
use crate::error::{Error, Result};

/// Files, watched.
pub mod file;
/// A list that a server answers with.
pub mod http;
/// DNS records.
pub mod dns;
/// Kubernetes.
pub mod kubernetes;
/// Consul.
pub mod consul;
/// Docker's API: containers.
pub mod docker;
/// The same in a swarm: nodes, services, tasks.
pub mod dockerswarm;
/// Amazon's EC2.
pub mod ec2;
/// Hetzner: cloud and robot.
pub mod hetzner;
/// DigitalOcean: droplets and databases.
pub mod digitalocean;
/// Eureka.
pub mod eureka;
/// Nomad.
pub mod nomad;
/// Signatures and credentials of Amazon's APIs.
mod aws;

type Make = fn(&Settings<'_>, &Context) -> Result<Way>;

/// By the name of the kind.
const KINDS: &[(&str, Make)] = &[
    // By its role, of which there is one.
    ("aws", ec2::make),
    ("consul", consul::make),
    ("digitalocean", digitalocean::make),
    ("dns", dns::make),
    ("docker", docker::make),
    ("dockerswarm", dockerswarm::make),
    ("ec2", ec2::make),
    ("eureka", eureka::make),
    (file::NAME, file::make),
    ("hetzner", hetzner::make),
    ("http", http::make),
    ("kubernetes", kubernetes::make),
    ("nomad", nomad::make),
];

/// How the targets of an entry are found. Fails where that needs what is not there, as certificates.
pub(super) fn way(discovery: &Discovery, context: &Context) -> Result<Way> {
    let known = KINDS.iter().find(|(name, _)| *name == discovery.kind.name);
    let (_, make) =
        known.ok_or_else(|| Error::unsupported(format!("{} is not supported yet", discovery.kind.key)))?;
    make(&discovery.settings(), context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::discovery::BUILT;

    #[test]
    fn the_configuration_knows_which_kinds_are_built() {
        let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, BUILT);
    }
}

//! Kubernetes: pods, services, endpoints, endpoint slices, nodes or ingresses as its API tells them.
//!
//! Each kind of object that a role needs is listed and watched ([`watch`]); one task per namespace holds what is there
//! ([`stores`]) and makes a group of each object of the role that changed, or that depends on another that did ([`role`]).
//! The protocol is JSON over our own client, so that all that can be said about requests holds: two requests, and a dozen
//! fields of each object. A generic client would bring types for the whole API, and its own stack of HTTP.

use async_trait::async_trait;
use futures::future::{BoxFuture, join_all};
use tokio::sync::mpsc;

use crate::config::discovery::settings::Settings;
use crate::discovery::api::Api;
use crate::discovery::kinds::kubernetes::objects::{
    EndpointSlice, Endpoints, Ingress, Job, Namespace, Node, Pod, ReplicaSet, Service,
};
use crate::discovery::kinds::kubernetes::role::{Attached, Role, Tracker};
use crate::discovery::kinds::kubernetes::stores::{Change, Resource};
use crate::discovery::kinds::kubernetes::watch::Watch;
use crate::discovery::manager::Updates;
use crate::discovery::way::{Context, Watched, Way};
use crate::error::Result;

/// Where the API is, and how it lets us in.
mod access;
/// Objects, as far as they are needed.
mod objects;
/// Where they are kept.
mod stores;
/// Lists that are kept up to date.
mod watch;
/// What is kept for a role, and which groups change with it.
mod role;
/// Labels that several roles give.
mod labels;
/// One file a role.
mod endpoints;
mod endpointslice;
mod ingress;
mod node;
mod pod;
mod service;

/// Changes that wait to be taken over.
const QUEUED: usize = 1024;

pub(super) fn make(settings: &Settings<'_>, context: &Context) -> Result<Way> {
    let own_namespace = settings.section("namespaces").is_true("own_namespace");
    let access = access::read(settings, own_namespace, context)?;
    let mut namespaces = settings.section("namespaces").texts("names");
    namespaces.extend(access.own_namespace);
    let selectors = settings.sections("selectors").into_iter().map(|selector| {
        let text = |key| selector.text(key).to_string();
        Selector { role: text("role"), label: text("label"), field: text("field") }
    });
    let attach = settings.section("attach_metadata");
    let source = Source {
        api: access.api,
        role: Role::parse(settings.text("role")),
        namespaces: if namespaces.is_empty() { vec![None] } else { namespaces.into_iter().map(Some).collect() },
        selectors: selectors.collect(),
        attached: Attached {
            node: attach.is_true("node"),
            namespace: attach.is_true("namespace"),
            deployment: attach.is_true("deployment"),
            job: attach.is_true("job"),
            cron_job: attach.is_true("cronjob"),
        },
        context: context.clone(),
    };
    Ok(Way::Watched(Box::new(source)))
}

struct Source {
    api: Api,
    role: Role,
    /// `None` for all of them.
    namespaces: Vec<Option<String>>,
    selectors: Vec<Selector>,
    attached: Attached,
    context: Context,
}

/// Which objects of a kind are asked for.
struct Selector {
    /// Named as the role of these objects.
    role: String,
    label: String,
    field: String,
}

#[async_trait]
impl Watched for Source {
    async fn run(&mut self, updates: &Updates) {
        let source: &Source = self;
        join_all(source.namespaces.iter().map(|namespace| source.follow(namespace.as_deref(), updates))).await;
    }
}

impl Source {
    /// Each namespace by itself, so that one that may not be seen keeps none from being found.
    async fn follow(&self, namespace: Option<&str>, updates: &Updates) {
        let (sender, receiver) = mpsc::channel(QUEUED);
        let watches = self.watches(namespace, &sender);
        drop(sender);
        let tracker = Tracker::new(self.role, self.attached, self.context.stats.clone());
        tokio::join!(join_all(watches), tracker.run(receiver, updates));
    }

    /// What the role needs.
    fn watches<'a>(&'a self, namespace: Option<&'a str>, sender: &mpsc::Sender<Change>) -> Vec<BoxFuture<'a, ()>> {
        let attached = self.attached;
        let pods = matches!(self.role, Role::Pod | Role::Endpoints | Role::EndpointSlice);
        let mut all = vec![match self.role {
            Role::Pod => self.watch::<Pod>(namespace, sender),
            Role::Service => self.watch::<Service>(namespace, sender),
            Role::Endpoints => self.watch::<Endpoints>(namespace, sender),
            Role::EndpointSlice => self.watch::<EndpointSlice>(namespace, sender),
            Role::Ingress => self.watch::<Ingress>(namespace, sender),
            Role::Node => self.watch::<Node>(None, sender),
        }];
        if matches!(self.role, Role::Endpoints | Role::EndpointSlice) {
            all.push(self.watch::<Service>(namespace, sender));
            all.push(self.watch::<Pod>(namespace, sender));
        }
        if pods && attached.node {
            all.push(self.watch::<Node>(None, sender));
        }
        if self.role != Role::Node && attached.namespace {
            all.push(self.watch::<Namespace>(None, sender));
        }
        if pods && attached.deployment {
            all.push(self.watch::<ReplicaSet>(namespace, sender));
        }
        if pods && (attached.job || attached.cron_job) {
            all.push(self.watch::<Job>(namespace, sender));
        }
        all
    }

    fn watch<'a, T: Resource>(
        &'a self,
        namespace: Option<&str>,
        sender: &mpsc::Sender<Change>,
    ) -> BoxFuture<'a, ()> {
        let kind = T::KIND;
        let path = match namespace {
            Some(namespace) => format!("{}/namespaces/{namespace}/{}", kind.api(), kind.plural()),
            None => format!("{}/{}", kind.api(), kind.plural()),
        };
        let selector = kind.role().and_then(|role| self.selectors.iter().find(|selector| selector.role == role));
        let mut query = vec![];
        for (key, text) in
            selector.into_iter().flat_map(|s| [("labelSelector", &s.label), ("fieldSelector", &s.field)])
        {
            if !text.is_empty() {
                query.push((key, text.clone()));
            }
        }
        let watch = Watch { api: self.api.clone(), path, query, stats: self.context.stats.clone() };
        let sender = sender.clone();
        Box::pin(async move { watch.run::<T>(sender).await })
    }
}

#[cfg(test)]
#[path = "kubernetes/tests.rs"]
mod tests;

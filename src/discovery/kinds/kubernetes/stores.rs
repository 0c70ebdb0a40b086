//! Objects that are kept, all kinds of them, and what changes about them.

use std::collections::HashMap;

use serde::de::DeserializeOwned;

use crate::discovery::kinds::kubernetes::objects::{
    EndpointSlice, Endpoints, Ingress, Job, Meta, Namespace, Node, Pod, ReplicaSet, Service,
};
use crate::discovery::kinds::kubernetes::role::Role;

/// All kinds of objects from one row each.
macro_rules! resources {
    ($($type:ident, $field:ident, $api:literal, $plural:literal, $role:expr;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(super) enum Kind {
            $($type),*
        }

        impl Kind {
            pub(super) fn api(self) -> &'static str {
                match self { $(Kind::$type => $api),* }
            }

            pub(super) fn plural(self) -> &'static str {
                match self { $(Kind::$type => $plural),* }
            }

            /// The role of these objects, by which selectors name them.
            pub(super) fn role(self) -> Option<&'static str> {
                let role: Option<Role> = match self { $(Kind::$type => $role),* };
                role.map(Role::as_str)
            }
        }

        /// What became of some objects.
        pub(super) enum Change {
            $($type(Delta<$type>)),*
        }

        /// All that is known.
        #[derive(Default)]
        pub(super) struct Stores {
            $(pub(super) $field: Store<$type>),*
        }

        impl Stores {
            /// The objects that differ from what they were.
            pub(super) fn apply(&mut self, change: Change) -> (Kind, Touched) {
                match change {
                    $(Change::$type(delta) => (Kind::$type, self.$field.apply(delta))),*
                }
            }

            pub(super) fn is_listed(&self, kind: Kind) -> bool {
                match kind { $(Kind::$type => self.$field.listed),* }
            }

            /// Keys of the objects there are.
            pub(super) fn keys(&self, kind: Kind) -> Vec<String> {
                match kind { $(Kind::$type => self.$field.objects.keys().cloned().collect()),* }
            }
        }

        $(impl Resource for $type {
            const KIND: Kind = Kind::$type;

            fn meta(&mut self) -> &mut Meta {
                &mut self.metadata
            }

            fn change(delta: Delta<Self>) -> Change {
                Change::$type(delta)
            }
        })*
    };
}

resources! {
    Pod, pods, "api/v1", "pods", Some(Role::Pod);
    Service, services, "api/v1", "services", Some(Role::Service);
    Endpoints, endpoints, "api/v1", "endpoints", Some(Role::Endpoints);
    EndpointSlice, endpoint_slices, "apis/discovery.k8s.io/v1", "endpointslices", Some(Role::EndpointSlice);
    Ingress, ingresses, "apis/networking.k8s.io/v1", "ingresses", Some(Role::Ingress);
    Node, nodes, "api/v1", "nodes", Some(Role::Node);
    Namespace, namespaces, "api/v1", "namespaces", None;
    ReplicaSet, replica_sets, "apis/apps/v1", "replicasets", None;
    Job, jobs, "apis/batch/v1", "jobs", None;
}

/// A kind of object.
pub(super) trait Resource: DeserializeOwned + PartialEq + Send + 'static {
    const KIND: Kind;
    fn meta(&mut self) -> &mut Meta;
    fn change(delta: Delta<Self>) -> Change;
}

pub(super) enum Delta<T> {
    /// These are all there are.
    List(Vec<T>),
    Put(Box<T>),
    Delete(String),
}

/// Objects by `NAMESPACE/NAME`, or the name where there is no namespace.
pub(super) struct Store<T> {
    pub(super) objects: HashMap<String, T>,
    listed: bool,
}

/// Keys of objects that differ, and how many events there were.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) keys: Vec<String>,
    pub(super) added: u64,
    pub(super) updated: u64,
    pub(super) deleted: u64,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { objects: HashMap::new(), listed: false }
    }
}

impl<T: Resource> Store<T> {
    fn apply(&mut self, delta: Delta<T>) -> Touched {
        let mut touched = Touched::default();
        match delta {
            Delta::List(objects) => {
                self.listed = true;
                let mut gone = std::mem::take(&mut self.objects);
                for mut object in objects {
                    let key = object.meta().key();
                    let old = gone.remove(&key);
                    self.put(key, object, old, &mut touched);
                }
                touched.deleted += gone.len() as u64;
                touched.keys.extend(gone.into_keys());
            }
            Delta::Put(mut object) => {
                let key = object.meta().key();
                let old = self.objects.remove(&key);
                self.put(key, *object, old, &mut touched);
            }
            Delta::Delete(key) => {
                touched.deleted += 1;
                if self.objects.remove(&key).is_some() {
                    touched.keys.push(key);
                }
            }
        }
        touched
    }

    fn put(&mut self, key: String, object: T, old: Option<T>, touched: &mut Touched) {
        match &old {
            Some(_) => touched.updated += 1,
            None => touched.added += 1,
        }
        if old.as_ref() != Some(&object) {
            touched.keys.push(key.clone());
        }
        self.objects.insert(key, object);
    }

    pub(super) fn get(&self, key: &str) -> Option<&T> {
        self.objects.get(key)
    }
}

//! What a route is: a path with its handlers, and what surrounds and describes it.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::MethodRouter;

use crate::server::access::door::Role;
use crate::server::http::describe::About;
use crate::server::http::server::Server;

/// One path with its handlers.
pub struct Route {
    pub path: &'static str,
    pub handlers: MethodRouter<Arc<Server>>,
    /// Those that have a handler.
    pub methods: Vec<Method>,
    /// Whether it only reads: POST is a GET with long parameters. On all other routes each method but GET, HEAD and OPTIONS changes something,
    /// which no such page may ask for; so no route may change anything on a GET.
    pub reads_only: bool,
    /// Whose role it takes to change something by it.
    pub changes_by: Role,
    /// Whether it shows nothing but what a role may see that is limited to some series.
    pub within_limits: bool,
    /// Whether pages of the origins that `--web.cors.origin` names may have its answers.
    pub shared: bool,
    /// Whether it is about samples that are kept, and rules over them: an agent has none.
    pub of_samples: bool,
    /// What the description of the API says of it; routes of the API have it, and no others.
    pub about: Option<About>,
}

/// A route that only reads, for programs and pages.
pub fn read(path: &'static str) -> Route {
    Route { reads_only: true, shared: true, ..plain(path) }
}

/// A route for clients that are no pages of others.
pub fn plain(path: &'static str) -> Route {
    let (handlers, methods) = (MethodRouter::new(), Vec::new());
    let changes_by = Role::Admin;
    Route {
        path,
        handlers,
        methods,
        reads_only: false,
        changes_by,
        within_limits: false,
        shared: false,
        of_samples: false,
        about: None,
    }
}

impl Route {
    pub fn get<T: 'static>(mut self, handler: impl Handler<T, Arc<Server>>) -> Self {
        self.methods.push(Method::GET);
        Self { handlers: self.handlers.get(handler), ..self }
    }

    pub fn post<T: 'static>(mut self, handler: impl Handler<T, Arc<Server>>) -> Self {
        self.methods.push(Method::POST);
        Self { handlers: self.handlers.post(handler), ..self }
    }

    pub fn put<T: 'static>(mut self, handler: impl Handler<T, Arc<Server>>) -> Self {
        self.methods.push(Method::PUT);
        Self { handlers: self.handlers.put(handler), ..self }
    }

    /// For those who send samples.
    pub fn by_writers(self) -> Self {
        Self { changes_by: Role::Writer, ..self }
    }

    /// Shows series as the engine does, or nothing of them.
    pub fn within_limits(self) -> Self {
        Self { within_limits: true, ..self }
    }

    pub fn of_samples(self) -> Self {
        Self { of_samples: true, ..self }
    }

    /// For programs, not for pages of other origins.
    pub fn unshared(self) -> Self {
        Self { shared: false, ..self }
    }

    pub fn about(self, about: About) -> Self {
        Self { about: Some(about), ..self }
    }

    /// Whether it is a part of Prometheus' HTTP API.
    pub fn is_of_api(&self) -> bool {
        self.path.starts_with(API)
    }

    /// The methods that are answered, as `Allow` lists them.
    pub fn allowed(&self) -> String {
        let head = self.methods.contains(&Method::GET).then_some(Method::HEAD);
        let all = self.methods.iter().cloned().chain(head).chain([Method::OPTIONS]);
        all.map(|method| method.to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// Before the paths of the API.
pub const API: &str = "/api/v1/";

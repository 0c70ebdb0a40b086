//! The page for people: `/` leads to `/query`, which says what runs here and how to ask it. A user interface of
//! our own comes later; Grafana's Prometheus data source works today.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{Method, StatusCode};
use axum::response::{Html, Response};

use crate::server::http::paths::redirect;
use crate::server::http::route::{Route, plain};
use crate::server::http::server::Server;

pub fn routes() -> Vec<Route> {
    vec![
        plain("/").within_limits().get(home),
        plain("/query").within_limits().get(page),
        plain("/agent").within_limits().get(page),
        // Where links of Prometheus' own alerts and of older Grafanas lead.
        plain("/graph").within_limits().get(graph),
    ]
}

async fn home(State(server): State<Arc<Server>>, method: Method) -> Response {
    let page = if server.settings.agent { "agent" } else { "query" };
    redirect(StatusCode::FOUND, &method, &format!("{}/{page}", server.settings.link_prefix))
}

/// With what was asked there.
async fn graph(State(server): State<Arc<Server>>, method: Method, RawQuery(query): RawQuery) -> Response {
    let location = format!("{}/query?{}", server.settings.link_prefix, query.unwrap_or_default());
    redirect(StatusCode::FOUND, &method, &location)
}

async fn page(State(server): State<Arc<Server>>) -> Html<String> {
    let settings = &server.settings;
    let ready = server.parts().is_some();
    let (prefix, title, version) = (&settings.link_prefix, &settings.page_title, settings.build.version);
    Html(render(prefix, title, version, ready, settings.agent))
}

fn render(prefix: &str, title: &str, version: &str, ready: bool, agent: bool) -> String {
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let state = if ready { "ready" } else { "starting" };
    let of_samples = [
        ("/api/v1/query?query=up", "up, now"),
        ("/api/v1/label/__name__/values", "metric names"),
        ("/api/v1/status/tsdb", "cardinality"),
    ];
    let of_all = [
        ("/api/v1/targets", "targets"),
        ("/api/v1/status/config", "configuration"),
        ("/api/v1/status/flags", "flags"),
        ("/api/v1/status/buildinfo", "build"),
        ("/metrics", "own metrics"),
    ];
    let link = |(path, text): &(&str, &str)| format!("<li><a href=\"{prefix}{path}\">{text}</a></li>\n");
    let links: String = of_samples.iter().filter(|_| !agent).chain(&of_all).map(link).collect();
    let what = match agent {
        true => "This is an agent: what is scraped and received here is sent on, and asked for elsewhere.</p>\n"
            .to_string(),
        false => format!(
            "This is Prometheus' HTTP API: add it to Grafana as a Prometheus data source.</p>\n\
             <form action=\"{prefix}/api/v1/query\"><input name=\"query\" placeholder=\"PromQL\" autofocus> \
             <button>Run</button></form>\n"
        ),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem}}\
         input{{width:70%;font:inherit}}button{{font:inherit}}</style></head><body>\n\
         <h1>promlake {version}</h1>\n<p>{state}. {what}<ul>\n{links}</ul>\n</body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn links_carry_the_prefix() {
        let page = render("/lake", "A <b> & c", "1.2.3", true, false);
        assert!(page.contains("<title>A &lt;b> &amp; c</title>"));
        assert!(page.contains("href=\"/lake/metrics\""));
        assert!(page.contains("action=\"/lake/api/v1/query\""));
        assert!(page.contains("promlake 1.2.3"));
        let page = render("", "t", "1", true, true);
        assert!(page.contains("agent") && !page.contains("/query"), "{page}");
    }
}

//! `/user/*`: the files of `--web.user-assets`, for pages of the operator's own.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Path as Captured, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use crate::server::http::envelope::text_response;
use crate::server::http::route::{Route, plain};
use crate::server::http::server::Server;

/// Files are read whole.
const MAX_BYTES: u64 = 32 << 20;

/// What browsers are told by the end of the name; all others are bytes.
const TYPES: &[(&str, &str)] = &[
    ("css", "text/css; charset=utf-8"),
    ("gif", "image/gif"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("webp", "image/webp"),
    ("woff2", "font/woff2"),
    ("xml", "text/xml; charset=utf-8"),
];

pub fn routes() -> Vec<Route> {
    vec![plain("/user/{*filepath}").within_limits().get(file)]
}

async fn file(State(server): State<Arc<Server>>, Captured(path): Captured<String>) -> Response {
    let Some(folder) = &server.settings.user_assets else { return not_found() };
    let Some(path) = below(folder, &path) else { return not_found() };
    match read(&path).await {
        Ok(Some((path, content))) => {
            let mut response = Response::new(content.into());
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(&path)));
            response
        }
        Ok(None) => {
            let text = format!("larger than {} MiB\n", MAX_BYTES >> 20);
            text_response(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
        Err(_) => not_found(),
    }
}

/// The file a path names; `None` for one that would lead out of the folder.
fn below(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    inside.then(|| folder.join(path))
}

/// A file, or the `index.html` of a folder; `None` for one that is too large.
async fn read(path: &Path) -> std::io::Result<Option<(PathBuf, Bytes)>> {
    let found = tokio::fs::metadata(path).await?;
    let path = if found.is_dir() { path.join("index.html") } else { path.to_path_buf() };
    let found = tokio::fs::metadata(&path).await?;
    if found.len() > MAX_BYTES || !found.is_file() {
        return Ok(None);
    }
    let content = tokio::fs::read(&path).await?;
    Ok(Some((path, content.into())))
}

fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    let extension = extension.as_deref().unwrap_or("");
    TYPES.iter().find(|(known, _)| *known == extension).map_or("application/octet-stream", |(_, kind)| kind)
}

fn not_found() -> Response {
    text_response(StatusCode::NOT_FOUND, "404 page not found\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_folder() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(below(Path::new("/a"), path), expected.map(PathBuf::from), "{path}");
        };
        check("x.html", Some("/a/x.html"));
        check("b/x.html", Some("/a/b/x.html"));
        check("../etc/passwd", None);
        check("b/../../x", None);
        check("/etc/passwd", None);
    }

    #[test]
    fn types() {
        let check = |path: &str, kind: &str| assert_eq!(content_type(Path::new(path)), kind, "{path}");
        check("/a/x.HTML", "text/html; charset=utf-8");
        check("/a/x.js", "text/javascript; charset=utf-8");
        check("/a/x.exe", "application/octet-stream");
        check("/a/README", "application/octet-stream");
    }
}

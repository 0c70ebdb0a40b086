//! Texts that are given in place or read from a file each time, so that a new one is used without a reload.

use crate::client::error::Reason;
use crate::config::http::Secret;

/// No password or certificate is longer.
const MAX_BYTES: u64 = 1 << 20;

/// The text; that of a file without the blanks around it. `what` is in errors.
pub async fn read(secret: &Secret, what: &str) -> Result<String, Reason> {
    match secret {
        Secret::None => Ok(String::new()),
        Secret::Text(text) => Ok(text.clone()),
        Secret::File(path) => {
            let path = path.clone();
            let read = move || {
                let failed = |why: String| format!("unable to read file {}: {why}", path.display());
                let open = |why: std::io::Error| failed(format!("open {}: {}", path.display(), in_words(&why)));
                let length = std::fs::metadata(&path).map_err(open)?.len();
                if length > MAX_BYTES {
                    return Err(failed(format!("it has more than {MAX_BYTES} bytes")));
                }
                let text = std::fs::read_to_string(&path).map_err(open)?;
                Ok(text.trim().to_string())
            };
            // Files may be on a network.
            let outcome = tokio::task::spawn_blocking(read).await;
            let outcome = outcome.map_err(|e| Reason::other(format!("unable to read {what}: {e}")))?;
            outcome.map_err(|why| Reason::other(format!("unable to read {what}: {why}")))
        }
        Secret::Reference(_) => {
            Err(Reason::other(format!("unable to use {what}: cannot use secret ref without manager")))
        }
    }
}

/// As other programs say it, without the number.
fn in_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_string(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        _ => error.to_string(),
    }
}

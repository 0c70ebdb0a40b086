//! Texts that are given in place or read from a file each time, so that a new one is used without a reload.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::client::error::Reason;
use crate::config::http::Secret;

/// No password or certificate is longer.
const MAX_BYTES: u64 = 1 << 20;

/// The text; that of a file without the blanks around it. `what` is in errors.
pub(super) async fn read(secret: &Secret, what: &str) -> Result<String, Reason> {
    match secret {
        Secret::None => Ok(String::new()),
        Secret::Text(text) => Ok(text.clone()),
        Secret::File(path) => {
            let path = path.clone();
            let read = move || {
                let text = read_file(&path);
                text.map(|text| text.trim().to_string())
                    .map_err(|why| format!("unable to read file {}: {why}", path.display()))
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

/// A small file. One that has no length, as a pipe or a device, ends here too.
pub fn read_file(path: &Path) -> Result<String, String> {
    let open = |why: io::Error| format!("open {}: {}", path.display(), in_words(&why));
    let mut text = String::new();
    let length = File::open(path).map_err(open)?.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(open)?;
    if length as u64 > MAX_BYTES { Err(format!("it has more than {MAX_BYTES} bytes")) } else { Ok(text) }
}

/// As other programs say it, without the number.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_string(),
        io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        _ => error.to_string(),
    }
}

//! `--config.auto-reload`: looks at the configuration file and its parts now and then, and says when they changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use xxhash_rust::xxh3::Xxh3;

use crate::config::file::Config;
use crate::error::{Context, Error, ErrorKind, Result};

/// The configuration file and its parts, as they were when they were taken last.
pub struct Watch {
    file: PathBuf,
    ticker: Interval,
    /// Of the file alone, before it was read.
    before: Option<u128>,
    /// Of what is in force; `None` where that is not what is there.
    taken: Option<u128>,
}

impl Watch {
    pub fn new(file: &Path, every: Duration) -> Self {
        let mut ticker = interval_at(Instant::now() + every, every);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { file: file.to_path_buf(), ticker, before: None, taken: None }
    }

    /// To be called before the file is read, so that a change behind it is seen.
    pub async fn reads(&mut self) {
        self.before = fingerprint(&self.file, Vec::new()).await.ok();
    }

    /// Returns when it is time to look and there is something new. Dropping the future forgets nothing.
    pub async fn changed(&mut self, config: &Config) {
        loop {
            self.ticker.tick().await;
            match fingerprint(&self.file, config.parts()).await {
                Ok(now) if Some(now) == self.taken => {}
                Ok(_) => {
                    tracing::info!("the configuration has changed, reading it anew");
                    return;
                }
                // It may be on its way from one version to the next; a reload says what is wrong with it.
                Err(error) => {
                    tracing::error!(file = %self.file.display(), %error, "cannot look whether the configuration changed");
                    return;
                }
            }
        }
    }

    /// `config` is in force from now on. Where the file changed meanwhile, the next look finds it new.
    pub async fn taken(&mut self, config: &Config) {
        let all = fingerprint(&self.file, config.parts()).await.ok();
        let alone = fingerprint(&self.file, Vec::new()).await.ok();
        self.taken = all.filter(|_| alone == self.before);
    }

    /// What is there was refused: it is tried again each time, and so is the old one when it comes back.
    pub fn refused(&mut self) {
        self.taken = None;
    }
}

/// The same while nothing of the file and its parts has changed: neither names nor contents.
async fn fingerprint(file: &Path, parts: Vec<PathBuf>) -> Result<u128> {
    let file = file.to_path_buf();
    let work = move || {
        let mut hash = Xxh3::new();
        for path in std::iter::once(&file).chain(&parts) {
            let name = path.display().to_string();
            let content = std::fs::read(path).context(ErrorKind::BadInput, || format!("reading {name}"))?;
            // With their lengths, so that nothing moves from one to the next unseen.
            for bytes in [name.as_bytes(), &content] {
                hash.update(&(bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
        }
        Ok(hash.digest128())
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::internal("the look at the configuration was lost"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change between the reading of a file and the look at it was lost.
    #[tokio::test]
    async fn a_change_while_the_file_is_read_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, "").unwrap();
        let (mut watch, config) = (Watch::new(&file, Duration::from_millis(1)), Config::empty());
        watch.reads().await;
        watch.taken(&config).await;
        let changed = tokio::time::timeout(Duration::from_millis(200), watch.changed(&config)).await;
        assert!(changed.is_err(), "nothing has changed");
        watch.reads().await;
        std::fs::write(&file, "global: {}\n").unwrap();
        watch.taken(&config).await;
        watch.changed(&config).await;
    }

    #[tokio::test]
    async fn content_names_and_parts_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "1").unwrap();
        std::fs::write(path("b"), "2").unwrap();
        let of = async |parts: &[&str]| {
            fingerprint(&path("a"), parts.iter().map(|name| path(name)).collect()).await.unwrap()
        };
        let alone = of(&[]).await;
        assert_eq!(of(&[]).await, alone);
        let both = of(&["b"]).await;
        assert_ne!(both, alone);
        std::fs::write(path("b"), "3").unwrap();
        assert_ne!(of(&["b"]).await, both);
        std::fs::write(path("b"), "2").unwrap();
        assert_eq!(of(&["b"]).await, both);
        std::fs::write(path("c"), "2").unwrap();
        assert_ne!(of(&["c"]).await, both);
        std::fs::remove_file(path("a")).unwrap();
        assert!(fingerprint(&path("a"), vec![]).await.is_err());
    }
}

//! One live process for a node. In a folder it is a lock that the system holds for as long as the process lives, so a
//! start after a crash never waits. In a bucket it is a small object, the lease, renewed by its holder.
//!
//! A claim keeps a second process from starting by mistake; it is no proof. What keeps two processes from writing is
//! the epoch, whatever their clocks say and however long one of them was paused.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path as FsPath;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{Context, Error, ErrorKind, Result};
use crate::storage::object::{Kind, Objects as Root};
use crate::storage::wal::objects::Objects;

/// A lease that was not renewed for this long is nobody's.
pub const LEASE: Duration = Duration::from_secs(30);
/// How often its holder renews it.
pub const RENEWAL: Duration = Duration::from_secs(10);
/// A start looks so many times, over the time of a lease, whether one of another machine is renewed.
const LOOKS: u32 = 30;

/// Held for the life of a store; dropping it lets the next process start.
#[derive(Debug)]
pub enum Claim {
    /// The lock goes when the file is closed.
    Folder {
        _lock: File,
    },
    Lease(Lease),
    /// Stores in memory have one process by nature.
    Memory,
}

/// The lease of this process.
#[derive(Clone, Debug)]
pub struct Lease {
    objects: Objects,
    holder: Holder,
    epoch: u64,
}

/// Who holds a lease: enough to tell on the same machine whether the process still lives.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    writer: String,
    host: String,
    /// Of the kernel's boot, and of the namespace of the process id.
    boot: String,
    namespace: String,
    pid: u64,
    /// Clock ticks from boot to the start of the process, so that a process id used again is not taken for it.
    started: u64,
}

/// What a lease says of its holder to a process that would like to have it.
#[derive(Debug, PartialEq, Eq)]
enum Life {
    Dead,
    Alive,
    /// On another machine, or in another container: only time tells.
    Unknown,
}

impl Claim {
    /// Fails if another process has the node. Waits up to [`LEASE`] for the lease of a process on another machine that
    /// has ended without giving it back.
    pub async fn take(root: &Root, objects: &Objects, writer: u64, now_ms: i64) -> Result<Claim> {
        match root.kind {
            Kind::Memory => Ok(Claim::Memory),
            Kind::Disk => {
                let folder =
                    root.url.to_file_path().map_err(|()| Error::internal("a storage folder has no path"))?;
                lock(&folder, objects.node())
            }
            Kind::Bucket => {
                let lease = Lease { objects: objects.clone(), holder: Holder::me(writer), epoch: 0 };
                lease.wait_for_others(now_ms, &root.display, LEASE).await?;
                Ok(Claim::Lease(lease))
            }
        }
    }

    /// Shows the epoch to whoever starts next.
    pub async fn announce(&mut self, epoch: u64, now_ms: i64) -> Result<()> {
        let Claim::Lease(lease) = self else { return Ok(()) };
        lease.epoch = epoch;
        lease.put(now_ms).await
    }

    /// The lease to renew every [`RENEWAL`], where there is one.
    pub fn lease(&self) -> Option<Lease> {
        match self {
            Claim::Lease(lease) => Some(lease.clone()),
            Claim::Folder { .. } | Claim::Memory => None,
        }
    }
}

fn lock(folder: &FsPath, node: &str) -> Result<Claim> {
    let path = folder.join("_wal").join(format!("{node}.lock"));
    let failed = || format!("cannot open {}", path.display());
    std::fs::create_dir_all(folder.join("_wal")).context(ErrorKind::Unavailable, failed)?;
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.context(ErrorKind::Unavailable, failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // What cannot be read is not needed to know that somebody has it.
            let _ = file.take(256).read_to_string(&mut holder);
            return Err(taken(node, &folder.display().to_string(), holder.trim()));
        }
        Err(TryLockError::Error(e)) => {
            return Err(e).context(ErrorKind::Unavailable, || format!("cannot lock {}", path.display()));
        }
    }
    // For people and the message above; a full disk is no reason not to start.
    let _ = file
        .set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "process {}", std::process::id()));
    Ok(Claim::Folder { _lock: file })
}

fn taken(node: &str, storage: &str, holder: &str) -> Error {
    let holder = if holder.is_empty() { "another process" } else { holder };
    Error::new(
        ErrorKind::BadInput,
        format!(
            "storage {storage} is in use: {holder} writes as node {node:?} (a second process needs a --storage.node of its own)"
        ),
    )
}

impl Lease {
    /// Puts the lease again. `false`: a process with a later epoch has it, and this one may not write any more.
    pub async fn renew(&self, now_ms: i64) -> Result<bool> {
        let held = self.read().await?;
        let epoch = held.as_ref().and_then(|held| held["epoch"].as_u64()).unwrap_or(0);
        if epoch > self.epoch {
            return Ok(false);
        }
        self.put(now_ms).await.map(|()| true)
    }

    /// Gives it back, so that the next start need not ask whether this process lives.
    pub async fn release(&self) -> Result<()> {
        let held = self.read().await?;
        if held.is_some_and(|held| held["epoch"].as_u64() == Some(self.epoch)) {
            self.objects.delete_paths(vec![self.objects.below(&["lease"])]).await?;
        }
        Ok(())
    }

    async fn put(&self, now_ms: i64) -> Result<()> {
        let text = self.holder.to_json(self.epoch, now_ms).to_string();
        self.objects.overwrite(&self.objects.below(&["lease"]), text.into()).await
    }

    async fn read(&self) -> Result<Option<Value>> {
        let found = self.objects.find(&self.objects.below(&["lease"])).await?;
        // One that cannot be read is no lease.
        Ok(found.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    async fn wait_for_others(&self, now_ms: i64, storage: &str, time: Duration) -> Result<()> {
        let Some(first) = self.read().await? else { return Ok(()) };
        let refused = |held: &Value| {
            let text = |key: &str| held[key].as_str().unwrap_or("?").to_string();
            let holder = format!("process {} on {}", held["pid"], text("host"));
            taken(self.objects.node(), storage, &holder)
        };
        let stale = now_ms - first["renewed_ms"].as_i64().unwrap_or(0) > LEASE.as_millis() as i64;
        match Holder::from_json(&first).map_or(Life::Dead, |holder| holder.life(&self.holder)) {
            Life::Dead => return Ok(()),
            // One clock for both. A process that lives and does not renew is stopped, and the epoch keeps it out.
            Life::Alive if stale => return Ok(()),
            Life::Alive => return Err(refused(&first)),
            Life::Unknown => {}
        }
        tracing::info!(
            holder = %first["host"], "the node has the lease of a process elsewhere; waiting {time:?} for a sign of life"
        );
        for _ in 0..LOOKS {
            tokio::time::sleep(time / LOOKS).await;
            match self.read().await? {
                None => return Ok(()),
                Some(now) if now != first => return Err(refused(&now)),
                Some(_) => {}
            }
        }
        Ok(())
    }
}

impl Holder {
    fn me(writer: u64) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_string();
        let pid = u64::from(std::process::id());
        Self {
            writer: format!("{writer:016x}"),
            host: read("/proc/sys/kernel/hostname"),
            boot: read("/proc/sys/kernel/random/boot_id"),
            namespace: std::fs::read_link("/proc/self/ns/pid")
                .map(|link| link.display().to_string())
                .unwrap_or_default(),
            pid,
            started: started(pid).unwrap_or(0),
        }
    }

    fn to_json(&self, epoch: u64, now_ms: i64) -> Value {
        json!({
            "epoch": epoch, "renewed_ms": now_ms, "writer": self.writer, "host": self.host, "boot": self.boot,
            "namespace": self.namespace, "pid": self.pid, "started": self.started,
        })
    }

    fn from_json(lease: &Value) -> Option<Self> {
        let text = |key: &str| lease[key].as_str().map(str::to_string);
        Some(Self {
            writer: text("writer")?,
            host: text("host")?,
            boot: text("boot")?,
            namespace: text("namespace")?,
            pid: lease["pid"].as_u64()?,
            started: lease["started"].as_u64()?,
        })
    }

    /// Whether this process still lives, as seen by another one.
    fn life(&self, observer: &Holder) -> Life {
        let known = !self.boot.is_empty() && !self.namespace.is_empty();
        if !known || (&self.boot, &self.namespace) != (&observer.boot, &observer.namespace) {
            return Life::Unknown;
        }
        match started(self.pid) {
            Some(started) if started == self.started => Life::Alive,
            _ => Life::Dead,
        }
    }
}

/// When a process started; `None` for one that does not exist, or has ended and was not collected yet.
fn started(pid: u64) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    match *fields.first()? {
        "Z" | "X" => None,
        _ => fields.get(19)?.parse().ok(),
    }
}

#[cfg(test)]
mod tests;

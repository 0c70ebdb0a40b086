//! `meta.json` of a block: what it is, when it is of, and what made it. Thanos writes a section of its own.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Context, Error, ErrorKind, Result};

/// Of a file that has some hundred bytes; a block compacted from many lists them all.
const MAX_BYTES: u64 = 16 << 20;

/// See the module. Times are milliseconds; the end is not part of the block.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    pub ulid: String,
    #[serde(rename = "minTime")]
    pub min_time: i64,
    #[serde(rename = "maxTime")]
    pub max_time: i64,
    #[serde(default)]
    pub stats: Stats,
    #[serde(default)]
    pub compaction: Compaction,
    pub version: i64,
    #[serde(default)]
    pub thanos: Thanos,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    pub num_samples: u64,
    pub num_series: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// Nothing in it is wanted any more.
    pub deletable: bool,
    /// The blocks this one was made from, which it replaces.
    pub parents: Vec<Parent>,
    pub hints: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Parent {
    pub ulid: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Thanos {
    /// External labels of the Prometheus it is from; its series do not have them.
    pub labels: BTreeMap<String, String>,
    pub downsample: Downsample,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Downsample {
    /// Milliseconds between the aggregates of a downsampled block; 0 for samples as they were.
    pub resolution: i64,
}

impl Meta {
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("meta.json");
        let failed = || format!("cannot read {}", path.display());
        let len = std::fs::metadata(&path).context(ErrorKind::BadInput, failed)?.len();
        if len > MAX_BYTES {
            return Err(Error::bad_input(format!("{} has {len} bytes, more than {MAX_BYTES}", path.display())));
        }
        let text = std::fs::read(&path).context(ErrorKind::BadInput, failed)?;
        let meta: Meta = serde_json::from_slice(&text)
            .context(ErrorKind::BadInput, || format!("{} is not that of a block", path.display()))?;
        if meta.version != 1 {
            return Err(Error::unsupported(format!(
                "{} has version {}, which this promlake does not know",
                path.display(),
                meta.version
            )));
        }
        Ok(meta)
    }

    /// Whether its end says how far the head had been written to blocks, which those of late and of chosen samples do
    /// not.
    pub fn is_in_order(&self) -> bool {
        let other = ["from-out-of-order", "from-stale-series", "from-selected-series"];
        !self.compaction.hints.iter().any(|hint| other.contains(&hint.as_str()))
    }
}

//! Where the lake is: what a storage URL names, and which folder below a folder that may be a Prometheus' own. Decided
//! once, at the start, by looking; nothing is made or changed here.

use std::io;
use std::path::{Path, PathBuf};

use url::Url;

use crate::error::{Context, Error, ErrorKind, Result};

/// The folder of the lake below that of a TSDB.
const BELOW: &str = "promlake";
/// Folders and files of a TSDB; beside those named by ULIDs, which are its blocks.
const TSDB_NAMES: &[&str] = &["wal", "chunks_head", "queries.active"];

/// What a storage URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    Folder(PathBuf),
    /// `s3://bucket/prefix`, parsed and not yet checked.
    Bucket(Url),
    Memory,
}

/// Where the lake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// A storage URL.
    pub url: String,
    /// The same if it is a folder.
    pub folder: Option<PathBuf>,
    pub found: Found,
}

/// What was in the folder that was named, if it is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// The TSDB of a Prometheus, which stays as it is.
    Tsdb(PathBuf),
    /// A lake from when `--storage.tsdb.path` meant the folder itself.
    EarlierLake(PathBuf),
}

impl Place {
    /// Of `--storage.url`: what it names, save that a lake is never laid into a TSDB but below it, where it is then
    /// looked for ever after.
    pub fn of_url(text: &str) -> Result<Self> {
        let Location::Folder(folder) = location(text)? else {
            return Ok(Self { url: text.to_string(), folder: None, found: Found::Nothing });
        };
        let (tsdb, below) = (is_tsdb(&folder)?, folder.join(BELOW));
        if !is_lake(&folder) && (tsdb || is_lake(&below)) {
            return Self::of_folder(below, if tsdb { Found::Tsdb(folder) } else { Found::Nothing });
        }
        Ok(Self { url: text.to_string(), folder: Some(folder), found: Found::Nothing })
    }

    /// Of `--storage.tsdb.path`: a folder of our own below it, whatever lies in it, save for a lake.
    pub fn of_tsdb_path(text: &str) -> Result<Self> {
        let folder = plain_folder(text, "--storage.tsdb.path", ": use --storage.url for a bucket")?;
        let (tsdb, below) = (is_tsdb(&folder)?, folder.join(BELOW));
        match (is_lake(&folder), is_lake(&below)) {
            (true, true) => Err(Error::bad_input(format!(
                "--storage.tsdb.path={text}: there is a lake in {} and one in {}; name the one to use with --storage.url",
                folder.display(),
                below.display()
            ))),
            (true, false) => Self::of_folder(folder.clone(), Found::EarlierLake(folder)),
            (false, _) => Self::of_folder(below, if tsdb { Found::Tsdb(folder) } else { Found::Nothing }),
        }
    }

    /// Of `--storage.agent.path`: a folder of our own below it, whatever lies in it.
    pub fn of_agent_path(text: &str) -> Result<Self> {
        let folder = plain_folder(text, "--storage.agent.path", "")?;
        let found = if is_tsdb(&folder)? { Found::Tsdb(folder.clone()) } else { Found::Nothing };
        Self::of_folder(folder.join(BELOW), found)
    }

    fn of_folder(folder: PathBuf, found: Found) -> Result<Self> {
        let url = folder.to_str().map(str::to_string);
        let url = url.ok_or_else(|| Error::bad_input(format!("storage folder {folder:?} is not UTF-8")))?;
        Ok(Self { url, folder: Some(folder), found })
    }

    /// Tells what was found, once at the start.
    pub fn announce(&self) {
        match &self.found {
            Found::Nothing => {}
            Found::Tsdb(folder) => tracing::info!(
                tsdb = %folder.display(),
                lake = %self.url,
                "there is a Prometheus TSDB, which is left as it is; the lake is in a folder of its own below it. \
                 `promlake import tsdb` brings its history there"
            ),
            Found::EarlierLake(folder) => tracing::info!(
                lake = %folder.display(),
                "the folder of --storage.tsdb.path is a lake of an earlier version itself, which goes on being used; \
                 a new one would be in {BELOW}/ below it"
            ),
        }
    }
}

/// The folder that a flag names, which no URL does.
fn plain_folder(text: &str, flag: &str, instead: &str) -> Result<PathBuf> {
    match location(text).map_err(|e| named(flag, e))? {
        Location::Folder(folder) if !text.contains("://") => Ok(folder),
        _ => Err(Error::bad_input(format!("{flag} names a folder, not a URL{instead}"))),
    }
}

/// A lake has its tables from its first start on.
fn is_lake(folder: &Path) -> bool {
    folder.join("samples/_delta_log").is_dir() || folder.join("_wal").is_dir()
}

/// What is no folder holds no TSDB; what is wrong with it is told by who makes the lake.
fn is_tsdb(folder: &Path) -> Result<bool> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(false),
        Err(e) => {
            let failed = || format!("storage folder {} cannot be listed", folder.display());
            return Err(e).context(ErrorKind::Unavailable, failed);
        }
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.into_iter().any(|name| TSDB_NAMES.contains(&name.as_str()) || is_ulid(&name)))
}

/// 26 digits of Crockford's base 32.
pub fn is_ulid(name: &str) -> bool {
    name.len() == 26
        && name.bytes().all(|b| b.is_ascii_digit() || (b.is_ascii_uppercase() && !b"ILOU".contains(&b)))
}

fn named(flag: &str, error: Error) -> Error {
    let message = error.message.replacen("storage url", flag, 1);
    Error { message, ..error }
}

/// Tells a path from a URL, and refuses what is neither: a folder named `s3:` or `~` is never what was meant, and would
/// be noticed only when the data is looked for elsewhere.
pub fn location(text: &str) -> Result<Location> {
    if text.is_empty() {
        return Err(Error::bad_input("storage url is empty"));
    }
    if text.trim() != text {
        return Err(Error::bad_input("storage url has a space or a line end around it"));
    }
    let Some((scheme, rest)) = text.split_once("://") else { return path(text).map(Location::Folder) };
    // Schemes are the same in any case (RFC 3986, 3.1).
    match scheme.to_ascii_lowercase().as_str() {
        "file" => file(text).map(Location::Folder),
        "memory" if matches!(rest, "" | "/") => Ok(Location::Memory),
        "memory" => Err(Error::bad_input("storage url memory:// takes nothing behind it")),
        "s3" => parse_url(text).map(Location::Bucket),
        "s3a" | "s3n" => Err(Error::bad_input("storage url of a bucket is s3://bucket/prefix")),
        // What is behind it may hold credentials and is not repeated.
        "http" | "https" => Err(Error::bad_input(
            "storage url is a web address; name the bucket as s3://bucket/prefix, and its server in AWS_ENDPOINT_URL",
        )),
        _ if scheme.contains(['/', ':']) => path(text).map(Location::Folder),
        scheme => Err(Error::unsupported(format!(
            "storage url scheme {scheme:?} (supported: a path, file://, s3://, memory://)"
        ))),
    }
}

fn file(text: &str) -> Result<PathBuf> {
    let url = parse_url(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::bad_input("storage url of a folder has a query or a fragment; write the path"));
    }
    url.to_file_path().map_err(|()| Error::bad_input(format!("storage url {text:?} names no absolute path")))
}

/// The path of a folder, unless it looks like a URL with something missing, or like what a shell would have replaced.
fn path(text: &str) -> Result<PathBuf> {
    let first = text.split(['/', '\\']).next().unwrap_or_default();
    // Not more of it: there may be credentials behind it.
    let (start, has_colon) = first.split_once(':').map_or((first, false), |(start, _)| (start, true));
    let schemes = ["s3", "s3a", "file", "memory", "http", "https"];
    let without_colon =
        schemes.iter().any(|name| name.eq_ignore_ascii_case(start)) && text[first.len()..].starts_with("//");
    if has_colon || without_colon {
        return Err(Error::bad_input(format!(
            "storage url starts with {:?}, which is neither a path nor a URL: a bucket is s3://bucket/prefix, a folder a \
             path or file:///srv/data, and one with such a name ./{start}…",
            format!("{start}{}", if has_colon { ":" } else { "//" }),
        )));
    }
    if first.starts_with(['~', '$']) {
        return Err(Error::bad_input(format!(
            "storage url starts with {first:?}, which a shell would have replaced and none did: write the whole path, or \
             ./{first} for a folder of that name"
        )));
    }
    Ok(PathBuf::from(text))
}

pub(super) fn parse_url(url: &str) -> Result<Url> {
    // The text is not repeated: it may hold credentials.
    Url::parse(url).context(ErrorKind::BadInput, || "storage url cannot be parsed".to_string())
}

#[cfg(test)]
mod tests;

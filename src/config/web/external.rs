//! `promlake.external_tables`: files with business data that SQL reads as tables, all below `promlake.external_locations`. A
//! statement never names a file.

use std::path::{Component, Path, PathBuf};

use url::Url;

use crate::config::http::line_of;
use crate::config::mistake::Found;
use crate::config::schema::{Kind, Schema, field};
use crate::config::values;
use crate::config::yaml::Node;

pub(super) static TABLE: Kind = Kind::Section(&OF_TABLE);

static OF_TABLE: Schema = Schema {
    name: "an external table",
    fields: &[&[field("name", Kind::Text), field("format", Kind::Text), field("location", Kind::Text)]],
};

/// Tables at most: each is in the catalog of every session.
const MAX_TABLES: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalTable {
    /// In lower case, as SQL folds names.
    pub name: String,
    pub format: Format,
    /// Which of the locations it lies below, and where there: parts of a path without `..`.
    pub root: Root,
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Parquet,
    /// With a line of names.
    Csv,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// Absolute.
    Folder(PathBuf),
    /// `s3://bucket/prefix`
    Bucket(String),
}

/// What the file has of them, none where it has none.
pub(super) fn read(section: &Node, directory: &Path, found: &Found) -> Vec<ExternalTable> {
    let items = |key: &str| section.get(key).map(Node::items).unwrap_or_default();
    let mut roots = vec![];
    for node in items("external_locations") {
        match node.text().map(|text| root(text, directory)) {
            Some(Ok(root)) => roots.push(root),
            Some(Err(message)) => found.add(node.line, "promlake.external_locations", message),
            None => {}
        }
    }
    let mut tables: Vec<ExternalTable> = vec![];
    for node in items("external_tables") {
        let Some(table) = table(node, &roots, directory, found) else { continue };
        let add = |message: String| found.add(line_of(node, "name"), "promlake.external_tables", message);
        match tables.iter().any(|other| other.name == table.name) {
            true => add(format!("the table {:?} is there twice", table.name)),
            false if tables.len() >= MAX_TABLES => add(format!("there are more than {MAX_TABLES} tables")),
            false => tables.push(table),
        }
    }
    tables
}

fn table(node: &Node, roots: &[Root], directory: &Path, found: &Found) -> Option<ExternalTable> {
    let add = |key: &str, message: String| {
        found.add(line_of(node, key), "promlake.external_tables", message);
    };
    let keys = ["name", "format", "location"];
    for key in keys.into_iter().filter(|key| values::text(node, key).is_none()) {
        add(key, format!("an external table needs its {key}"));
    }
    let [name, format, location] = keys.map(|key| values::text(node, key));
    let (name, format, location) = (name?, format?, location?);
    let is_name = |text: &str| {
        let letter = |c: char| c.is_ascii_lowercase() || c == '_';
        text.len() < 64 && text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
    };
    if !is_name(name) {
        add("name", format!("{name:?} is no name of small letters, digits and underscores"));
        return None;
    }
    let format = match format {
        "parquet" => Format::Parquet,
        "csv" => Format::Csv,
        "delta" => {
            add("format", "delta is not supported: name a file of parquet or csv".to_string());
            return None;
        }
        other => {
            add("format", format!("{other:?} is none of parquet and csv"));
            return None;
        }
    };
    match below(location, roots, directory) {
        Ok((root, path)) => Some(ExternalTable { name: name.to_string(), format, root, path }),
        Err(message) => {
            add("location", message);
            None
        }
    }
}

fn root(text: &str, directory: &Path) -> Result<Root, String> {
    if text.starts_with("s3://") {
        let (bucket, path) = bucket(text)?;
        return Ok(Root::Bucket(format!("s3://{bucket}/{path}").trim_end_matches('/').to_string()));
    }
    if text.contains("://") {
        return Err(format!("{text:?} is neither a folder nor s3://bucket/prefix"));
    }
    let path = directory.join(text);
    let path = std::path::absolute(&path).map_err(|_| format!("{text:?} is no folder"))?;
    match plain(&path) && path.parent().is_some() {
        true => Ok(Root::Folder(path)),
        false => Err(format!("{text:?} has to name a folder, below that of everything, without ..")),
    }
}

/// Which root a location is below, and where.
fn below(text: &str, roots: &[Root], directory: &Path) -> Result<(Root, String), String> {
    let outside = || format!("{text:?} is below none of external_locations");
    if text.starts_with("s3://") {
        let (bucket, path) = bucket(text)?;
        let whole = format!("s3://{bucket}/{path}");
        let found = roots.iter().find_map(|root| match root {
            Root::Bucket(prefix) => whole.strip_prefix(prefix.as_str())?.strip_prefix('/').map(|rest| (root, rest)),
            Root::Folder(_) => None,
        });
        let (root, rest) =
            found.filter(|(_, rest)| !rest.is_empty() && !rest.ends_with('/')).ok_or_else(outside)?;
        return Ok((root.clone(), rest.to_string()));
    }
    let path = std::path::absolute(directory.join(text)).map_err(|_| outside())?;
    if !plain(&path) {
        return Err(format!("{text:?} has a part .., which no location may have"));
    }
    let found = roots.iter().find_map(|root| match root {
        Root::Folder(folder) => path.strip_prefix(folder).ok().map(|rest| (root, rest)),
        Root::Bucket(_) => None,
    });
    let (root, rest) = found.filter(|(_, rest)| rest.file_name().is_some()).ok_or_else(outside)?;
    let rest = rest.to_str().ok_or_else(|| format!("{text:?} is no UTF-8"))?;
    Ok((root.clone(), rest.to_string()))
}

/// Bucket and path of a URL that has nothing else.
fn bucket(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("{text:?} is no s3://bucket/path without credentials, .. and escapes");
    let url = Url::parse(text).map_err(|_| wrong())?;
    let whole = format!("s3://{}{}", url.host_str().unwrap_or_default(), url.path());
    // What a URL's parser would have changed could mean something else.
    let same = whole.trim_end_matches('/') == text.trim_end_matches('/');
    let host = url.host_str().filter(|host| !host.is_empty() && same).ok_or_else(wrong)?;
    Ok((host.to_string(), url.path().trim_matches('/').to_string()))
}

fn plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::RootDir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::web::WebConfig;

    fn parse(text: &str) -> Result<Vec<ExternalTable>, String> {
        let read = WebConfig::parse(&format!("promlake:\n{text}"), Path::new("/etc/x"), &mut |_| vec![]);
        read.map(|config| config.external).map_err(|mistakes| mistakes.shown("w.yml"))
    }

    #[test]
    fn tables_below_their_locations() {
        let text = "  external_locations: [data, /srv/business, s3://lake/shared]\n  external_tables:\n  \
                    - {name: teams, format: csv, location: data/teams.csv}\n  \
                    - {name: costs, format: parquet, location: /srv/business/2026/costs.parquet}\n  \
                    - {name: prices, format: parquet, location: s3://lake/shared/prices.parquet}\n";
        let tables = parse(text).unwrap();
        let folder = |path: &str| Root::Folder(PathBuf::from(path));
        let of = |name: &str, format, root, path: &str| ExternalTable {
            name: name.to_string(),
            format,
            root,
            path: path.to_string(),
        };
        let expected = [
            of("teams", Format::Csv, folder("/etc/x/data"), "teams.csv"),
            of("costs", Format::Parquet, folder("/srv/business"), "2026/costs.parquet"),
            of("prices", Format::Parquet, Root::Bucket("s3://lake/shared".to_string()), "prices.parquet"),
        ];
        assert_eq!(tables, expected);
        assert_eq!(parse("  roles:\n").unwrap(), []);
    }

    #[test]
    fn what_is_refused() {
        let check = |table: &str, expected: &str| {
            let roots = "  external_locations: [/srv/business, s3://lake/shared]\n";
            let told = parse(&format!("{roots}  external_tables:\n  - {{{table}}}\n")).err().unwrap_or_default();
            assert!(told.contains(expected), "{table}: {told}");
        };
        let csv = |location: &str| format!("name: t, format: csv, location: {location}");
        check("format: csv, location: /srv/business/t.csv", "an external table needs its name");
        check("name: t, location: /srv/business/t.csv", "an external table needs its format");
        check("name: t, format: csv", "an external table needs its location");
        check("name: T, format: csv, location: /srv/business/t.csv", "\"T\" is no name");
        check("name: t, format: delta, location: /srv/business/t", "delta is not supported");
        check("name: t, format: xls, location: /srv/business/t", "\"xls\" is none of");
        for outside in [
            "/etc/passwd",
            "/srv/business",
            "/srv/business2/t.csv",
            "/srv/business/../../etc/passwd",
            "../../srv/business/../x",
            "s3://lake/other/t.csv",
            "s3://lake/shared",
            "s3://lake/sharedt.csv",
            "s3://lake/shared/../other/t.csv",
            "s3://lake/shared/%2e%2e/other/t.csv",
            "s3://key:secret@lake/shared/t.csv",
            "s3://lake/shared/t.csv?x=1",
        ] {
            check(&csv(outside), "promlake.external_tables");
        }
        for location in ["/", "http://x/y", "a/../../..", "s3://"] {
            let told = parse(&format!("  external_locations: ['{location}']\n")).err().unwrap_or_default();
            assert!(told.contains("promlake.external_locations"), "{location}: {told}");
        }
    }
}

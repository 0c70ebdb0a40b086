//! The shape of the source: imports point down, siblings do not know each other, a foreign crate stays behind its
//! fence, files do not use each other in circles, the clock is read in one place, every PromQL function stands in its two
//! rows, and every SQL file is used by somebody. See `src/README.md`.
//!
//! The rules are data, and the checker is a function of a path and a text, so that it is tested as well.

/// Files that use each other.
mod circles;
/// Reading Rust.
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use promlake::promql::functions::{FUNCTIONS, Function};
use source::{masked, paths, without_tests};

/// Modules and their height. A module may use what is lower; of equal height only itself.
const LAYERS: &[(&str, u32)] = &[
    ("error", 0),
    ("fuzzing", 1),
    ("model", 1),
    ("promql", 2),
    ("template", 2),
    ("config", 3),
    ("telemetry", 4),
    ("client", 10),
    ("traces", 11),
    ("storage/deleted", 39),
    ("storage/types", 40),
    ("storage/scaled", 40),
    ("storage/place", 40),
    ("storage/object", 41),
    ("storage/runs", 41),
    ("storage/wal", 42),
    ("storage/head", 42),
    ("storage/index", 42),
    ("storage/lake", 42),
    ("storage/store", 43),
    ("storage", 43),
    ("discovery", 45),
    ("engine/promql/annotations", 46),
    ("engine/promql/kernel", 47),
    ("engine", 50),
    ("ingest", 50),
    ("past", 55),
    ("rules", 60),
    ("forward", 60),
    ("notify", 60),
    ("server/access", 65),
    ("server/http", 70),
    ("server/pg", 70),
    ("server", 71),
    ("app", 80),
    ("cli", 90),
    ("lib", 100),
    ("main", 110),
];

/// Modules that may use only parts of a lower one. Kernels compute with numbers: of the language they know words, not trees.
const NARROW: &[(&str, &str, &[&str])] = &[(
    "engine/promql/kernel",
    "promql",
    &["promql/functions", "promql/operators", "promql/span", "promql/value_type"],
)];

/// Crates and the folders or files below `src` that may name them.
const FENCES: &[(&str, &[&str])] = &[
    ("datafusion", &["engine/", "server/pg/"]),
    ("arrow", &["engine/", "server/pg/", "storage/lake", "storage/wal"]),
    ("deltalake", &["storage/lake"]),
    ("deltalake_core", &["storage/lake"]),
    ("object_store", &["storage/", "engine/"]),
    ("parquet", &["storage/lake", "engine/scan/"]),
    // The shop of the demo is a server of its own.
    ("axum", &["server/http/", "cli/demo/shop.rs"]),
    ("hyper", &["server/http/", "client/error.rs", "client/mod.rs"]),
    ("hyper_util", &["server/http/"]),
    ("tower_http", &["server/http/"]),
    ("pgwire", &["server/pg/"]),
    ("bcrypt", &["server/access/"]),
    ("tokio_rustls", &["client/", "server/access/", "server/pg/transport.rs"]),
    ("clap", &["cli"]),
    ("prost", &["ingest/", "traces/"]),
    ("opentelemetry", &["telemetry/spans.rs", "traces/"]),
    ("opentelemetry_sdk", &["telemetry/spans.rs", "traces/"]),
    ("reqwest", &["client/", "storage/lake/tests.rs"]),
    ("rustls", &["client/", "server/", "app/mod.rs", "storage/lake/tests.rs"]),
    ("jsonwebtoken", &["client/"]),
    ("hickory_resolver", &["discovery/kinds/dns"]),
    ("quick_xml", &["discovery/xml.rs"]),
    ("aws_lc_rs", &["discovery/kinds/aws/", "client/", "server/access/", "server/http/routes/rules.rs"]),
    ("libyaml_safer", &["config/yaml.rs", "config/yaml/print.rs"]),
    ("serde_yaml", &["config/", "ingest/scrape/manager.rs", "server/http/openapi"]),
    ("md5", &["model/relabel.rs"]),
    ("tikv_jemallocator", &["main.rs"]),
];

/// Texts that read the wall clock, and the file that may.
const CLOCK: (&[&str], &str) = (&["SystemTime::now", "Utc::now", "Local::now"], "app/mod.rs");

/// What panics when its reader is gone, and the room that has its own way to print.
const PRINTS: (&[&str], &str) = (&["println!(", "print!("], "cli");

/// The only file that may name a PromQL function, and words in others that happen to be the name of one.
const SIGNATURES: &str = "promql/functions.rs";
/// The only other file that may tell functions apart, by their ids.
const COMPUTED: &str = "engine/promql/kernel/functions.rs";
const HOMONYMS: &[(&str, &[&str], &str)] = &[
    ("engine/promql/annotations.rs", &["info"], "a level of annotations"),
    (
        "promql/json.rs",
        &["end", "max_of", "min_of", "range", "start", "step", "timestamp"],
        "keys and values of the API",
    ),
    ("promql/parse/selectors.rs", &["timestamp"], "what is expected behind @"),
    (
        "promql/parse/token.rs",
        &["end", "max_of", "min_of", "range", "start", "step"],
        "words behind @ and in durations, too",
    ),
    ("promql/value_type.rs", &["scalar", "vector"], "types of values"),
];

#[test]
fn a_function_is_named_only_in_its_rows() {
    let root = src();
    let mut found = Vec::new();
    for file in ["promql", "engine/promql"].iter().flat_map(|room| files(&root.join(room), "rs")) {
        let path = file.strip_prefix(&root).expect("below the root").to_str().expect("UTF-8").to_string();
        found.extend(strays(&path, &fs::read_to_string(&file).expect("readable"), FUNCTIONS.iter()));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// The functions a file names that it should not know, and homonyms it does not have.
fn strays<'a>(path: &str, source: &str, functions: impl Iterator<Item = &'a Function>) -> Vec<String> {
    if path == SIGNATURES || path.ends_with("/tests.rs") {
        return vec![];
    }
    let (text, code) = without_tests(source);
    let homonyms = HOMONYMS.iter().find(|(file, ..)| *file == path).map_or(&[][..], |(_, words, _)| words);
    let is_named = |name: &str| text.contains(&format!("\"{name}\""));
    let ids: Vec<String> = paths(&code, |word| word == "Id").into_iter().map(|(_, id)| id).collect();
    let is_told_apart = |function: &Function| path != COMPUTED && ids.contains(&format!("{:?}", function.id));
    let strays = functions
        .filter(|f| is_told_apart(f) || (is_named(f.name) && !homonyms.contains(&f.name)))
        .map(|f| format!("{path}: the function {} is known only to {SIGNATURES} and {COMPUTED}", f.name));
    let gone = homonyms.iter().filter(|word| !is_named(word));
    strays.chain(gone.map(|word| format!("{path}: does not have the word {word}, take it off the list"))).collect()
}

#[test]
fn imports_point_down_and_stay_within_fences() {
    let root = src();
    let mut found = Vec::new();
    for file in files(&root, "rs") {
        let path = file.strip_prefix(&root).expect("below the root").to_str().expect("UTF-8").to_string();
        found.extend(violations(&path, &fs::read_to_string(&file).expect("readable")));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_sql_file_is_used() {
    let repository = repository();
    let readme = repository.join("README.md");
    let sources: String = ["src", "tests", "benches"]
        .iter()
        .flat_map(|dir| files(&repository.join(dir), "rs"))
        .chain([readme])
        .map(|file| fs::read_to_string(file).expect("readable"))
        .collect();
    let sql: Vec<PathBuf> =
        ["sql", "migrations"].iter().flat_map(|dir| files(&repository.join(dir), "sql")).collect();
    let unused: Vec<&PathBuf> = sql.iter().filter(|file| !is_named(file, &sources)).collect();
    assert!(unused.is_empty(), "nobody names {unused:?}");
}

/// A file counts as used when its name occurs in the source, as in `include_str!`.
///
/// Views are named in a list without their ending.
fn is_named(file: &Path, sources: &str) -> bool {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if file.parent().is_some_and(|folder| folder.ends_with("sql/views")) {
        return list_of_views(sources).contains(&format!("\"{stem}\""));
    }
    file.file_name().and_then(|name| name.to_str()).is_some_and(|name| sources.contains(name))
}

/// The names within `views![…]`.
fn list_of_views(sources: &str) -> &str {
    let list = sources.split_once("VIEWS: &[View] = views![").map_or("", |(_, rest)| rest);
    list.split(']').next().unwrap_or_default()
}

/// What is wrong with one file; `path` is relative to `src`.
fn violations(path: &str, source: &str) -> Vec<String> {
    let code = masked(source);
    let mut found = Vec::new();
    let (own_layer, own_height) = layer_of(path.trim_end_matches(".rs")).unwrap_or(("unknown", 0));
    if own_layer == "unknown" {
        found.push(format!("{path}: belongs to no layer"));
    }
    for (_, target) in paths(&code, |word| word == "crate") {
        let Some((layer, height)) = layer_of(&target) else {
            found.push(format!("{path}: crate::{target} belongs to no layer"));
            continue;
        };
        if layer != own_layer && height >= own_height {
            found.push(format!("{path}: {own_layer} must not use {layer} (crate::{target})"));
        }
        for (_, room, parts) in NARROW.iter().filter(|(narrow, ..)| *narrow == own_layer) {
            if is_within(&target, room) && !parts.iter().any(|part| is_within(&target, part)) {
                found.push(format!("{path}: of {room} only {} may be used, not crate::{target}", parts.join(", ")));
            }
        }
    }
    for (name, allowed) in FENCES {
        if names_crate(&code, name) && !allowed.iter().any(|prefix| path.starts_with(prefix)) {
            found.push(format!("{path}: the crate {name} may be used only in {}", allowed.join(", ")));
        }
    }
    let (clocks, reader) = CLOCK;
    for clock in clocks.iter().filter(|clock| path != reader && code.contains(**clock)) {
        found.push(format!("{path}: {clock}: the clock is read only in {reader} and passed down"));
    }
    let (prints, room) = PRINTS;
    for print in prints.iter().filter(|print| path.starts_with(room) && code.contains(**print)) {
        found.push(format!(
            "{path}: {print}…): texts are printed by cli/print.rs, which a closed pipe does not make panic"
        ));
    }
    found
}

/// The innermost layer of a module path like `storage/lake/files`.
fn layer_of(module: &str) -> Option<(&'static str, u32)> {
    LAYERS.iter().filter(|(layer, _)| is_within(module, layer)).max_by_key(|(layer, _)| layer.len()).copied()
}

fn is_within(module: &str, room: &str) -> bool {
    module.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether the code has `name::` as the first part of a path, or `use name;`.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].trim_end_matches(' ').chars().next_back();
        let starts = !code[..at].ends_with("::")
            && !code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let rest = &code[at + name.len()..];
        starts
            && before != Some('.')
            && (rest.starts_with("::") || (code[..at].ends_with("use ") && rest.starts_with(';')))
    })
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            out.push(path);
        }
    }
    out.sort();
    out
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn src() -> PathBuf {
    repository().join("src")
}

/// The checker finds what it should, and only that.
#[test]
fn the_checker_can_fail() {
    let check = |path: &str, source: &str, expected: Option<&str>| {
        let found = violations(path, source);
        match expected {
            None => assert!(found.is_empty(), "{path} {source:?}: {found:?}"),
            Some(part) => assert!(found.iter().any(|f| f.contains(part)), "{path} {source:?}: {found:?}"),
        }
    };
    check("engine/session.rs", "use crate::storage::store::Store;", None);
    check("engine/session.rs", "use crate::ingest::appender::Appender;", Some("engine must not use ingest"));
    check("ingest/appender.rs", "use crate::engine::session::Engine;", Some("ingest must not use engine"));
    check("storage/store.rs", "use crate::engine::session::Engine;", Some("storage/store must not use engine"));
    check("storage/store.rs", "use crate::storage::{head::Head, wal::Log};", None);
    check("storage/lake/mod.rs", "use crate::storage::head::Head;", Some("must not use storage/head"));
    check(
        "storage/lake/mod.rs",
        "use crate::storage::{types::Run, store::Store};",
        Some("must not use storage/store"),
    );
    check("server/http/json.rs", "use crate::server::pg::serve;", Some("must not use server/pg"));
    check("server/http/json.rs", "fn f() { crate::app::run() }", Some("must not use app"));
    check("server/http/json.rs", "// crate::app is above\nconst S: &str = \"crate::app\";", None);
    check("model/labels.rs", "use crate::{\n    error::Error,\n    config::file,\n};", Some("must not use config"));
    check("model/labels.rs", "use crate::error::{Error as E, Result};\nuse std::fmt;", None);
    check("model/labels.rs", "use crate::model::labels as l;", None);
    check("engine/promql/kernel/rate.rs", "use crate::promql::operators::BinaryOp;", None);
    check("engine/promql/kernel/rate.rs", "use crate::promql::{ast::Expr, span::Span};", Some("of promql only"));
    check("engine/promql/kernel/rate.rs", "use crate::engine::promql::lower;", Some("must not use engine"));
    check("engine/promql/lower/mod.rs", "use crate::engine::promql::kernel::rate;", None);
    check("promql/ast.rs", "use crate::engine::promql::kernel::rate;", Some("promql must not use"));
    check("promql/ast.rs", "use arrow::array::Array;", Some("the crate arrow"));
    check("config/rules.rs", "use crate::promql::parse;", None);
    check("misc/x.rs", "", Some("belongs to no layer"));
    check("model/x.rs", "use crate::misc::x;", Some("belongs to no layer"));
    check("storage/head/mod.rs", "use datafusion::prelude::*;", Some("the crate datafusion"));
    check("storage/head/mod.rs", "fn f(x: datafusion::Error) {}", Some("the crate datafusion"));
    check("engine/scan/mod.rs", "use datafusion::prelude::*;", None);
    check("server/pg/mod.rs", "use crate::server::pg::errors::datafusion;\nlet e = errors::datafusion(e);", None);
    check("storage/wal/mod.rs", "use deltalake::DeltaTable;", Some("the crate deltalake"));
    check("app/mod.rs", "use axum::Router;", Some("the crate axum"));
    check("app/serve.rs", "let now = SystemTime::now();", Some("the clock"));
    check("app/mod.rs", "let now = SystemTime::now();", None);
    check("engine/session.rs", "let now = chrono::Utc::now();", Some("the clock"));
    check("cli/query.rs", "fn f() { eprintln!(\"x\"); }", Some("cli/print.rs"));
    check("cli/query.rs", "fn f() { outln!(\"println!(\"); }", None);
}

#[test]
fn functions_outside_of_their_rows_are_found() {
    let check = |path: &str, source: &str, expected: &[&str]| {
        let functions = FUNCTIONS.iter().filter(|f| ["info", "rate"].contains(&f.name));
        let found = strays(path, source, functions);
        assert_eq!(found.len(), expected.len(), "{path} {source:?}: {found:?}");
        assert!(found.iter().zip(expected).all(|(found, part)| found.contains(part)), "{found:?}");
    };
    check("engine/promql/lower/calls.rs", r#"match name { "rate" => 1, "rated" => 2 }"#, &["function rate is"]);
    check("engine/promql/lower/calls.rs", "match id { Id::Rate => 1, Id::Rated => 2 }", &["function rate is"]);
    check("engine/promql/lower/calls.rs", "match id { functions::Id::Info => 1 }", &[]);
    check("promql/parse/checks.rs", "if function.id == Id::Info {}", &["function info is"]);
    check(
        "engine/promql/lower/calls.rs",
        "fn rate() {}\n#[cfg(test)] mod tests { const N: &str = \"rate\"; }",
        &[],
    );
    check(
        "engine/promql/lower/mod.rs",
        "#[cfg(test)]\nmod tests;\nconst N: &str = \"rate\";",
        &["function rate is"],
    );
    check("engine/promql/kernel/tests.rs", r#"check("rate")"#, &[]);
    check(SIGNATURES, r#"Rate "rate" [Matrix]"#, &[]);
    check(COMPUTED, "match id { Id::Rate => 1 }", &[]);
    check(COMPUTED, r#"match name { "rate" => 1 }"#, &["function rate is"]);
    check("engine/promql/annotations.rs", r#"Level::Info => "info""#, &[]);
    check("engine/promql/annotations.rs", r#"if name == "rate""#, &["function rate is", "word info"]);
}

#[test]
fn sql_files_are_found_by_name() {
    let source = r#"include_str!("../migrations/0001_create_samples.sql")"#;
    assert!(is_named(Path::new("migrations/0001_create_samples.sql"), source));
    assert!(!is_named(Path::new("migrations/0002_add_column.sql"), source));
    let source = r#"pub const VIEWS: &[View] = views!["storage"]; const X: &str = "cardinality";"#;
    assert!(is_named(Path::new("sql/views/storage.sql"), source));
    assert!(!is_named(Path::new("sql/views/cardinality.sql"), source));
}

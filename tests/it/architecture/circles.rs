//! Circles of files. A file that uses another one, which in turn needs the first, can be understood, moved and tested only
//! together with it.
//!
//! A file uses another where a path in it leads there, in `use` or elsewhere; what only tests see is left out. Methods are
//! not seen, so a type may spread its methods over files that use its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::source::{declared, paths, without_tests};

/// Rooms in which files form circles: how many of them do. These are to become fewer; no room is to be added.
const CIRCULAR: &[(&str, usize)] = &[
    ("app", 3),
    ("client", 3),
    ("config/discovery", 7),
    ("config/file", 2),
    ("config/http", 2),
    ("discovery", 29),
    ("engine", 5),
    ("engine/promql", 16),
    ("engine/promql/plan", 4),
    ("engine/scan", 7),
    ("engine/sql", 2),
    ("engine/sql/text", 3),
    ("forward/encode", 3),
    ("ingest/exposition", 7),
    ("ingest/remote_write", 2),
    ("ingest/tsdb/chunk", 4),
    ("model/histogram", 2),
    ("model/re2", 4),
    ("storage/head/packed", 2),
    ("storage/lake", 4),
    ("storage/store", 11),
    ("telemetry", 2),
];

/// Files in a circle, and the innermost room that has all of them.
#[derive(Debug, PartialEq)]
struct Circle {
    room: String,
    files: Vec<String>,
}

#[test]
fn files_form_no_circles() {
    let root = super::src();
    let files: Vec<(String, String)> = super::files(&root, "rs")
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(&root).expect("below the root").to_str().expect("UTF-8").to_string();
            (path, fs::read_to_string(&file).expect("readable"))
        })
        .collect();
    let found = mistakes(&circles(&files), CIRCULAR);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// What does not agree with the list.
fn mistakes(circles: &[Circle], listed: &[(&str, usize)]) -> Vec<String> {
    let mut rooms: BTreeMap<&str, Vec<&Circle>> = BTreeMap::new();
    for circle in circles {
        rooms.entry(&circle.room).or_default().push(circle);
    }
    let mut found = vec![];
    for (room, circles) in &rooms {
        let files: usize = circles.iter().map(|circle| circle.files.len()).sum();
        let allowed = listed.iter().find(|(listed, _)| listed == room).map_or(0, |(_, files)| *files);
        if files > allowed {
            let circles: Vec<String> = circles.iter().map(|circle| circle.files.join(", ")).collect();
            found.push(format!("{room}: {files} files in circles, not {allowed}: {}", circles.join("; ")));
        } else if files < allowed {
            found.push(format!("{room}: only {files} files are in circles, say so on the list"));
        }
    }
    let gone = listed.iter().filter(|(room, _)| !rooms.contains_key(room));
    found.extend(gone.map(|(room, _)| format!("{room}: has no circles any more, take it off the list")));
    found
}

/// The circles among files, given by their path below `src` and their text.
fn circles(files: &[(String, String)]) -> Vec<Circle> {
    let sources: BTreeMap<&str, (&str, String)> =
        files.iter().map(|(path, text)| (module(path), (path.as_str(), without_tests(text).1))).collect();
    let modules: Vec<&str> = live(&sources);
    let known: BTreeSet<&str> = modules.iter().copied().collect();
    let place = |module: &str| modules.binary_search(&module).expect("it is one of them");
    let uses: Vec<Vec<usize>> = modules
        .iter()
        .map(|module| used(module, &sources[module].1, &known).into_iter().map(place).collect())
        .collect();
    let reach: Vec<BTreeSet<usize>> = (0..modules.len()).map(|from| reachable(&uses, from)).collect();
    let mut found: Vec<Circle> = vec![];
    let mut seen = BTreeSet::new();
    for from in 0..modules.len() {
        let circle: Vec<usize> = reach[from].iter().copied().filter(|to| reach[*to].contains(&from)).collect();
        // One that uses itself is no circle.
        if circle.len() > 1 && seen.insert(circle[0]) {
            let room = circle.iter().map(|i| modules[*i]).reduce(common).unwrap_or_default().to_string();
            found.push(Circle { room, files: circle.iter().map(|i| sources[modules[*i]].0.to_string()).collect() });
        }
    }
    found
}

/// The module in a file.
fn module(path: &str) -> &str {
    let path = path.trim_end_matches(".rs");
    match path {
        "lib" => "",
        _ => path.strip_suffix("/mod").unwrap_or(path),
    }
}

fn parent(module: &str) -> &str {
    module.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The longest path that both begin with.
fn common<'a>(a: &'a str, b: &'a str) -> &'a str {
    let mut prefix = a;
    while !prefix.is_empty() && prefix != b && !b.starts_with(&format!("{prefix}/")) {
        prefix = parent(prefix);
    }
    prefix
}

/// The modules that are there without tests: those their parents declare, where there are parents.
fn live<'a>(sources: &BTreeMap<&'a str, (&'a str, String)>) -> Vec<&'a str> {
    let is_declared = |module: &str| match sources.get(parent(module)) {
        Some((_, code)) => {
            let name = module.rsplit('/').next().unwrap_or_default();
            module.is_empty() || declared(code).contains(&name)
        }
        None => true,
    };
    let is_live = |module: &&&str| {
        let mut module: &str = module;
        while !module.is_empty() {
            if !is_declared(module) {
                return false;
            }
            module = parent(module);
        }
        true
    };
    sources.keys().filter(is_live).copied().collect()
}

/// The modules that masked code uses.
fn used<'a>(module: &str, code: &str, known: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let child = |name: &&str| format!("{module}/{name}").trim_start_matches('/').to_string();
    // Words that stand for a module here: what is declared here, and what is used as a whole.
    let mut names: BTreeMap<String, String> =
        declared(code).iter().map(|name| (name.to_string(), child(name))).collect();
    let begins = |word: &str| matches!(word, "crate" | "self" | "super");
    let absolute = |first: &str, path: &str| match first {
        "crate" => joined("", path),
        "self" => joined(module, path),
        _ => joined(parent(module), path),
    };
    for (first, path) in paths(code, begins) {
        let target = absolute(first, &path);
        if let (true, Some(name)) = (known.contains(target.as_str()), target.rsplit('/').next()) {
            names.entry(name.to_string()).or_insert(target.clone());
        }
    }
    let found = paths(code, |word| begins(word) || names.contains_key(word));
    let targets = found.into_iter().map(|(first, path)| match names.get(first) {
        Some(base) => joined(base, &path),
        None => absolute(first, &path),
    });
    targets.filter_map(|target| innermost(&target, known)).filter(|target| *target != module).collect()
}

/// A path from a module on.
fn joined(base: &str, path: &str) -> String {
    path.split('/').fold(base.to_string(), |at, word| match word {
        "self" => at,
        "super" => parent(&at).to_string(),
        _ if at.is_empty() => word.to_string(),
        _ => format!("{at}/{word}"),
    })
}

/// The module an item is in.
fn innermost<'a>(item: &str, known: &BTreeSet<&'a str>) -> Option<&'a str> {
    let mut path = item;
    while !path.is_empty() {
        if let Some(module) = known.get(path) {
            return Some(module);
        }
        path = parent(path);
    }
    None
}

/// All that can be got to from one, and itself if it can.
fn reachable(uses: &[Vec<usize>], from: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut next = uses[from].clone();
    while let Some(at) = next.pop() {
        if seen.insert(at) {
            next.extend(&uses[at]);
        }
    }
    seen
}

#[test]
fn circles_are_found() {
    let check = |files: &[(&str, &str)], expected: &[&str]| {
        let files: Vec<(String, String)> = files.iter().map(|(p, t)| (p.to_string(), t.to_string())).collect();
        let found: Vec<String> =
            circles(&files).into_iter().map(|c| format!("{}: {}", c.room, c.files.join(" "))).collect();
        assert_eq!(found, expected, "{files:?}");
    };
    let room = ("a/mod.rs", "pub mod x;\npub mod y;\npub mod z;");
    check(&[room, ("a/x.rs", "use super::y::Y;"), ("a/y.rs", "use super::z::Z;"), ("a/z.rs", "")], &[]);
    check(&[room, ("a/x.rs", "use super::y::Y;"), ("a/y.rs", "use crate::a::x::X;")], &["a: a/x.rs a/y.rs"]);
    check(
        &[
            room,
            ("a/x.rs", "use super::{y::Y, z};"),
            ("a/y.rs", "fn f() { super::z::f() }"),
            ("a/z.rs", "use crate::a::{x::X};"),
        ],
        &["a: a/x.rs a/y.rs a/z.rs"],
    );
    check(
        &[room, ("a/x.rs", "use super::y::Y;"), ("a/y.rs", "// super::x::X\nconst S: &str = \"super::x::X\";")],
        &[],
    );
    check(
        &[room, ("a/x.rs", "use super::y::Y;"), ("a/y.rs", "#[cfg(test)]\nmod tests { use super::super::x::X; }")],
        &[],
    );
    // A parent and its child: by what is declared, by what is imported as a whole, by everything.
    check(&[("a.rs", "mod b;\nfn f() { b::g() }"), ("a/b.rs", "use super::T;")], &["a: a.rs a/b.rs"]);
    check(&[("a.rs", "mod b;\nuse self::b::T;"), ("a/b.rs", "use super::*;")], &["a: a.rs a/b.rs"]);
    check(&[("a.rs", "mod b;"), ("a/b.rs", "use super::T;")], &[]);
    check(&[("a.rs", "#[cfg(test)]\nmod b;\nuse self::b::T;"), ("a/b.rs", "use super::T;")], &[]);
    check(
        &[
            room,
            ("a/x.rs", "use super::y;\nfn f() { y::w::g() }"),
            ("a/y/mod.rs", "pub mod w;"),
            ("a/y/w.rs", "use crate::a::x;"),
        ],
        &["a: a/x.rs a/y/w.rs"],
    );
    // A room within a room.
    check(
        &[
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "pub mod b;"),
            ("a/b/mod.rs", "pub mod c;\npub mod d;"),
            ("a/b/c.rs", "use super::d::D;"),
            ("a/b/d.rs", "use super::c::C;"),
        ],
        &["a/b: a/b/c.rs a/b/d.rs"],
    );
}

#[test]
fn the_list_of_circles_may_only_shrink() {
    let circle = |room: &str, files: usize| Circle { room: room.to_string(), files: vec!["f".to_string(); files] };
    let check = |circles: &[Circle], listed: &[(&str, usize)], expected: Option<&str>| {
        let found = mistakes(circles, listed);
        assert_eq!(found.len(), expected.iter().len(), "{found:?}");
        assert!(expected.is_none_or(|part| found[0].contains(part)), "{found:?}");
    };
    check(&[], &[], None);
    check(&[circle("a", 2), circle("a", 3)], &[("a", 5)], None);
    check(&[circle("a", 2)], &[], Some("a: 2 files in circles, not 0: f, f"));
    check(&[circle("a", 3)], &[("a", 2)], Some("3 files in circles, not 2"));
    check(&[circle("a", 2)], &[("a", 3)], Some("only 2 files"));
    check(&[], &[("a", 2)], Some("has no circles any more"));
}

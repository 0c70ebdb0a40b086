//! Tells the crate its revision and compiler: `PROMLAKE_REVISION` (twelve digits of the commit, `-dirty` behind it where what
//! the binary is made of differs; `unknown` outside a checkout of this repository) and `PROMLAKE_RUSTC`. A revision given in the
//! environment, as for an image built from a copy without `.git`, is taken as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the binary is made of.
const SOURCES: &[&str] = &["src", "sql", "migrations", "build.rs", "Cargo.toml", "Cargo.lock"];

fn main() {
    println!("cargo::rerun-if-env-changed=PROMLAKE_REVISION");
    // A change here compiles the crate anew in any case.
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let given = std::env::var("PROMLAKE_REVISION").ok().filter(|text| !text.trim().is_empty());
    let revision = given.or_else(of_checkout).unwrap_or_else(|| "unknown".to_string());
    println!("cargo::rustc-env=PROMLAKE_REVISION={}", revision.trim());
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let rustc = output(Command::new(rustc).arg("--version")).unwrap_or_else(|| "unknown".to_string());
    println!("cargo::rustc-env=PROMLAKE_RUSTC={rustc}");
    // Names of functions are a fifth of the program, and its panics name file and line without them. Not by `strip` in the
    // profile, which would be another one for every dependency.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
        for argument in [FOLD, PACK].into_iter().filter(|argument| works_with(argument)) {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}

/// Functions of the same code become one, a twentieth of the program: an option of lld, which Rust brings for some targets.
const FOLD: &str = "-Wl,--icf=all";
/// Addresses that the loader sets are listed as bits, another twentieth. Needs glibc 2.36 to start.
const PACK: &str = "-Wl,-z,pack-relative-relocs";

/// Whether the linker that will be used knows an argument, and this machine starts what it makes, by a program that does
/// nothing.
fn works_with(argument: &str) -> bool {
    let var = |name: &str| std::env::var_os(name);
    let Some(out) = var("OUT_DIR").map(PathBuf::from) else { return false };
    let source = out.join("nothing.rs");
    if std::fs::write(&source, "fn main() {}").is_err() {
        return false;
    }
    let mut rustc = Command::new(var("RUSTC").unwrap_or_else(|| "rustc".into()));
    let program = out.join("nothing");
    rustc.arg(&source).arg("-o").arg(&program).arg("-C").arg(format!("link-arg={argument}"));
    if let Some(target) = var("TARGET") {
        rustc.arg("--target").arg(target);
    }
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    let is_for_this_machine = var("TARGET") == var("HOST");
    let succeeds = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    succeeds(&mut rustc) && (!is_for_this_machine || succeeds(&mut Command::new(&program)))
}

fn of_checkout() -> Option<String> {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?).canonicalize().ok()?;
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    // A copy of the sources inside of another repository has not that one's revision.
    if top != here {
        return None;
    }
    let revision = git(&["rev-parse", "--short=12", "HEAD"])?;
    watch_head();
    let changed = git(&[&["status", "--porcelain", "--"], SOURCES].concat())?;
    Some(if changed.is_empty() { revision } else { format!("{revision}-dirty") })
}

/// Runs this again when another commit is checked out or made. The files are in different places in a worktree, and a reference
/// may be packed; what is not there must not be named, since cargo would then run this each time.
fn watch_head() {
    let reference = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(reference.as_deref());
    for path in names.filter_map(|name| git(&["rev-parse", "--git-path", name])) {
        if Path::new(&path).is_file() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

fn git(args: &[&str]) -> Option<String> {
    // `status` would otherwise write the index, which others may be writing.
    output(Command::new("git").arg("--no-optional-locks").args(args))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_string())
}

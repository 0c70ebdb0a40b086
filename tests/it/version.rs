use std::path::Path;
use std::process::Command;

/// What is printed by a program that succeeds.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// The binary names the commit it was built from, and the compiler.
#[test]
fn the_version_names_the_revision() {
    let text = output(env!("CARGO_BIN_EXE_promlake"), &["--version"]).expect("it has a version");
    let top = output("git", &["rev-parse", "--show-toplevel"]).map(|top| Path::new(&top).canonicalize().ok());
    let revision = match top {
        Some(top) if top == Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok() => {
            output("git", &["rev-parse", "--short=12", "HEAD"]).expect("a checkout has a revision")
        }
        _ => "unknown".to_string(),
    };
    let revision = std::env::var("PROMLAKE_REVISION").unwrap_or(revision);
    let named = [format!("revision: {revision})"), format!("revision: {revision}-dirty)")];
    assert!(named.iter().any(|name| text.contains(name)), "neither of {named:?} in\n{text}");
    assert!(text.contains("rustc 1."), "no compiler in\n{text}");
}

//! The last of the test programs, by its name: repeats what the others have skipped, which is far above by then.

/// How tests skip.
#[allow(dead_code)]
#[path = "support/skip.rs"]
mod skip;

fn main() {
    // Those who only list tests expect nothing else.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let list = skip::list();
    let text = std::fs::read_to_string(&list).unwrap_or_default();
    // Not there where nothing was skipped.
    let _ = std::fs::remove_file(&list);
    println!("{} tests skipped", text.lines().count());
    print!("{text}");
}

//! Paths with `*`, `?` and `[a-z]` in their parts, as Go's `filepath.Glob` takes them.

use std::path::{Path, PathBuf};

/// More files than any pattern is meant to find.
const MAX_FOUND: usize = 100_000;

/// The files of a pattern, sorted. What cannot be looked into has none.
pub fn files(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from(if pattern.starts_with('/') { "/" } else { "" })];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if !is_pattern(part) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        found = found.iter().flat_map(|folder| entries(folder, part)).take(MAX_FOUND).collect();
    }
    found.retain(|path| path.exists());
    found.sort_unstable();
    found
}

/// Whether a path may name several files.
pub fn is_pattern(part: &str) -> bool {
    part.contains(['*', '?', '[', '\\'])
}

fn entries(folder: &Path, part: &str) -> Vec<PathBuf> {
    let read = std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let names = read.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let pattern: Vec<char> = part.chars().collect();
    names.filter(|name| fits(&pattern, &name.chars().collect::<Vec<_>>())).map(|name| folder.join(name)).collect()
}

/// What is no pattern: a class that does not end, or a backslash at the end.
pub fn is_malformed(pattern: &str) -> bool {
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.next().is_none() => return true,
            '[' => {
                let class = letters.as_str().strip_prefix('^').unwrap_or(letters.as_str());
                // An empty one is none.
                match class.find(']') {
                    None | Some(0) => return true,
                    Some(end) => letters = class[end + 1..].chars(),
                }
            }
            _ => {}
        }
    }
    false
}

/// Each star is tried once from where the one before it fits first, which finds what there is to find.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
            continue;
        }
        if p == pattern.len() && n == name.len() {
            return true;
        }
        match name.get(n).and_then(|c| one(&pattern[p..], *c)) {
            Some(len) => (p, n) = (p + len, n + 1),
            None => match star {
                Some((at, from)) if from < name.len() => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                _ => return false,
            },
        }
    }
}

/// How much of a pattern stands for this one letter.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', escaped, ..] => (*escaped == c).then_some(2),
        ['[', rest @ ..] => class(rest, c).map(|len| len + 1),
        [plain, ..] => (*plain == c).then_some(1),
        [] => None,
    }
}

/// `a-z]`, `^a-z]`.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let negated = pattern.first() == Some(&'^');
    let (mut at, mut inside) = (usize::from(negated), false);
    loop {
        let low = *pattern.get(at).filter(|c| **c != ']')?;
        at += 1;
        let mut high = low;
        if pattern.get(at) == Some(&'-') {
            high = *pattern.get(at + 1)?;
            at += 2;
        }
        inside |= (low..=high).contains(&c);
        if pattern.get(at) == Some(&']') {
            return (inside != negated).then_some(at + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern() {
        for pattern in ["[ab.yml", "a\\", "[]", "[^]", "x[", "[a]["] {
            assert!(is_malformed(pattern), "{pattern}");
        }
        for pattern in ["", "*", "a?.yml", "[ab].yml", "[^a-c]*", "\\[a", "[a][b]"] {
            assert!(!is_malformed(pattern), "{pattern}");
        }
    }

    #[test]
    fn names() {
        let check = |pattern: &str, name: &str, want: bool| {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(fits(&chars(pattern), &chars(name)), want, "{pattern} {name}");
        };
        check("*.json", "a.json", true);
        check("*.json", ".json", true);
        check("*.json", "a.yml", false);
        check("a*b*c.yml", "aXbYbc.yml", true);
        check("a*b*c.yml", "aXbYb.yml", false);
        check("?.yml", "a.yml", true);
        check("?.yml", "ab.yml", false);
        check("[a-c]x.yml", "bx.yml", true);
        check("[^a-c]x.yml", "bx.yml", false);
        check("[ac]*.yml", "c.yml", true);
        check("[a", "a", false);
        check("a\\*.yml", "a*.yml", true);
        check("a\\*.yml", "ab.yml", false);
        check("*a*a*a*a*a*a*b", &"a".repeat(200), false);
    }

    #[test]
    fn folders() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        for name in ["x/1.json", "x/2.json", "y/1.json", "y/3.txt"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let check = |pattern: &str, want: &[&str]| {
            let want: Vec<PathBuf> = want.iter().map(|name| folder.path().join(name)).collect();
            assert_eq!(files(&format!("{root}/{pattern}")), want, "{pattern}");
        };
        check("x/*.json", &["x/1.json", "x/2.json"]);
        check("x/1.json", &["x/1.json"]);
        check("x/9.json", &[]);
        check("?/1.json", &["x/1.json", "y/1.json"]);
        check("none/*.json", &[]);
    }
}

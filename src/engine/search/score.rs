//! How like a value is to the words that were typed: exactly Prometheus' scores, since clients sort by them
//! (`web/api/v1/search_filters.go`, `util/strutil`).
//!
//! Jaro-Winkler is written out here though there are crates for it: Prometheus walks over the shorter text whichever is the
//! word, which finds other pairs of characters than walking over the first (`strsim`), and multiplies by reciprocals.

/// Of a word. Prometheus has no limit; what it takes to compare grows with the product of both lengths.
pub const MAX_TERM_BYTES: usize = 1024;
/// Of a value, from its begin, that is compared where it is more than looked for.
const MAX_COMPARED_BYTES: usize = 8 << 10;

/// A score below 1 for what is not the same, however like it is.
const NOT_THE_SAME: f64 = 0.999;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// The characters of the word in their order, the better the closer they stand.
    Subsequence,
    /// The word within the value, or one that is similar to all of it.
    JaroWinkler,
}

impl Algorithm {
    pub const ALL: &[Algorithm] = &[Algorithm::Subsequence, Algorithm::JaroWinkler];

    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Subsequence => "subsequence",
            Algorithm::JaroWinkler => "jarowinkler",
        }
    }
}

/// Takes the values that are like one of some words.
#[derive(Clone, Debug)]
pub struct Filter {
    terms: Vec<Term>,
    algorithm: Algorithm,
    /// The least score of what is only similar.
    threshold: f64,
    case_sensitive: bool,
}

#[derive(Clone, Debug)]
struct Term {
    text: String,
    /// Empty where the text is ASCII.
    chars: Vec<char>,
}

impl Filter {
    /// `None` where no word has a character: that takes everything. The threshold is out of 100.
    pub fn new(terms: &[&str], algorithm: Algorithm, threshold: u8, case_sensitive: bool) -> Option<Self> {
        let term = |text: &&str| {
            let text = if case_sensitive { text.to_string() } else { lower(text) };
            Term { chars: if text.is_ascii() { Vec::new() } else { text.chars().collect() }, text }
        };
        let terms: Vec<Term> = terms.iter().filter(|term| !term.is_empty()).map(term).collect();
        let threshold = f64::from(threshold) / 100.0;
        (!terms.is_empty()).then_some(Self { terms, algorithm, threshold, case_sensitive })
    }

    /// The best score among the words, between 0 and 1; `None` where the value is like none of them.
    pub fn score(&self, value: &str) -> Option<f64> {
        let lowered;
        let value = match self.case_sensitive {
            true => value,
            false => {
                lowered = lower(value);
                &lowered
            }
        };
        let mut best: Option<f64> = None;
        for term in &self.terms {
            let score = match self.algorithm {
                Algorithm::Subsequence => self.subsequence(term, value),
                Algorithm::JaroWinkler => self.jaro_winkler(term, value),
            };
            best = match (best, score) {
                (Some(best), Some(score)) => Some(best.max(score)),
                (best, score) => best.or(score),
            };
            if best.is_some_and(|best| best >= 1.0) {
                break;
            }
        }
        best
    }

    fn subsequence(&self, term: &Term, value: &str) -> Option<f64> {
        if value.starts_with(&term.text) {
            return Some(1.0);
        }
        let score = subsequence(term, compared(value));
        (score > 0.0 && score >= self.threshold).then_some(score)
    }

    fn jaro_winkler(&self, term: &Term, value: &str) -> Option<f64> {
        if let Some(score) = substring(&term.text, value) {
            return Some(score);
        }
        // Without a threshold everything would be similar enough.
        if self.threshold <= 0.0 {
            return None;
        }
        Some(jaro_winkler(term, compared(value))).filter(|score| *score >= self.threshold)
    }
}

/// Character by character, as Go does: neither does a letter become two, nor does it depend on its neighbours.
fn lower(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

fn compared(value: &str) -> &str {
    &value[..value.floor_char_boundary(MAX_COMPARED_BYTES)]
}

/// 1 at the begin, and down to 0.1 at the end.
fn substring(term: &str, value: &str) -> Option<f64> {
    let at = value.find(term)?;
    if at == 0 {
        return Some(1.0);
    }
    let (position, last) = match value.is_ascii() {
        true => (at, value.len() - term.len()),
        false => (count(&value[..at]), count(value) - count(term)),
    };
    Some(1.0 - 0.9 * position as f64 / last as f64)
}

fn count(text: &str) -> usize {
    text.chars().count()
}

/// 0 where the word is no subsequence. A word with a character that is not ASCII is none of a text that is.
fn subsequence(term: &Term, text: &str) -> f64 {
    if term.text.len() > text.len() {
        return 0.0;
    }
    match (term.text.is_ascii(), text.is_ascii()) {
        (true, true) => in_order(term.text.as_bytes(), text.as_bytes()),
        (false, true) => 0.0,
        (is_ascii, false) => {
            let text: Vec<char> = text.chars().collect();
            match is_ascii {
                true => in_order(&term.text.chars().collect::<Vec<_>>(), &text),
                false => in_order(&term.chars, &text),
            }
        }
    }
}

/// The best of all places where the first character stands: runs count by the squares of their lengths, gaps and what is
/// behind take something off.
fn in_order<T: PartialEq>(pattern: &[T], text: &[T]) -> f64 {
    let Some(last_start) = text.len().checked_sub(pattern.len()) else { return 0.0 };
    let mut best = -1.0;
    for start in (0..=last_start).filter(|start| text[*start] == pattern[0]) {
        // From a later place there is less of the text.
        let Some(score) = score_from(pattern, text, start) else { break };
        if score > best {
            best = score;
        }
    }
    if best < 0.0 { 0.0 } else { best / (pattern.len() * pattern.len()) as f64 * NOT_THE_SAME }
}

/// `None` where the pattern does not end within the text.
fn score_from<T: PartialEq>(pattern: &[T], text: &[T], start: usize) -> Option<f64> {
    let share = 1.0 / text.len() as f64;
    let (mut score, mut matched, mut from, mut behind) = (0.0, 0, start, 0);
    while matched < pattern.len() {
        from += text[from..].iter().position(|c| *c == pattern[matched])?;
        let run = text[from..].iter().zip(&pattern[matched..]).take_while(|(a, b)| a == b).count();
        if from > behind {
            score -= (from - behind) as f64 * share;
        }
        score += (run * run) as f64;
        matched += run;
        from += run;
        behind = from;
    }
    if text.len() > behind {
        score -= (text.len() - behind) as f64 * share * 0.5;
    }
    Some(score)
}

fn jaro_winkler(term: &Term, value: &str) -> f64 {
    if term.text == value {
        return 1.0;
    }
    match (term.text.is_ascii(), value.is_ascii()) {
        (true, true) => similar(term.text.as_bytes(), value.as_bytes()),
        (true, false) => similar(&term.text.chars().collect::<Vec<_>>(), &value.chars().collect::<Vec<_>>()),
        (false, _) => similar(&term.chars, &value.chars().collect::<Vec<_>>()),
    }
}

fn similar<T: PartialEq>(a: &[T], b: &[T]) -> f64 {
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    if short.is_empty() {
        return 0.0;
    }
    let distance = (long.len() / 2).saturating_sub(1);
    let (mut of_short, mut of_long) = (vec![false; short.len()], vec![false; long.len()]);
    let mut matches = 0.0;
    for (i, c) in short.iter().enumerate() {
        let places = i.saturating_sub(distance)..(i + distance + 1).min(long.len());
        if let Some(j) = places.into_iter().find(|j| !of_long[*j] && long[*j] == *c) {
            (of_short[i], of_long[j]) = (true, true);
            matches += 1.0;
        }
    }
    if matches == 0.0 {
        return 0.0;
    }
    let matched_short = short.iter().zip(&of_short).filter(|(_, is_matched)| **is_matched);
    let matched_long = long.iter().zip(&of_long).filter(|(_, is_matched)| **is_matched);
    let transposed = matched_short.zip(matched_long).filter(|((a, _), (b, _))| a != b).count() as f64;
    let (of_a, of_b) = (1.0 / short.len() as f64, 1.0 / long.len() as f64);
    let jaro = (matches * of_a + matches * of_b + (matches - transposed * 0.5) / matches) / 3.0;
    let prefix = short.iter().zip(long).take(4).take_while(|(a, b)| a == b).count();
    jaro + prefix as f64 * 0.1 * (1.0 - jaro)
}

#[cfg(test)]
mod tests;

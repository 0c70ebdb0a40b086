//! Results of tests in the XML of JUnit, as promtool writes it.

use std::fmt::Write;

use chrono::{DateTime, Utc};

/// Of one file.
#[derive(Debug, Default)]
pub struct Suite {
    name: String,
    /// Empty where nothing began.
    timestamp: String,
    pub cases: Vec<Case>,
}

/// Of one test.
#[derive(Debug, Default)]
pub struct Case {
    pub name: String,
    pub failures: Vec<String>,
    /// Why it could not run.
    pub error: Option<String>,
}

impl Suite {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_string(), ..Self::default() }
    }

    /// Milliseconds since the epoch; the format has no zone, so it is UTC.
    pub fn begin(&mut self, now_ms: i64) {
        let time = DateTime::<Utc>::from_timestamp_millis(now_ms);
        self.timestamp = time.map(|time| time.format("%Y-%m-%dT%H:%M:%S").to_string()).unwrap_or_default();
    }

    /// Nothing of the file can run.
    pub fn abort(&mut self, error: String) {
        self.cases.push(Case { name: "unknown".to_string(), failures: Vec::new(), error: Some(error) });
    }

    pub fn is_good(&self) -> bool {
        self.cases.iter().all(|case| case.failures.is_empty() && case.error.is_none())
    }
}

pub fn document(suites: &[Suite]) -> String {
    let mut out = String::from("<testsuites>");
    for suite in suites {
        let failures: usize = suite.cases.iter().map(|case| case.failures.len()).sum();
        let errors = suite.cases.iter().filter(|case| case.error.is_some()).count();
        let _ = write!(
            out,
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" timestamp=\"{}\">",
            escaped(&suite.name),
            suite.cases.len(),
            suite.timestamp
        );
        for case in &suite.cases {
            let _ = write!(out, "<testcase name=\"{}\">", escaped(&case.name));
            for failure in &case.failures {
                let _ = write!(out, "<failure>{}</failure>", escaped(failure));
            }
            if let Some(error) = &case.error {
                let _ = write!(out, "<error>{}</error>", escaped(error));
            }
            out += "</testcase>";
        }
        out += "</testsuite>";
    }
    out + "</testsuites>"
}

/// As Go's encoder does it; what XML has no place for is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out += "&#34;",
            '\'' => out += "&#39;",
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '\t' => out += "&#x9;",
            '\n' => out += "&#xA;",
            '\r' => out += "&#xD;",
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents() {
        assert_eq!(document(&[]), "<testsuites></testsuites>");
        let mut suite = Suite::new("a&b.yml");
        suite.begin(1_709_294_400_000);
        let case = |name: &str, failures: &[&str]| Case {
            name: name.to_string(),
            failures: failures.iter().map(|text| text.to_string()).collect(),
            error: None,
        };
        suite.cases.push(case("good", &[]));
        assert!(suite.is_good());
        suite.cases.push(case("bad", &["a \"x\",\n\tb", "c\u{1}"]));
        assert!(!suite.is_good());
        let mut broken = Suite::new("c");
        broken.abort("no <file>".to_string());
        assert!(!broken.is_good());
        assert_eq!(
            document(&[suite, broken]),
            "<testsuites><testsuite name=\"a&amp;b.yml\" tests=\"2\" failures=\"2\" errors=\"0\" skipped=\"0\" \
             timestamp=\"2024-03-01T12:00:00\"><testcase name=\"good\"></testcase><testcase name=\"bad\">\
             <failure>a &#34;x&#34;,&#xA;&#x9;b</failure><failure>c\u{fffd}</failure></testcase></testsuite>\
             <testsuite name=\"c\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" timestamp=\"\">\
             <testcase name=\"unknown\"><error>no &lt;file&gt;</error></testcase></testsuite></testsuites>"
        );
    }
}

//! Bodies of the tokens that both text formats have, most of them in the order of the formats, with what usually stands
//! between two of them or something else.

use fastrand::Rng;

/// What may stand between two tokens.
const GLUE: &[&str] = &["", "", " ", " ", "\t", "  ", ",", "\n"];

const NAMES: &[&str] = &["a", "h", "h_bucket", "h_sum", "s", "c_total", "le", "quantile"];
const TYPES: &[&str] =
    &["counter", "gauge", "histogram", "summary", "untyped", "unknown", "info", "gaugehistogram"];
const NUMBERS: &[&str] = &["0", "1", "-1.5", "+Inf", "NaN", "1e3", ".5", "12345", "x", "1_0", "0x1p3"];
/// Characters of names, of which some are none of a metric's.
const LETTERS: &[char] = &['a', 'b', 'Z', '_', ':', '1', '.', '-', 'é'];

/// Some lines, and perhaps the end that OpenMetrics has.
pub fn body(random: &mut Rng) -> Vec<u8> {
    let odd = *random.choice(&[4, 30]).expect("not empty");
    let mut writer = Writer { random, out: String::new(), odd };
    writer.body();
    writer.out.into_bytes()
}

struct Writer<'a> {
    random: &'a mut Rng,
    out: String,
    /// One time in so many something unusual stands between two tokens.
    odd: u8,
}

impl Writer<'_> {
    fn body(&mut self) {
        for _ in 0..self.random.u8(1..6) {
            match self.random.u8(..3) {
                0 => self.comment(),
                _ => self.sample(),
            }
            self.glue("\n");
        }
        if self.random.bool() {
            self.out.push_str("# EOF");
            self.glue("\n");
        }
    }

    fn glue(&mut self, usual: &str) {
        let text =
            if self.random.u8(..self.odd) == 0 { self.random.choice(GLUE).expect("not empty") } else { usual };
        self.out.push_str(text);
    }

    fn one_of(&mut self, words: &[&str]) {
        self.out.push_str(self.random.choice(words).expect("not empty"));
    }

    fn comment(&mut self) {
        self.out.push('#');
        self.glue(" ");
        self.one_of(&["TYPE", "TYPE", "HELP", "HELP", "UNIT", "EOF", "a"]);
        self.glue(" ");
        self.name();
        self.glue(" ");
        match self.random.u8(..3) {
            0 => self.one_of(&["", "text", "two words", "\\n", "\\\"", "\\"]),
            _ => self.one_of(TYPES),
        }
    }

    fn sample(&mut self) {
        if self.random.u8(..6) > 0 {
            self.name();
            self.glue("");
        }
        if self.random.bool() {
            self.labels();
        }
        self.glue(" ");
        self.one_of(NUMBERS);
        if self.random.u8(..4) == 0 {
            self.glue(" ");
            self.one_of(NUMBERS);
        }
        if self.random.u8(..6) == 0 {
            self.glue(" ");
            self.out.push('#');
            self.glue(" ");
            self.labels();
            self.glue(" ");
            self.one_of(NUMBERS);
        }
    }

    fn labels(&mut self) {
        self.out.push('{');
        for at in 0..self.random.u8(..4) {
            if at > 0 {
                self.glue(",");
            }
            self.name();
            if self.random.u8(..8) == 0 {
                continue;
            }
            self.glue("");
            self.out.push('=');
            self.glue("");
            self.out.push('"');
            match self.random.u8(..3) {
                0 => self.one_of(&["", "b", "é", "\\n", "\\\"", "\\\\", "}", "#", ","]),
                _ => self.one_of(NUMBERS),
            }
            self.out.push('"');
        }
        self.glue("");
        self.out.push('}');
    }

    /// A known one, one of any letters, or one of them in quotes.
    fn name(&mut self) {
        let kind = self.random.u8(..8);
        if kind > 1 {
            return self.one_of(NAMES);
        }
        let quote = if kind == 0 { "" } else { "\"" };
        self.out.push_str(quote);
        for _ in 0..self.random.u8(1..4) {
            self.out.extend(self.random.choice(LETTERS));
        }
        self.out.push_str(quote);
    }
}

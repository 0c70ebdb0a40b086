//! Random expressions that type-check, and when they are asked for. Only what Prometheus 3.5 has: functions and
//! operators that came later cannot be compared with it, nor can `info`, which took labels of the wrong series before 3.7.

use fastrand::Rng;

use crate::data::{LENGTH_MS, START_MS};
use crate::expression::{Expr, Selector, Shift, Type};

/// How deep operators and calls nest.
const DEPTH: u32 = 4;

/// One question to both servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub expr: Expr,
    pub start_ms: i64,
    /// `None` asks for the value at `start_ms`.
    pub steps: Option<Steps>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    pub step_ms: i64,
    pub count: i64,
}

impl Question {
    /// The one with this number in the sequence of a seed. Every number can be had without those before it.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
        // The first numbers of neighbouring seeds are alike.
        rng.u64(..);
        let steps = rng.bool().then(|| Steps {
            step_ms: *pick(&mut rng, &[15_000, 30_000, 60_000, 120_000, 7_000, 61_500]),
            count: rng.i64(1..12),
        });
        let expr = Generator { rng: &mut rng, range_query: steps.is_some() }.question();
        // Half of the times lie on the samples of the series that have no jitter, and so on the ends of ranges.
        let mut start_ms = START_MS + rng.i64(-120_000..LENGTH_MS + 240_000);
        if rng.bool() {
            start_ms -= start_ms % 15_000;
        }
        Self { expr, start_ms, steps }
    }

    pub fn end_ms(&self) -> i64 {
        self.start_ms + self.steps.map_or(0, |s| s.step_ms * (s.count - 1))
    }
}

struct Generator<'a> {
    rng: &'a mut Rng,
    range_query: bool,
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.usize(..from.len())]
}

const METRICS: &[&str] = &[
    "requests_total",
    "requests_total",
    "errors_total",
    "errors_total",
    "temperature",
    "temperature",
    "up",
    "queue",
    "odd",
    "lonely",
    "target_info",
    "latency_seconds_bucket",
    "latency_seconds_count",
    "latency_seconds_sum",
    "sizes",
    "spread",
    "mixed",
    "missing",
];
const MATCHERS: &[&str] = &[
    r#"job="api""#,
    r#"job!="api""#,
    r#"job=~"a.*""#,
    r#"job!~"web|db""#,
    r#"job="""#,
    r#"instance="a""#,
    r#"instance="""#,
    r#"instance!="""#,
    r#"instance=~"a|b""#,
    r#"instance!~"[ab]""#,
    r#"instance=~".+""#,
    r#"code="200""#,
    r#"code=~"4..|5..""#,
    r#"code!~"2..""#,
    r#"code="""#,
    r#"le="1""#,
    r#"le!="+Inf""#,
];
const NAMES: &[&str] = &[
    r#"__name__=~"requests_total|errors_total""#,
    r#"__name__=~".*_total""#,
    r#"__name__=~"queue|up|lonely""#,
    r#"__name__="temperature""#,
    r#"__name__=~"latency_seconds_(sum|count)""#,
    r#"__name__!~"odd|s.*|.*_bucket""#,
];
const LABELS: &[&str] = &["job", "instance", "code", "le", "version", "__name__", "absent_label"];
const RANGES: &[&str] =
    &["15s", "30s", "45s", "1m", "61s", "90s", "2m", "5m", "5m", "7m30s", "10m", "20m", "1h", "1234ms"];
const STEPS: &[&str] = &["", "15s", "30s", "1m", "17s", "2m"];
const OFFSETS: &[&str] = &["15s", "1m", "5m", "10m", "-1m", "-30s", "-5m", "1234ms"];
const NUMBERS: &[&str] = &[
    "0", "1", "1", "2", "3", "0.5", "0.9", "-1", "-2.5", "10", "60", "100", "1e3", "1e-3", "1e9", "0x1f", "Inf",
    "-Inf", "NaN", "5m", "1_000",
];

/// From a vector, without further arguments.
const OF_VECTOR: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "deg",
    "exp",
    "floor",
    "ln",
    "log10",
    "log2",
    "rad",
    "sgn",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "absent",
    "timestamp",
    "timestamp",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "year",
    "histogram_avg",
    "histogram_count",
    "histogram_sum",
    "histogram_stddev",
    "histogram_stdvar",
];
/// From a range, without further arguments.
const OF_MATRIX: &[&str] = &[
    "rate",
    "rate",
    "rate",
    "increase",
    "increase",
    "irate",
    "delta",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "last_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "present_over_time",
    "absent_over_time",
    "mad_over_time",
    "ts_of_min_over_time",
    "ts_of_max_over_time",
    "ts_of_last_over_time",
];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2"];
const COMPARISONS: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
const SETS: &[&str] = &["and", "or", "unless"];
const AGGREGATIONS: &[&str] = &["sum", "sum", "avg", "avg", "count", "min", "max", "group", "stddev", "stdvar"];

impl Generator<'_> {
    fn question(&mut self) -> Expr {
        match self.rng.u8(..20) {
            0 => self.scalar(DEPTH),
            // Their order shows in an instant query only.
            1 if !self.range_query => self.sorted(),
            // Answers can be ranges too, but only instant ones.
            2 if !self.range_query => self.matrix(DEPTH),
            _ => self.vector(DEPTH),
        }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn name(&mut self, from: &[&'static str]) -> &'static str {
        from[self.rng.usize(..from.len())]
    }

    fn text(&mut self, from: &[&'static str]) -> String {
        self.name(from).to_string()
    }

    fn vector(&mut self, depth: u32) -> Expr {
        if depth == 0 {
            return Expr::Selector(self.selector());
        }
        let depth = depth - 1;
        match self.rng.u8(..100) {
            0..14 => Expr::Selector(self.selector()),
            14..42 => self.range_function(depth),
            42..52 => self.function(depth),
            52..73 => self.aggregation(depth),
            73..97 => self.binary(depth),
            97 => Expr::Negated(Box::new(self.vector(depth))),
            _ => call("vector", vec![self.scalar(depth)]),
        }
    }

    fn scalar(&mut self, depth: u32) -> Expr {
        let inner = depth.saturating_sub(1);
        match self.rng.u8(..20) {
            0 | 1 if depth > 0 => scalar_call("scalar", vec![self.vector(inner)]),
            2 if depth > 0 => {
                let op = *pick(self.rng, &[ARITHMETIC, COMPARISONS].concat());
                let modifiers = if COMPARISONS.contains(&op) { vec!["bool".to_string()] } else { Vec::new() };
                Expr::Binary { op, modifiers, sides: Box::new([self.scalar(inner), self.scalar(inner)]) }
            }
            3 => scalar_call("time", Vec::new()),
            4 => scalar_call("pi", Vec::new()),
            _ => Expr::Number(self.text(NUMBERS)),
        }
    }

    fn number(&mut self, of: &[&'static str]) -> Expr {
        Expr::Number(self.text(of))
    }

    fn matrix(&mut self, depth: u32) -> Expr {
        if depth > 0 && self.one_in(5) {
            let of = if self.one_in(8) { self.scalar(1) } else { self.vector(depth - 1) };
            let (range, step, shift) = (self.text(RANGES), self.text(STEPS), self.shift());
            return Expr::Subquery { of: Box::new(of), range, step, shift };
        }
        Expr::Range(self.selector(), self.text(RANGES))
    }

    fn selector(&mut self) -> Selector {
        let mut matchers = Vec::new();
        let metric = if self.one_in(15) {
            matchers.push(self.text(NAMES));
            ""
        } else {
            self.name(METRICS)
        };
        while self.one_in(3) && matchers.len() < 3 {
            matchers.push(self.text(MATCHERS));
        }
        Selector { metric, matchers, shift: self.shift() }
    }

    fn shift(&mut self) -> Shift {
        let offset = if self.one_in(8) { self.text(OFFSETS) } else { String::new() };
        let at = match self.rng.u8(..30) {
            0 => "start()".to_string(),
            1 => "end()".to_string(),
            2 => format!("{}", (START_MS + self.rng.i64(0..LENGTH_MS)) as f64 / 1000.0),
            _ => String::new(),
        };
        Shift { offset, at }
    }

    fn range_function(&mut self, depth: u32) -> Expr {
        let matrix = self.matrix(depth);
        match self.rng.u8(..20) {
            0 | 1 => call("quantile_over_time", vec![self.scalar(1), matrix]),
            2 => call("predict_linear", vec![matrix, self.scalar(1)]),
            3 => {
                let factors = ["0.1", "0.3", "0.5", "0.9"];
                call("double_exponential_smoothing", vec![matrix, self.number(&factors), self.number(&factors)])
            }
            _ => call(self.name(OF_MATRIX), vec![matrix]),
        }
    }

    fn function(&mut self, depth: u32) -> Expr {
        match self.rng.u8(..16) {
            0 => call("clamp", vec![self.vector(depth), self.scalar(1), self.scalar(1)]),
            1 => call(self.name(&["clamp_min", "clamp_max"]), vec![self.vector(depth), self.scalar(1)]),
            2 => call("round", vec![self.vector(depth), self.scalar(1)]),
            3 | 4 => self.quantile_of_buckets(depth),
            5 => self.label_replace(depth),
            6 => {
                let labels = self.labels();
                let mut args = vec![self.vector(depth), Expr::Text(self.text(LABELS)), Expr::Text("-".to_string())];
                args.extend(labels.into_iter().map(Expr::Text));
                call("label_join", args)
            }
            7 => call(self.name(&["hour", "minute", "day_of_week"]), Vec::new()),
            _ => call(self.name(OF_VECTOR), vec![self.vector(depth)]),
        }
    }

    fn quantile_of_buckets(&mut self, depth: u32) -> Expr {
        let quantile = self.scalar(1);
        let metric = self.name(&["latency_seconds_bucket", "latency_seconds_bucket", "sizes", "spread"]);
        let mut selector = self.selector();
        selector.metric = metric;
        selector.matchers.retain(|m| !m.starts_with("__name__"));
        let rate = self.name(&["rate", "increase", "sum_over_time"]);
        let vector = match self.rng.u8(..4) {
            0 => Expr::Selector(selector),
            1 => call(rate, vec![Expr::Range(selector, self.text(RANGES))]),
            2 => self.vector(depth),
            _ => Expr::Aggregate {
                op: "sum",
                grouping: "by (le)".to_string(),
                parameter: None,
                of: Box::new(call(rate, vec![Expr::Range(selector, self.text(RANGES))])),
            },
        };
        if self.one_in(3) {
            return call("histogram_fraction", vec![quantile, self.scalar(1), vector]);
        }
        call("histogram_quantile", vec![quantile, vector])
    }

    fn label_replace(&mut self, depth: u32) -> Expr {
        let replacements = [
            ("(.*)", "$1"),
            ("(.*)", ""),
            ("(a|b)", "x-$1"),
            ("(?P<first>.).*", "${first}"),
            ("4..", "client"),
            ("", "none"),
        ];
        let (regex, replacement) = *pick(self.rng, &replacements);
        let texts = [self.text(LABELS), replacement.to_string(), self.text(LABELS), regex.to_string()];
        call("label_replace", [self.vector(depth)].into_iter().chain(texts.map(Expr::Text)).collect())
    }

    fn labels(&mut self) -> Vec<String> {
        let count = self.rng.usize(..3);
        (0..count).map(|_| self.text(LABELS)).collect()
    }

    fn aggregation(&mut self, depth: u32) -> Expr {
        let word = self.name(&["by", "by", "without"]);
        let grouping =
            if self.one_in(3) { String::new() } else { format!("{word} ({})", self.labels().join(", ")) };
        let of = Box::new(self.vector(depth));
        let with = |op, parameter| Expr::Aggregate {
            op,
            grouping: grouping.clone(),
            parameter: Some(Box::new(parameter)),
            of: of.clone(),
        };
        match self.rng.u8(..20) {
            0 | 1 => {
                let parameter = if self.one_in(3) { self.scalar(1) } else { self.number(&["1", "2", "3", "5"]) };
                with(self.name(&["topk", "bottomk"]), parameter)
            }
            2 => with("quantile", self.scalar(1)),
            3 => with("limit_ratio", self.number(&["0.5", "-0.5", "0.1", "1", "0.9"])),
            4 => with("count_values", Expr::Text(self.text(&["value", "job"]))),
            5 => with("limitk", self.number(&["1", "2"])),
            _ => Expr::Aggregate { op: self.name(AGGREGATIONS), grouping, parameter: None, of },
        }
    }

    fn binary(&mut self, depth: u32) -> Expr {
        let sides = match self.rng.u8(..10) {
            0..3 => [self.vector(depth), self.scalar(depth.min(2))],
            3 => [self.scalar(depth.min(2)), self.vector(depth)],
            4..7 => {
                // Something that is likely to match.
                let one = self.vector(depth);
                let mut other = one.clone();
                self.vary(&mut other);
                [one, other]
            }
            _ => [self.vector(depth), self.vector(depth)],
        };
        let vectors = sides.iter().all(|s| s.kind() == Type::Vector);
        let op = match self.rng.u8(..10) {
            0..2 if vectors => self.name(SETS),
            0..5 => self.name(COMPARISONS),
            _ => self.name(ARITHMETIC),
        };
        let mut modifiers = Vec::new();
        if COMPARISONS.contains(&op) && (self.one_in(3) || sides.iter().all(|s| s.kind() == Type::Scalar)) {
            modifiers.push("bool".to_string());
        }
        if vectors {
            self.matching(SETS.contains(&op), &mut modifiers);
        }
        Expr::Binary { op, modifiers, sides: Box::new(sides) }
    }

    fn matching(&mut self, set: bool, modifiers: &mut Vec<String>) {
        if self.one_in(2) {
            return;
        }
        let word = self.name(&["on", "ignoring"]);
        let labels = match self.rng.u8(..4) {
            0 => vec!["job".to_string(), "instance".to_string()],
            1 => vec!["code".to_string(), "version".to_string()],
            _ => self.labels(),
        };
        modifiers.push(format!("{word} ({})", labels.join(", ")));
        if !set && self.one_in(3) {
            let side = self.name(&["group_left", "group_right"]);
            let mut include = self.labels();
            include.retain(|label| word == "ignoring" || !labels.contains(label));
            modifiers.push(format!("{side} ({})", include.join(", ")));
        }
    }

    /// Another function or selector somewhere in a copy.
    fn vary(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Selector(selector) | Expr::Range(selector, _) if self.one_in(2) => selector.shift = self.shift(),
            Expr::Selector(selector) => selector.matchers.clear(),
            Expr::Aggregate { op, parameter: None, .. } => *op = self.name(AGGREGATIONS),
            Expr::Call { function, .. } if OF_MATRIX.contains(function) => *function = self.name(OF_MATRIX),
            _ => {
                let mut children = expr.children_mut();
                if !children.is_empty() {
                    let child = self.rng.usize(..children.len());
                    self.vary(children[child]);
                }
            }
        }
    }

    fn sorted(&mut self) -> Expr {
        let of = self.vector(DEPTH - 1);
        if self.one_in(2) {
            return call(self.name(&["sort", "sort_desc"]), vec![of]);
        }
        let labels = self.labels().into_iter().map(Expr::Text);
        call(self.name(&["sort_by_label", "sort_by_label_desc"]), [of].into_iter().chain(labels).collect())
    }
}

fn call(function: &'static str, args: Vec<Expr>) -> Expr {
    Expr::Call { function, returns: Type::Vector, args }
}

fn scalar_call(function: &'static str, args: Vec<Expr>) -> Expr {
    Expr::Call { function, returns: Type::Scalar, args }
}

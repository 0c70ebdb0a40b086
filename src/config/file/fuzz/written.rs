//! Configurations written by rule, from tables of Prometheus' documentation: in blocks and on one line, with and without
//! quotes, with anchors and merge keys. Mistakes are put in at places that are known. Nothing of the reader is used.

use fastrand::Rng;

/// What a value looks like.
pub enum Shape {
    /// One of these.
    Text(&'static [&'static str]),
    Bool,
    Count,
    Size,
    Duration(&'static [&'static str]),
    List(&'static Shape),
    /// Names to texts.
    Names,
    /// Keys and their values; the first one is always there.
    Section(&'static [(&'static str, Shape)]),
}

use Shape::{Bool, Count, Duration, List, Names, Section, Size, Text};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Unknown,
    Twice,
    WrongType,
}

/// A mistake that was put in.
#[derive(Clone, Debug)]
pub struct Planted {
    pub kind: Kind,
    pub line: usize,
    pub key: String,
}

const INTERVALS: &[&str] = &["15s", "1m", "1h30m", "20s500ms"];
const SHORT: &[&str] = &["1s", "10s", "1500ms"];
const NAMES: &[&str] = &["env", "__meta_kubernetes_pod_name", "a b", "région", "job"];

const RELABEL: Shape = Section(&[
    ("target_label", Text(&["env", "node_name", "__param_x"])),
    ("source_labels", List(&Text(NAMES))),
    ("separator", Text(&[";", ",", "-"])),
    ("regex", Text(&["(.*)", "a|b", "([^:]+):\\d+", "true", "42"])),
    ("replacement", Text(&["$1", "${1}:9100", "x"])),
    ("action", Text(&["replace", "Replace"])),
]);
const STATIC: Shape =
    Section(&[("targets", List(&Text(&["a:9100", "[::1]:80", "node.example.org"]))), ("labels", Names)]);
const BASIC_AUTH: Shape =
    Section(&[("username", Text(&["u", "admin"])), ("password", Text(&["p", "it's", "yes"]))]);
const TLS: Shape = Section(&[("insecure_skip_verify", Bool), ("server_name", Text(&["x.example.org"]))]);
const FILES: Shape =
    Section(&[("files", List(&Text(&["t/*.yml", "a.json"]))), ("refresh_interval", Duration(INTERVALS))]);

const GLOBAL: Shape = Section(&[
    ("scrape_interval", Duration(INTERVALS)),
    ("scrape_timeout", Duration(SHORT)),
    ("evaluation_interval", Duration(INTERVALS)),
    ("external_labels", Names),
    ("query_log_file", Text(&["query.log"])),
    ("body_size_limit", Size),
    ("sample_limit", Count),
    ("target_limit", Count),
    ("label_limit", Count),
    ("label_name_length_limit", Count),
    ("label_value_length_limit", Count),
    ("keep_dropped_targets", Count),
]);
const SCRAPE: Shape = Section(&[
    ("job_name", Text(&["job"])),
    ("scrape_interval", Duration(INTERVALS)),
    ("scrape_timeout", Duration(SHORT)),
    ("metrics_path", Text(&["/metrics", "/probe"])),
    ("scheme", Text(&["http", "https"])),
    ("honor_labels", Bool),
    ("honor_timestamps", Bool),
    ("track_timestamps_staleness", Bool),
    ("enable_compression", Bool),
    ("enable_http2", Bool),
    ("follow_redirects", Bool),
    ("body_size_limit", Size),
    ("sample_limit", Count),
    ("basic_auth", BASIC_AUTH),
    ("tls_config", TLS),
    ("static_configs", List(&STATIC)),
    ("file_sd_configs", List(&FILES)),
    ("relabel_configs", List(&RELABEL)),
    ("metric_relabel_configs", List(&RELABEL)),
]);
const ALERTMANAGER: Shape = Section(&[
    ("static_configs", List(&STATIC)),
    ("scheme", Text(&["http", "https"])),
    ("path_prefix", Text(&["/", "/am"])),
    ("timeout", Duration(SHORT)),
    ("api_version", Text(&["v2"])),
    ("basic_auth", BASIC_AUTH),
    ("relabel_configs", List(&RELABEL)),
]);
const QUEUE: Shape = Section(&[
    ("capacity", Count),
    ("batch_send_deadline", Duration(SHORT)),
    ("retry_on_http_429", Bool),
    ("sample_age_limit", Duration(INTERVALS)),
]);
const REMOTE_WRITE: Shape = Section(&[
    ("url", Text(&["http://x/", "https://user@y:1/api/v1/write"])),
    ("remote_timeout", Duration(INTERVALS)),
    ("headers", Names),
    ("send_exemplars", Bool),
    ("send_native_histograms", Bool),
    ("queue_config", QUEUE),
    ("write_relabel_configs", List(&RELABEL)),
    ("tls_config", TLS),
]);
const REMOTE_READ: Shape = Section(&[
    ("url", Text(&["http://x/read"])),
    ("remote_timeout", Duration(INTERVALS)),
    ("read_recent", Bool),
    ("required_matchers", Names),
]);
const FILE: &[(&str, Shape)] = &[
    ("global", GLOBAL),
    ("scrape_configs", List(&SCRAPE)),
    ("alerting", Section(&[("alertmanagers", List(&ALERTMANAGER)), ("alert_relabel_configs", List(&RELABEL))])),
    ("rule_files", List(&Text(&["a.yml", "rules/*.yml"]))),
    ("scrape_config_files", List(&Text(&["jobs/*.yml"]))),
    ("remote_write", List(&REMOTE_WRITE)),
    ("remote_read", List(&REMOTE_READ)),
    ("storage", Section(&[("tsdb", Section(&[("out_of_order_time_window", Duration(INTERVALS))]))])),
    (
        "otlp",
        Section(&[
            ("promote_resource_attributes", List(&Text(&["service.name", "k8s.pod.name"]))),
            ("keep_identifying_resource_attributes", Bool),
        ]),
    ),
];

/// A configuration, and what is wrong with it, in the order of lines.
pub fn file(random: &mut Rng) -> (String, Vec<Planted>) {
    let mut writer = Writer { random, out: String::new(), planted: vec![], left: 0, anchors: vec![], names: 0 };
    writer.left = writer.random.usize(..4);
    let most = writer.random.usize(1..=FILE.len());
    let some = writer.some(FILE, most);
    writer.entries(FILE, &some, 0, false, true);
    let Writer { out, planted, .. } = writer;
    (out, planted)
}

struct Writer<'a> {
    random: &'a mut Rng,
    out: String,
    planted: Vec<Planted>,
    /// Mistakes to put in yet.
    left: usize,
    /// Sections that have a name: of which keys, and those that were written.
    anchors: Vec<(String, *const (&'static str, Shape), Vec<usize>)>,
    names: usize,
}

impl Writer<'_> {
    fn chance(&mut self, of: u32) -> bool {
        self.random.u32(..of) == 0
    }

    /// Places of some fields, in any order.
    fn some(&mut self, fields: &[(&str, Shape)], most: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..fields.len()).collect();
        self.random.shuffle(&mut all);
        all.truncate(most);
        all
    }

    fn line(&self) -> usize {
        1 + self.out.matches('\n').count()
    }

    fn plant(&mut self, kind: Kind, key: &str) {
        self.left -= 1;
        let line = self.line();
        self.planted.push(Planted { kind, line, key: key.to_string() });
    }

    /// The entries of a mapping; the cursor is where the first one begins.
    fn entries(
        &mut self,
        fields: &'static [(&'static str, Shape)],
        some: &[usize],
        indent: usize,
        flow: bool,
        first: bool,
    ) {
        let mut is_first = first;
        for at in some {
            let (key, shape) = &fields[*at];
            self.separate(indent, flow, &mut is_first);
            self.entry(key, shape, indent, flow);
            let is_scalar = !matches!(shape, List(_) | Names | Section(_));
            if self.left > 0 && is_scalar && self.chance(12) {
                self.separate(indent, flow, &mut is_first);
                self.plant(Kind::Twice, key);
                self.key(key);
                self.scalar(shape);
            }
            if self.left > 0 && self.chance(12) {
                self.separate(indent, flow, &mut is_first);
                let key = format!("xyzzy_{}", self.random.u8(..));
                self.plant(Kind::Unknown, &key);
                self.key(&key);
                self.scalar(&Count);
            }
        }
    }

    fn separate(&mut self, indent: usize, flow: bool, is_first: &mut bool) {
        if std::mem::take(is_first) {
            return;
        }
        match flow {
            true => self.out.push_str(", "),
            false => {
                if self.chance(10) {
                    self.out.push_str("\n# a comment: [");
                }
                self.out.push('\n');
                self.out.extend(std::iter::repeat_n(' ', indent));
            }
        }
    }

    fn key(&mut self, key: &str) {
        let key = if self.chance(10) { format!("{key:?}") } else { key.to_string() };
        self.out.push_str(&key);
        self.out.push_str(": ");
    }

    fn entry(&mut self, key: &str, shape: &'static Shape, indent: usize, flow: bool) {
        if self.left > 0 && !matches!(shape, Text(_) | Names) && self.chance(12) {
            self.plant(Kind::WrongType, key);
            self.key(key);
            self.out.push_str("soon");
            return;
        }
        self.key(key);
        match shape {
            Text(_) if key == "job_name" => {
                self.names += 1;
                self.out.push_str(&format!("job{}", self.names));
            }
            _ => self.value(shape, indent, flow, false),
        }
    }

    /// `is_item`: behind a dash, so that a block begins on the same line.
    fn value(&mut self, shape: &'static Shape, indent: usize, flow: bool, is_item: bool) {
        let flow = flow || self.chance(4);
        match shape {
            List(item) => {
                let count = self.random.usize(1..4);
                // Texts of a list are different ones.
                let words = if let Text(words) = item { *words } else { &[] };
                let (count, from) = match words.len() {
                    0 => (count, 0),
                    all => (count.min(all), self.random.usize(..all)),
                };
                if flow {
                    self.out.push('[');
                }
                // A list may stand as far left as its key.
                let indent = if self.random.bool() { indent } else { indent + 2 };
                for at in 0..count {
                    match flow {
                        true if at > 0 => self.out.push_str(", "),
                        true => {}
                        false => {
                            self.out.push('\n');
                            self.out.extend(std::iter::repeat_n(' ', indent));
                            self.out.push_str("- ");
                        }
                    }
                    match words.len() {
                        0 => self.value(item, indent + 2, flow, true),
                        all => self.scalar(&Text(&words[(from + at) % all..][..1])),
                    }
                }
                if flow {
                    self.out.push(']');
                }
            }
            Names => {
                let count = self.random.usize(1..3);
                self.out.push('{');
                for at in 0..count {
                    self.out.push_str(&format!("{}label_{at}: ", if at > 0 { ", " } else { "" }));
                    self.scalar(&Text(&["a", "b c", "1", "yes"]));
                }
                self.out.push('}');
            }
            Section(fields) => self.section(fields, indent, flow, is_item),
            scalar => self.scalar(scalar),
        }
    }

    fn section(&mut self, fields: &'static [(&'static str, Shape)], indent: usize, flow: bool, is_item: bool) {
        // Only what may be there twice is named.
        let is_repeatable = is_item && fields.iter().all(|(key, _)| *key != "job_name");
        let known = self.anchors.iter().rev().find(|anchor| anchor.1 == fields.as_ptr()).cloned();
        let known = known.filter(|_| is_repeatable && self.random.bool());
        if let Some((name, ..)) = known.as_ref().filter(|_| self.chance(2)) {
            // A blank, since a name goes as far as it can.
            return self.out.push_str(&format!("*{name} "));
        }
        let most = self.random.usize(..=fields.len());
        let mut some = self.some(fields, most);
        match &known {
            Some((_, _, written)) => some.retain(|at| !written.contains(at)),
            None if !some.contains(&0) => some.insert(0, 0),
            None => {}
        }
        if known.is_none() && is_repeatable && self.random.bool() {
            let name = format!("a{}", self.anchors.len());
            self.out.push_str(&format!("&{name} "));
            self.anchors.push((name, fields.as_ptr(), some.clone()));
            // Behind a name a block begins on a line of its own.
            return self.mapping(fields, &some, indent, flow, false, None);
        }
        self.mapping(fields, &some, indent, flow, is_item, known.map(|(name, ..)| name));
    }

    fn mapping(
        &mut self,
        fields: &'static [(&'static str, Shape)],
        some: &[usize],
        indent: usize,
        flow: bool,
        on_line: bool,
        merged: Option<String>,
    ) {
        let indent = if on_line { indent } else { indent + 2 };
        match flow {
            true => self.out.push('{'),
            false if on_line => {}
            false => {
                self.out.push('\n');
                self.out.extend(std::iter::repeat_n(' ', indent));
            }
        }
        if let Some(name) = &merged {
            self.out.push_str(&format!("<<: *{name} "));
        }
        self.entries(fields, some, indent, flow, merged.is_none());
        if flow {
            self.out.push('}');
        }
    }

    fn scalar(&mut self, shape: &Shape) {
        let text = match shape {
            Text(words) => {
                let word = *self.random.choice(*words).expect("not empty");
                let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._".contains(c));
                match self.random.u8(..3) {
                    0 if is_plain => word.to_string(),
                    1 => format!("\"{}\"", word.replace('\\', "\\\\")),
                    _ => format!("'{}'", word.replace('\'', "''")),
                }
            }
            Bool => self.random.choice(["true", "false", "yes", "no", "On"]).expect("not empty").to_string(),
            Count => self.random.choice(["1", "100", "0x10", "1_000"]).expect("not empty").to_string(),
            Size => self.random.choice(["10MB", "1KB", "2GB"]).expect("not empty").to_string(),
            Duration(words) => self.random.choice(*words).expect("not empty").to_string(),
            List(_) | Names | Section(_) => unreachable!("no scalars"),
        };
        self.out.push_str(&text);
    }
}

/// A text with lists that name each other, and lists within lists; and about how many bytes it stands for.
pub fn repeated(random: &mut Rng) -> (String, f64) {
    let most = if random.u8(..8) == 0 { 21 } else { 10 };
    let leaf = "x".repeat(1 << random.u32(..most));
    let deep = random.usize(1..100);
    let mut text = format!("a0: &a0 {}{leaf}{}\n", "[".repeat(deep), "]".repeat(deep));
    let mut bytes = (leaf.len() + 64 * deep) as f64;
    for level in 1..random.usize(1..12) {
        let times = random.usize(1..14);
        let names = vec![format!("*a{} ", level - 1); times].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{names}]\n"));
        bytes = bytes * times as f64 + 64.0;
    }
    (text, bytes)
}

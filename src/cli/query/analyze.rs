//! `promlake query analyze`: how many buckets histograms have, and how many of them count something, over time.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::process::ExitCode;

use clap::Args;
use url::Url;

use crate::cli::access::{self, Access};
use crate::cli::print::{errln, outln};
use crate::cli::query::api::{Api, Problem};
use crate::cli::query::labels::LabelSet;
use crate::cli::query::times::Moment;
use crate::cli::query::value::{Bucket, Series, Value};
use crate::cli::values;
use crate::model::float;
use crate::model::labels::METRIC_NAME;
use crate::template::time::duration_text;

const HEADER: &str = "Bucket stats for each histogram series over time
------------------------------------------------
First the min, avg, and max number of populated buckets, followed by the total
number of buckets (only if different from the max number of populated buckets
which is typical for classic but not native histograms).
";
const FOOTER: &str = "
Aggregated bucket stats
-----------------------
Each line shows min/avg/max over the series above.";
const HISTOGRAM: &str = "histogram";
const LE: &str = "le";

#[derive(Args, Debug)]
pub struct Analyze {
    /// For example http://127.0.0.1:9090
    #[arg(long, value_name = "URL", value_parser = access::url)]
    server: Url,
    /// Of the metrics: histogram
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    /// How much time to look at
    #[arg(long, default_value = "1h", value_parser = values::go_duration)]
    duration: i64,
    /// RFC 3339 or Unix seconds; now by default
    #[arg(long)]
    time: Option<String>,
    /// A selector of native histograms or of buckets; repeatable
    #[arg(long = "match", value_name = "SELECTOR", required = true)]
    selectors: Vec<String>,
}

/// Buckets of one histogram over time: how many count something, and how many there are.
#[derive(Debug, PartialEq)]
struct Buckets {
    fewest: usize,
    average: f64,
    most: usize,
    total: usize,
}

/// Numbers of several histograms.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    fewest: usize,
    average: f64,
    most: usize,
    count: usize,
}

/// Those of all of a kind.
#[derive(Clone, Copy, Debug, Default)]
struct Summary {
    fewest: Spread,
    average: Spread,
    most: Spread,
    total: Spread,
}

impl Analyze {
    /// Prints what it finds while it goes on.
    pub fn run(&self, access: &Access) -> ExitCode {
        match self.all(access) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                errln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn all(&self, access: &Access) -> Result<(), String> {
        if self.kind != HISTOGRAM {
            return Err(format!("analyze type is {}, must be '{HISTOGRAM}'", self.kind));
        }
        let text = |problem| match problem {
            Problem::Input(text) => text,
            Problem::Query(failure) => failure.to_string(),
        };
        let api = Api::new(access, &self.server, &[]).map_err(text)?;
        let given = self.time.as_deref().unwrap_or_default();
        let end = Moment::given(&self.time).map_err(|error| format!("error parsing time '{given}': {error}"))?;
        let end = end.unwrap_or_else(Moment::now);
        outln!("{HEADER}");
        let (mut native, mut classic) = (Summary::default(), Summary::default());
        for selector in &self.selectors {
            let answer = api.query(&format!("{selector}[{}]", duration_text(self.duration)), end);
            let answer = answer.map_err(|failure| failure.to_string())?;
            answer.tell();
            let Value::Matrix(found) = answer.data else {
                return Err("query of buckets resulted in non-Matrix".to_string());
            };
            let mut histograms: BTreeMap<String, Vec<&Series>> = BTreeMap::new();
            for series in &found {
                if series.values.iter().flatten().next().is_some() {
                    if let Some(name) = histogram_of(&series.metric) {
                        histograms.entry(name).or_default().push(series);
                    }
                } else if let Some(buckets) = native_buckets(series) {
                    outln!("- {} (native): {buckets}", series.metric.as_metric());
                    native.add(&buckets);
                }
            }
            for (name, mut series) in histograms {
                if let Some(buckets) = classic_buckets(&mut series)? {
                    outln!("- {name} (classic): {buckets}");
                    classic.add(&buckets);
                }
            }
        }
        outln!("{FOOTER}");
        for (kind, summary) in [("Native", native), ("Classic", classic)] {
            if summary.total.count > 0 {
                outln!("\n{kind} {summary}");
            }
        }
        Ok(())
    }
}

/// The histogram that a series is a bucket of.
fn histogram_of(bucket: &LabelSet) -> Option<String> {
    let name = bucket.get(METRIC_NAME).filter(|name| name.ends_with("_bucket"))?.to_string();
    bucket.get(LE)?;
    let mut labels = bucket.clone();
    labels.0.retain(|name, _| name != METRIC_NAME && name != LE);
    Some(format!("{name}{labels}"))
}

/// `None` where there are not two samples.
fn native_buckets(series: &Series) -> Option<Buckets> {
    let samples: Vec<&[Bucket]> = series
        .histograms
        .iter()
        .flatten()
        .map(|(_, histogram)| histogram.buckets.as_deref().unwrap_or(&[]))
        .collect();
    let bits = |(boundaries, lower, upper, _): &Bucket| (*boundaries, lower.0.to_bits(), upper.0.to_bits());
    let total = samples.iter().copied().flatten().map(bits).collect::<HashSet<_>>().len();
    Buckets::new(samples.iter().map(|buckets| buckets.len()), total)
}

/// `None` where there are not two samples. All buckets are taken to have samples at the times of the first.
fn classic_buckets(buckets: &mut [&Series]) -> Result<Option<Buckets>, String> {
    let bound = |series: &Series| series.metric.get(LE).and_then(float::parse).unwrap_or(0.0);
    let samples = buckets.first().map_or(0, |series| points(series).len());
    if samples < 2 {
        return Ok(None);
    }
    buckets.sort_by(|a, b| bound(a).total_cmp(&bound(b)));
    let populated = (0..samples).map(|at| populated(buckets, at)).collect::<Result<Vec<_>, _>>()?;
    Ok(Buckets::new(populated.into_iter(), buckets.len()))
}

fn points(series: &Series) -> &[(super::value::Millis, super::value::Number)] {
    series.values.as_deref().unwrap_or(&[])
}

/// How many buckets count something themselves in the sample of this place; those behind one that lacks it do not.
fn populated(buckets: &[&Series], place: usize) -> Result<usize, String> {
    let (mut found, mut before) = (0, None);
    for bucket in buckets {
        let Some((at, value)) = points(bucket).get(place).copied() else { break };
        let below = match before {
            Some((other, _)) if other != at => return Err("matrix result is not time aligned".to_string()),
            Some((_, below)) => below,
            None => 0.0,
        };
        found += usize::from((value.0 - below) as i64 != 0);
        before = Some((at, value.0));
    }
    Ok(found)
}

impl Buckets {
    fn new(populated: impl ExactSizeIterator<Item = usize>, total: usize) -> Option<Self> {
        let samples = populated.len();
        if samples < 2 {
            return None;
        }
        let (mut fewest, mut most, mut sum) = (usize::MAX, 0, 0);
        for count in populated {
            (fewest, most, sum) = (fewest.min(count), most.max(count), sum + count);
        }
        Some(Self { fewest, average: sum as f64 / samples as f64, most, total })
    }
}

impl fmt::Display for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:.3}/{}", self.fewest, self.average, self.most)?;
        if self.most == self.total { Ok(()) } else { write!(f, "/{}", self.total) }
    }
}

impl Summary {
    fn add(&mut self, buckets: &Buckets) {
        self.fewest.add(buckets.fewest);
        self.average.add(buckets.average as usize);
        self.most.add(buckets.most);
        self.total.add(buckets.total);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fewest, average, most, total } = self;
        writeln!(f, "histogram series ({} in total):", total.count)?;
        write!(f, "- min populated: {fewest}\n- avg populated: {average}\n- max populated: {most}")?;
        if most == total { Ok(()) } else { write!(f, "\n- total: {total}") }
    }
}

impl Default for Spread {
    fn default() -> Self {
        Self { fewest: usize::MAX, average: 0.0, most: 0, count: 0 }
    }
}

impl Spread {
    fn add(&mut self, number: usize) {
        self.fewest = self.fewest.min(number);
        self.most = self.most.max(number);
        self.count += 1;
        let count = self.count as f64;
        self.average += number as f64 / count - self.average / count;
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:.3}/{}", self.fewest, self.average, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(json: &str) -> Vec<Series> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn classic() {
        let bucket = |le: &str, values: &str| {
            format!(r#"{{"metric":{{"__name__":"h_bucket","le":"{le}","a":"b"}},"values":{values}}}"#)
        };
        let check = |buckets: &[String], expected: Result<Option<&str>, &str>| {
            let found = matrix(&format!("[{}]", buckets.join(",")));
            let got = classic_buckets(&mut found.iter().collect::<Vec<_>>()).map(|got| got.map(|b| b.to_string()));
            assert_eq!(got, expected.map(|text| text.map(str::to_string)).map_err(str::to_string), "{buckets:?}");
        };
        let one = bucket("1", r#"[[1,"0"],[2,"4"]]"#);
        let inf = bucket("+Inf", r#"[[1,"2"],[2,"4"]]"#);
        let ten = bucket("10", r#"[[1,"2"],[2,"4"]]"#);
        check(&[inf.clone(), one.clone(), ten.clone()], Ok(Some("1/1.000/1/3")));
        check(&[one.clone(), ten.clone()], Ok(Some("1/1.000/1/2")));
        check(&[bucket("1", r#"[[1,"1"],[2,"1"]]"#), inf.clone()], Ok(Some("2/2.000/2")));
        check(&[bucket("1", r#"[[1,"1"]]"#)], Ok(None));
        check(&[one.clone(), bucket("2", r#"[[1,"1"]]"#)], Ok(Some("1/1.000/1/2")));
        check(&[one, bucket("2", r#"[[3,"1"],[4,"1"]]"#)], Err("matrix result is not time aligned"));
    }

    #[test]
    fn names() {
        let of = |json: &str| histogram_of(&serde_json::from_str(json).unwrap());
        assert_eq!(
            of(r#"{"__name__":"h_bucket","le":"1","a1":"x","a":"b"}"#).as_deref(),
            Some("h_bucket{a=\"b\", a1=\"x\"}")
        );
        assert_eq!(of(r#"{"__name__":"h_bucket","le":"1"}"#).as_deref(), Some("h_bucket{}"));
        assert_eq!(of(r#"{"__name__":"h_bucket"}"#), None);
        assert_eq!(of(r#"{"__name__":"up","le":"1"}"#), None);
    }

    #[test]
    fn native() {
        let found = matrix(
            r#"[{"metric":{},"histograms":[[1,{"count":"1","sum":"1","buckets":[[0,"1","2","1"]]}],
                [2,{"count":"3","sum":"1","buckets":[[0,"1","2","1"],[0,"2","4","2"]]}],
                [3,{"count":"3","sum":"1","buckets":[[0,"4","8","3"]]}]]}]"#,
        );
        let buckets = native_buckets(&found[0]).unwrap();
        assert_eq!(buckets.to_string(), "1/1.333/2/3");
        let mut summary = Summary::default();
        summary.add(&buckets);
        summary.add(&Buckets { fewest: 4, average: 4.9, most: 6, total: 6 });
        assert_eq!(
            summary.to_string(),
            "histogram series (2 in total):\n- min populated: 1/2.500/4\n- avg populated: 1/2.500/4\n- max populated: 2/4.000/6\n\
             - total: 3/4.500/6"
        );
    }
}

//! Templates with what Prometheus makes of them, as `compare.py` has recorded it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::model::float;
use crate::model::histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span};
use crate::model::labels::Labels;
use crate::template::expand::Progress;
use crate::template::source::Template;
use crate::template::subject::{Answer, Sample, SampleValue, Server, Subject};

pub struct Corpus {
    subjects: HashMap<String, Subject>,
    queries: HashMap<String, Answer>,
    pub templates: Vec<Case>,
}

pub struct Case {
    pub subject: String,
    pub text: String,
    /// Of Prometheus; a message where it does not take the template.
    pub expected: Option<String>,
}

impl Corpus {
    pub fn parse(text: &str) -> Self {
        let json: Json = serde_json::from_str(text).expect("the corpus is JSON");
        let server = &json["server"];
        let server = Arc::new(Server {
            external_labels: labels(&server["external_labels"]),
            external_url: string(&server["external_url"]),
            path_prefix: string(&server["path_prefix"]),
        });
        let subject = |(name, sample): (&String, &Json)| {
            let Sample { labels, value } = sample_of(sample);
            let subject = Subject { labels, value, timestamp_ms: 1_435_065_584_128, server: server.clone() };
            (name.clone(), subject)
        };
        let answer = |(text, answer): (&String, &Json)| {
            let samples = answer["samples"].as_array().map(|samples| samples.iter().map(sample_of).collect());
            (text.clone(), samples.ok_or_else(|| string(&answer["error"])))
        };
        let case = |case: &Json| Case {
            subject: string(&case["subject"]),
            text: string(&case["text"]),
            expected: case["expected"].as_str().map(str::to_string),
        };
        Self {
            subjects: json["subjects"].as_object().expect("an object").iter().map(subject).collect(),
            queries: json["queries"].as_object().expect("an object").iter().map(answer).collect(),
            templates: json["templates"].as_array().expect("a list").iter().map(case).collect(),
        }
    }

    /// What we make of it, as Prometheus shows it.
    pub fn render(&self, nth: usize) -> String {
        let case = &self.templates[nth];
        let template = match Template::of_alert("A", &case.text) {
            Ok(template) => template,
            Err(e) => return e.message,
        };
        let mut expansion = template.start(self.subjects[&case.subject].clone());
        loop {
            match expansion.run() {
                Progress::Done(Ok(text)) => return text,
                Progress::Done(Err(e)) => return format!("<error expanding template: {}>", e.message),
                Progress::Query(text) => {
                    let unknown = Err(format!("the corpus has no answer to {text}"));
                    let answer = self.queries.get(&text).cloned().unwrap_or(unknown);
                    expansion.answer(text, answer);
                }
            }
        }
    }
}

fn string(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_string()
}

fn labels(json: &Json) -> Labels {
    let pairs = json.as_object().expect("an object");
    Labels::from_pairs(pairs.iter().map(|(name, value)| (name, string(value))))
}

/// `[labels, value]`, where a histogram is an object.
fn sample_of(json: &Json) -> Sample {
    let value = match json[1].as_str() {
        Some(text) => SampleValue::Float(float::parse(text).expect("a float")),
        None => SampleValue::Histogram(histogram(&json[1])),
    };
    Sample { labels: labels(&json[0]), value }
}

/// With custom buckets.
fn histogram(json: &Json) -> FloatHistogram {
    let numbers = |name: &str| -> Vec<f64> {
        json[name].as_array().expect("a list").iter().filter_map(serde_json::Value::as_f64).collect()
    };
    let buckets = numbers("buckets");
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: json["count"].as_f64().expect("a number"),
        sum: json["sum"].as_f64().expect("a number"),
        positive_spans: vec![Span { offset: 0, length: buckets.len() as u32 }],
        positive_buckets: buckets,
        custom_values: numbers("bounds"),
        ..FloatHistogram::default()
    }
}

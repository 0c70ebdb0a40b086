//! Whole requests, made by rule, to the receiver over the real store, beside a model of what Prometheus answers and keeps.
//! `FUZZ_SECONDS` and `FUZZ_SEED` as in the tests of parsers.

use std::collections::BTreeMap;

use promlake::ingest::remote_write::negotiate::{Message, WriteHeaders};

use super::message::{Parts, Symbolized, labelled, snappy};
use super::{NOW_MS, World};
use fuzzing::Fuzz;
use model::{Headers, Model, Series};

#[path = "../../../src/fuzzing.rs"]
#[allow(dead_code)]
mod fuzzing;
mod model;

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_and_kept_as_the_model_says() {
    let mut fuzz = Fuzz::new(600);
    while fuzz.goes_on() {
        let (world, mut model) = (World::new().await, Model::default());
        for _ in 0..30 {
            if !fuzz.goes_on() {
                break;
            }
            let is_second = fuzz.random.bool();
            let request = model::request(&mut fuzz.random, NOW_MS, !is_second);
            let wanted = model.write(&request, NOW_MS, is_second);
            let answer = match is_second {
                false => world.write(snappy(&first(&request))).await,
                true => world.write_symbolized(&second(&request)).await,
            };
            let (status, written) = match answer {
                Ok(written) => (204, written),
                Err(error) => (error.status, error.written),
            };
            let wanted = (if wanted.is_bad { 400 } else { 204 }, wanted.samples);
            assert_eq!((status, written.samples), wanted, "2.0: {is_second}, {request:?}");
        }
        let mut kept = BTreeMap::new();
        for (labels, run) in world.runs().await {
            for (time, value) in run.timestamps.iter().zip(&run.values) {
                assert_eq!(kept.insert((labels.clone(), *time), value.to_bits()), None, "{labels} @{time}");
            }
        }
        assert_eq!(kept, model.kept);
        world.store.shutdown().await.unwrap();
    }
}

fn first(request: &[Series]) -> Vec<u8> {
    request.iter().flat_map(|series| labelled(series.labels, &series.samples)).collect()
}

fn second(request: &[Series]) -> Symbolized {
    request.iter().fold(Symbolized::new(), |body, series| {
        let samples: Vec<_> = series.samples.iter().map(|(time, value)| (*time, *value, 0)).collect();
        body.series(series.labels, Parts { samples: &samples, ..Parts::default() })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_mean_the_same_in_any_case() {
    let world = World::new().await;
    let mut fuzz = Fuzz::new(20_000);
    while fuzz.goes_on() {
        let headers = Headers::random(&mut fuzz.random, &[1, 2]);
        let (content_type, content_encoding) =
            (headers.content_type.as_deref(), headers.content_encoding.as_deref());
        let found = world.remote_write.check_headers(WriteHeaders { content_type, content_encoding });
        let wanted =
            headers.version.map(|version| [Message::WriteRequest, Message::Request][usize::from(version - 1)]);
        assert_eq!(found.map_err(|error| error.status), wanted.ok_or(415), "{headers:?}");
    }
}

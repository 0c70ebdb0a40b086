//! `/api/v1/read`: remote read. Series come sorted by their labels, those of this server included, as clients merge them;
//! the store has another order, so they are read and encoded a part at a time.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::engine::door::{Answer, Memory, Pass};
use crate::engine::raw::Raw;
use crate::engine::session::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::labels::Labels;
use crate::model::protobuf;
use crate::model::sample::TimeRange;
use crate::server::http::bodies::retry_later;
use crate::server::http::describe::{About, Reply, Tag};
use crate::server::http::envelope::text_response;
use crate::server::http::remote_read::answer::{frames, time_series, with_external};
use crate::server::http::remote_read::request::{AnswerType, MAX_BODY_BYTES, Query, ReadRequest, decompress};
use crate::server::http::route::{Route, read as read_route};
use crate::server::http::server::{Ready, Server};
use crate::storage::types::RunSlice;

/// Bytes of frames that are sent together, and how many such parts wait for a slow reader.
const PART_BYTES: usize = 64 << 10;
const WAITING_PARTS: usize = 4;

/// Samples that are read at a time, roughly, at one in fifteen seconds; and series, within these bounds.
const SAMPLES_AT_ONCE: i64 = 4 << 20;
const SCRAPE_MS: i64 = 15_000;
const SERIES_AT_ONCE: (i64, i64) = (64, 4096);

pub fn routes() -> Vec<Route> {
    vec![read_route("/api/v1/read").within_limits().unshared().post(read).of_samples().about(READ)]
}

const READ: About =
    About::new(Tag::Remote, "remote-read", "Samples by Prometheus' remote read, whole or in chunks")
        .takes_bodies(&["application/x-protobuf"])
        .answers(Reply::Raw("application/x-protobuf"));

async fn read(State(server): State<Arc<Server>>, Ready(parts): Ready, body: Body) -> Response {
    let slot = server.read_slots.clone().acquire_owned().await;
    let mut whole = match server.bodies.read(body, MAX_BODY_BYTES).await {
        Ok(whole) => whole,
        Err(unread) => return retry_later(text_response(unread.status, format!("{unread}\n"))),
    };
    let declared = snap::raw::decompress_len(&whole.bytes).unwrap_or(0).min(MAX_BODY_BYTES);
    if let Err(unread) = server.bodies.hold_more(&mut whole.held, declared) {
        return retry_later(text_response(unread.status, format!("{unread}\n")));
    }
    let external = server.config.read().external_labels.clone();
    let decoded = decompress(&whole.bytes).and_then(|message| ReadRequest::decode(&message, &external));
    let request = match decoded {
        Ok(request) => request,
        Err(error) => return refused(&error),
    };
    drop(whole);
    let job = Job { engine: parts.engine, queries: request.queries, external };
    match request.answer {
        AnswerType::Samples => {
            let answered = job.samples(server.settings.remote_read.sample_limit).await;
            drop(slot);
            answered.map_or_else(|error| refused(&error), samples_response)
        }
        AnswerType::StreamedXorChunks => {
            let answer = job.chunks(server.settings.remote_read.max_bytes_in_frame, slot);
            stream_response(answer).await
        }
    }
}

/// What is asked for, of whom.
struct Job {
    engine: Engine,
    queries: Vec<Query>,
    external: Labels,
}

impl Job {
    /// A `ReadResponse`, compressed.
    async fn samples(self, limit: usize) -> Result<Vec<u8>> {
        let Self { engine, queries, external } = self;
        let limits = engine.limits(None);
        let work = engine.clone();
        engine
            .run(&limits, move |pass| async move {
                let memory = pass.memory("remote read");
                let mut response = Vec::new();
                for query in &queries {
                    let mut result = Vec::new();
                    let mut samples = 0usize;
                    let raw = work.raw(&pass, query.range, std::slice::from_ref(&query.matchers)).await?;
                    let mut parts = Parts::new(&raw, query, &external, &memory)?;
                    let mut encode = |labels: &Labels, run: RunSlice<'_>| {
                        samples += run.timestamps.len();
                        if limit > 0 && samples > limit {
                            return Err(Error::bad_input(format!("exceeded sample limit ({limit})")));
                        }
                        work.check_rows(samples)?;
                        Ok(time_series(labels, run))
                    };
                    while let Some(part) = parts.next(&mut encode).await? {
                        // The part is given back when it is copied.
                        memory.grow(part.iter().map(Vec::len).sum())?;
                        part.iter().for_each(|series| result.extend_from_slice(series));
                        parts.done(&part);
                    }
                    memory.grow(result.len())?;
                    protobuf::bytes(&mut response, 1, &result);
                    memory.shrink(result.len());
                }
                memory.grow(snap::raw::max_compress_len(response.len()))?;
                snap::raw::Encoder::new()
                    .compress_vec(&response)
                    .map_err(|error| Error::new(ErrorKind::Limit, "the answer is too large").with_source(error))
            })
            .await
    }

    /// Frames; `slot` is held until the last one is made.
    fn chunks(self, max_bytes: usize, slot: impl Send + 'static) -> Answer<Bytes, Error> {
        let Self { engine, queries, external } = self;
        let limits = engine.limits(None);
        let work = engine.clone();
        engine.stream(limits, WAITING_PARTS, move |pass: Pass, sender: mpsc::Sender<Bytes>| async move {
            let _slot = slot;
            let memory = pass.memory("remote read");
            let mut samples = 0;
            for (index, query) in queries.iter().enumerate() {
                let raw = work.raw(&pass, query.range, std::slice::from_ref(&query.matchers)).await?;
                let mut parts = Parts::new(&raw, query, &external, &memory)?;
                let mut encode = |labels: &Labels, run: RunSlice<'_>| {
                    samples += run.timestamps.len();
                    work.check_rows(samples)?;
                    Ok(frames(labels, run, index, max_bytes))
                };
                while let Some(part) = parts.next(&mut encode).await? {
                    let mut together = Vec::new();
                    for frames in &part {
                        together.extend_from_slice(frames);
                        if together.len() >= PART_BYTES {
                            send(&sender, std::mem::take(&mut together)).await?;
                        }
                    }
                    send(&sender, together).await?;
                    parts.done(&part);
                }
            }
            Ok(())
        })
    }
}

async fn send(sender: &mpsc::Sender<Bytes>, bytes: Vec<u8>) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    sender.send(bytes.into()).await.map_err(|_| Error::new(ErrorKind::Canceled, "the client went away"))
}

/// The series of a query in the order of their labels, some at a time.
struct Parts<'q> {
    raw: &'q Raw<'q>,
    memory: &'q Memory,
    series_only: bool,
    /// Labels and places of those that are left, last first.
    left: Vec<(Labels, usize)>,
    at_once: usize,
}

impl<'q> Parts<'q> {
    fn new(raw: &'q Raw<'q>, query: &Query, external: &Labels, memory: &'q Memory) -> Result<Self> {
        let series = raw.series();
        let of_labels = |labels: &Labels| labels.as_bytes().len() + external.as_bytes().len() + 64;
        memory.grow(series.iter().map(|series| of_labels(&series.labels)).sum())?;
        let labels = series.iter().map(|series| with_external(&series.labels, external));
        let mut left: Vec<(Labels, usize)> = labels.enumerate().map(|(place, labels)| (labels, place)).collect();
        left.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        Ok(Self { raw, memory, series_only: query.series_only, left, at_once: at_once(query.range) })
    }

    /// The next series, encoded, without those that have no sample. `None` when all were read.
    async fn next(
        &mut self,
        encode: &mut impl FnMut(&Labels, RunSlice<'_>) -> Result<Vec<u8>>,
    ) -> Result<Option<Vec<Vec<u8>>>> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let mut part = self.left.split_off(self.left.len().saturating_sub(self.at_once));
        part.reverse();
        if self.series_only {
            let nothing = RunSlice { timestamps: &[], values: &[], histograms: &[], start_timestamps: &[] };
            let made = part.iter().map(|(labels, _)| encode(labels, nothing)).collect::<Result<Vec<_>>>()?;
            self.memory.grow(made.iter().map(Vec::len).sum())?;
            return Ok(Some(made));
        }
        let places: Vec<usize> = part.iter().map(|(_, place)| *place).collect();
        let positions: HashMap<usize, usize> = places.iter().enumerate().map(|(at, place)| (*place, at)).collect();
        let mut made: Vec<Vec<u8>> = vec![Vec::new(); part.len()];
        let memory = self.memory;
        self.raw
            .visit(&places, |place, run| {
                let at = positions[&place];
                let encoded = encode(&part[at].0, run)?;
                memory.grow(encoded.len())?;
                made[at] = encoded;
                Ok(())
            })
            .await?;
        made.retain(|encoded| !encoded.is_empty());
        Ok(Some(made))
    }

    /// What a part took is free again.
    fn done(&self, part: &[Vec<u8>]) {
        self.memory.shrink(part.iter().map(Vec::len).sum());
    }
}

/// How many series of such a range are read together.
fn at_once(range: TimeRange) -> usize {
    let samples = (range.end_inclusive.saturating_sub(range.start_inclusive) / SCRAPE_MS).max(1);
    (SAMPLES_AT_ONCE / samples).clamp(SERIES_AT_ONCE.0, SERIES_AT_ONCE.1) as usize
}

fn samples_response(body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf")),
        (header::CONTENT_ENCODING, HeaderValue::from_static("snappy")),
    ];
    (headers, body).into_response()
}

/// An error that comes before the first frame has a status; a later one breaks the answer off.
async fn stream_response(mut answer: Answer<Bytes, Error>) -> Response {
    let first = match answer.next().await {
        Some(Err(error)) => return refused(&error),
        Some(Ok(first)) => Some(first),
        None => None,
    };
    let rest = stream::unfold((first, answer), |(first, mut answer)| async move {
        let part = match first {
            Some(first) => Ok(first),
            None => answer.next().await?,
        };
        Some((part, (None, answer)))
    });
    // Compression asks once more at the end.
    let rest = rest.fuse();
    let content_type = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], Body::from_stream(rest)).into_response()
}

fn refused(error: &Error) -> Response {
    let status = match error.kind {
        ErrorKind::BadInput | ErrorKind::Unsupported => StatusCode::BAD_REQUEST,
        ErrorKind::Timeout | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if status == StatusCode::INTERNAL_SERVER_ERROR && error.kind != ErrorKind::Limit {
        tracing::error!(%error, "remote read failed");
    }
    retry_later(text_response(status, format!("{error}\n")))
}

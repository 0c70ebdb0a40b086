//! `tracing:` of the configuration: spans of `telemetry/spans` to a collector, by OTLP over gRPC or HTTP. What is sampled, kept
//! and sent in batches is the SDK's business: every 5 s, or 512 spans, of at most 2048 that wait; what is more is dropped.

/// The messages of OTLP.
pub mod message;
/// One request, and what its answer means.
mod exporter;

use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::client::Clock;
use crate::config::tracing::TracingConfig;
use crate::error::Result;
use crate::telemetry::spans;
use crate::traces::exporter::Exporter;

/// What waits is given this long when the configuration changes and when the process ends.
const LAST_BATCH: Duration = Duration::from_secs(5);

/// The sender of spans, as the configuration has it.
pub struct Traces {
    clock: Clock,
    installed: Mutex<Option<Installed>>,
}

struct Installed {
    config: TracingConfig,
    provider: SdkTracerProvider,
    /// Ends attempts and the pauses between them.
    given_up: CancellationToken,
}

/// A sender that is made and not yet in force; `None` where it stays as it is.
pub struct Prepared(Option<Change>);

enum Change {
    Off,
    To(Box<Installed>),
}

impl Traces {
    pub fn new(clock: Clock) -> Self {
        Self { clock, installed: Mutex::default() }
    }

    /// Makes what the configuration asks for, and changes nothing. Must be called within the runtime that is to send.
    ///
    /// # Errors
    /// What can never work: an endpoint that is none, certificates that are none.
    pub fn prepare(&self, config: Option<&TracingConfig>) -> Result<Prepared> {
        let installed = self.installed.lock();
        Ok(Prepared(match (config, &*installed) {
            (None, None) => None,
            (None, Some(_)) => Some(Change::Off),
            (Some(new), Some(old)) if *new == old.config => None,
            (Some(new), _) => Some(Change::To(Box::new(self.build(new)?))),
        }))
    }

    fn build(&self, config: &TracingConfig) -> Result<Installed> {
        let given_up = CancellationToken::new();
        let exporter = Exporter::new(config, self.clock.clone(), given_up.clone())?;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sampling_fraction)));
        let version = env!("CARGO_PKG_VERSION");
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "promlake"),
                KeyValue::new("service.version", version),
                KeyValue::new("telemetry.sdk.language", "rust"),
                KeyValue::new("telemetry.sdk.name", "opentelemetry"),
                KeyValue::new("process.runtime.name", "rustc"),
                KeyValue::new("process.runtime.version", env!("PROMLAKE_RUSTC")),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        Ok(Installed { config: config.clone(), provider, given_up })
    }

    /// Puts it in force. The one before sends what waits, in the background.
    pub fn install(&self, prepared: Prepared) {
        let Some(change) = prepared.0 else { return };
        let new = match change {
            Change::Off => None,
            Change::To(new) => Some(*new),
        };
        let scope = || InstrumentationScope::builder("promlake").with_version(env!("CARGO_PKG_VERSION")).build();
        spans::install(new.as_ref().map(|new| new.provider.tracer_with_scope(scope())));
        match &new {
            Some(Installed { config: TracingConfig { endpoint, sampling_fraction, .. }, .. }) => {
                tracing::info!(endpoint, sampling_fraction, "spans are sent from now on");
            }
            None => tracing::info!("spans are sent no longer"),
        }
        let old = std::mem::replace(&mut *self.installed.lock(), new);
        if let Some(old) = old {
            tokio::task::spawn_blocking(|| old.end());
        }
    }

    /// Sends what waits, for at most a few seconds.
    pub async fn shutdown(&self) {
        spans::install(None);
        let old = self.installed.lock().take();
        if let Some(old) = old
            && let Err(error) = tokio::task::spawn_blocking(|| old.end()).await
        {
            tracing::error!(%error, "the sender of spans ended with a panic");
        }
    }
}

impl Installed {
    fn end(self) {
        // An error is a time that was too short, and told in the log by the exporter.
        let _ = self.provider.shutdown_with_timeout(LAST_BATCH);
        self.given_up.cancel();
    }
}

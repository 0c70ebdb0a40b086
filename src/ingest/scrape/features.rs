//! What Prometheus' feature flags change about scrapes.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `st-storage`: start timestamps that targets tell are stored with each sample.
    pub start_timestamps: bool,
    /// `created-timestamp-zero-ingestion`: a zero is stored where a counter began.
    pub zero_samples: bool,
    /// `st-synthesis`: counters of targets that tell no start begin with their first sample.
    pub synthesize_starts: bool,
    /// `type-and-unit-labels`: what a target tells of a family becomes the labels `__type__` and `__unit__`.
    pub type_and_unit_labels: bool,
}

impl Features {
    /// Whether targets are to be asked for start timestamps. The `_created` series of OpenMetrics are none then.
    pub fn needs_start_timestamps(self) -> bool {
        self.start_timestamps || self.zero_samples
    }

    pub fn stores_start_timestamps(self) -> bool {
        self.start_timestamps || self.synthesize_starts
    }

    /// Whether samples are to be known as parts of their families.
    pub fn needs_family(self) -> bool {
        self.synthesize_starts || self.type_and_unit_labels
    }
}

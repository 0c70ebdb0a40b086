//! Samples that were counted: of each step, and the most at a time.

/// Samples by step: those the windows had, and of these the ones no earlier window had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BySteps {
    pub queryable: Vec<u64>,
    pub read: Vec<u64>,
}

/// What `stats` tells of samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleStats {
    pub by_step: BySteps,
    pub peak: u64,
}

impl BySteps {
    pub(super) fn new(steps: usize) -> Self {
        Self { queryable: vec![0; steps], read: vec![0; steps] }
    }

    pub(super) fn add(&mut self, other: &BySteps) {
        let sum = |into: &mut [u64], from: &[u64]| into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        sum(&mut self.queryable, &other.queryable);
        sum(&mut self.read, &other.read);
    }
}

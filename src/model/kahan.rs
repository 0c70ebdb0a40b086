//! Kahan–Neumaier summation, in the order and with the overflow rule of Prometheus' `util/kahansum`.

/// A running sum and what rounding has lost from it so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KahanSum {
    pub sum: f64,
    pub compensation: f64,
}

impl KahanSum {
    pub fn new(first: f64) -> Self {
        Self { sum: first, compensation: 0.0 }
    }

    #[inline(always)]
    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        // Both are computed and one is chosen, so that loops over many sums vectorise.
        let of_larger_sum = (self.sum - total) + value;
        let of_larger_value = (value - total) + self.sum;
        let lost = if self.sum.abs() >= value.abs() { of_larger_sum } else { of_larger_value };
        self.compensation = if total.is_infinite() { 0.0 } else { self.compensation + lost };
        self.sum = total;
    }

    /// Adds another running sum, its compensation included.
    #[inline]
    pub fn merge(&mut self, other: &KahanSum) {
        self.add(other.sum);
        if other.compensation != 0.0 {
            self.add(other.compensation);
        }
    }

    #[inline]
    pub fn scale(&mut self, factor: f64) {
        self.sum *= factor;
        self.compensation *= factor;
    }

    #[inline]
    pub fn divide(&mut self, divisor: f64) {
        self.sum /= divisor;
        self.compensation /= divisor;
    }

    #[inline]
    pub fn value(&self) -> f64 {
        self.sum + self.compensation
    }
}

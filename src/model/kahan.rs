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

    #[inline]
    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.compensation = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.compensation += (self.sum - total) + value;
        } else {
            self.compensation += (value - total) + self.sum;
        }
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

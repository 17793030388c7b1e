//! Numbers of a cell: of one round, and over all rounds.

use std::fmt;

use serde::Serialize;

/// What one round measured of a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Orders placed or, where all are sold out, refused.
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Requests without the answer that was expected.
    pub(crate) errors: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8.0}/s  p50 {:>8.2} ms  p99 {:>8.2} ms", self.per_second, self.p50_ms, self.p99_ms)?;
        if self.errors > 0 { write!(f, "  {} ERRORS", self.errors) } else { Ok(()) }
    }
}

/// The least, the middle and the greatest of a number over the rounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        Self { min: rounded(sorted[0]), median: rounded(median), max: rounded(sorted[sorted.len() - 1]) }
    }
}

/// What all rounds measured of a cell.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) orders_per_second: Spread,
    pub(crate) p50_ms: Spread,
    pub(crate) p99_ms: Spread,
    pub(crate) errors: Spread,
}

impl Summary {
    /// Of at least one round.
    pub(crate) fn of(rounds: &[Measured]) -> Self {
        let spread = |number: fn(&Measured) -> f64| Spread::of(rounds.iter().map(number));
        Self {
            orders_per_second: spread(|measured| measured.per_second),
            p50_ms: spread(|measured| measured.p50_ms),
            p99_ms: spread(|measured| measured.p99_ms),
            errors: spread(|measured| measured.errors as f64),
        }
    }
}

/// The value below which `share` of the sorted values lie.
pub(crate) fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

//! A fine histogram of the comparisons that are too many to keep.

use crate::{Collection, Measure};

/// How many bins.
pub(crate) const BINS: usize = 1 << 14;

/// Counts of comparisons in equal bins.
#[derive(Clone, Debug)]
pub(crate) struct Fine {
    from: f32,
    width: f32,
    per_unit: f32,
    pub counts: Vec<u64>,
}

impl Fine {
    /// Bins over the range of some comparisons, and a little more; what lies outside falls into the end bins.
    pub fn sized_for(collection: &Collection, measure: &dyn Measure) -> Self {
        let rows = collection.len();
        let some = (0..10_000.min(rows * rows)).map(|i| {
            let (a, b) = (i * 7919 % rows, (i * 104_729 + i / rows + 1) % rows);
            measure.compare(collection.row(a), collection.row(b))
        });
        let (low, high) = some
            .filter(|d2| d2.is_finite())
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), d2| (low.min(d2), high.max(d2)));
        let (low, high) = if low < high { (low, high) } else { (0.0, 4.0) };
        let margin = 0.2 * (high - low);
        let width = (high - low + 2.0 * margin) / BINS as f32;
        Self { from: low - margin, width, per_unit: 1.0 / width, counts: vec![0; BINS] }
    }

    #[inline]
    pub fn count(&mut self, d2: f32) {
        // The conversion goes to the nearest i32, so what lies outside stays outside.
        let bin = ((d2 - self.from) * self.per_unit) as i32;
        self.counts[bin.clamp(0, BINS as i32 - 1) as usize] += 1;
    }

    /// Lower edge of a bin; that of [`BINS`] is the upper edge of the last.
    pub fn edge(&self, bin: usize) -> f32 {
        self.from + self.width * bin as f32
    }

    /// How many are at most this, spread evenly within a bin.
    pub fn at_most(&self, d2: f32) -> f64 {
        let at = ((d2 - self.from) * self.per_unit).clamp(0.0, BINS as f32);
        let below: u64 = self.counts[..at as usize].iter().sum();
        let inside = self.counts.get(at as usize).map_or(0.0, |count| *count as f64 * f64::from(at.fract()));
        below as f64 + inside
    }

    /// Middle and count of each bin.
    pub fn bins(&self) -> impl Iterator<Item = (f32, u64)> {
        self.counts.iter().enumerate().map(|(bin, count)| (self.edge(bin) + 0.5 * self.width, *count))
    }
}

//! The threshold policy: from the risk that the owner accepts to the dissimilarity tau in force.
//!
//! A search among N references is N comparisons, so FPIR = 1 - (1 - FMR)^N. The encoder's card has measured how often
//! strangers come as near as d²; reading that table backwards gives the tau at which the stated FPIR holds.

use heapless::Vec;
use libm::{exp, expm1, log, log1p};

/// Most points an impostor table may have.
pub const TABLE_POINTS_MAX: usize = 64;

/// One point: this part of all impostor comparisons has a dissimilarity of at most `d2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImpostorPoint {
    /// False match rate per comparison, 0..1.
    pub fmr: f64,
    /// Dissimilarity d² at which it is reached.
    pub d2: f32,
    /// No comparison stands behind it: a tail was fitted to the measured ones, and `d2` is the strict end of its interval.
    pub extrapolated: bool,
}

/// An encoder's impostor distribution, strictest point first: measured, and beyond that perhaps extrapolated.
#[derive(Clone, Debug, PartialEq)]
pub struct ImpostorTable {
    points: Vec<ImpostorPoint, TABLE_POINTS_MAX>,
}

/// The threshold in force, and what it gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// Largest d² that counts as a match.
    pub tau: f32,
    /// The FMR per comparison that the target asks for.
    pub fmr_needed: f64,
    /// The FPIR that the table supports at this tau: the target, or more when the target cannot be had.
    pub fpir: f64,
    /// Whether the target is met. When not, tau is the strictest in the table.
    pub target_met: bool,
    /// Whether tau lies beyond what was measured.
    pub extrapolated: bool,
}

/// FPIR of one search among `n` references at a false match rate per comparison of `fmr`.
#[must_use]
pub fn fpir(fmr: f64, n: usize) -> f64 {
    -expm1(n as f64 * log1p(-fmr))
}

/// The false match rate per comparison at which a search among `n` references has this FPIR.
#[must_use]
pub fn fmr_for(fpir: f64, n: usize) -> f64 {
    -expm1(log1p(-fpir) / n.max(1) as f64)
}

impl ImpostorTable {
    /// Takes points in any order; `None` when there are none or too many, when d² does not grow with FMR, or when a
    /// measured point is stricter than an extrapolated one.
    #[must_use]
    pub fn new(given: &[ImpostorPoint]) -> Option<Self> {
        let mut points: Vec<ImpostorPoint, TABLE_POINTS_MAX> = Vec::from_slice(given).ok()?;
        points.sort_unstable_by(|a, b| a.fmr.total_cmp(&b.fmr));
        let sound = |p: &ImpostorPoint| p.fmr > 0.0 && p.fmr < 1.0 && p.d2.is_finite();
        let growing = points.windows(2).all(|w| w[0].fmr < w[1].fmr && w[0].d2 <= w[1].d2);
        let beyond = points.windows(2).all(|w| w[0].extrapolated || !w[1].extrapolated);
        (!points.is_empty() && points.iter().all(sound) && growing && beyond).then_some(Self { points })
    }

    /// The points, strictest first.
    #[must_use]
    pub fn points(&self) -> &[ImpostorPoint] {
        &self.points
    }

    /// The threshold at which a search among `references` references has at most `fpir_target` false positives.
    ///
    /// Between points log FMR is interpolated linearly in d². Beyond the strictest nothing is invented: tau stays there
    /// and `target_met` is false. Beyond the loosest, tau stays there too, which is stricter than asked.
    #[must_use]
    pub fn threshold(&self, fpir_target: f64, references: usize) -> Threshold {
        let fmr_needed = fmr_for(fpir_target, references);
        let strictest = self.points[0];
        let above = self.points.iter().position(|p| p.fmr >= fmr_needed);
        let (tau, extrapolated) = match above {
            Some(0) => (strictest.d2, strictest.extrapolated),
            None => (self.points[self.points.len() - 1].d2, false),
            Some(i) => {
                let (lo, hi) = (self.points[i - 1], self.points[i]);
                let part = log(fmr_needed / lo.fmr) / log(hi.fmr / lo.fmr);
                // A point hit exactly is that point: what lies beyond it has no part in it.
                (lo.d2 + (hi.d2 - lo.d2) * part as f32, lo.extrapolated && hi.fmr > fmr_needed)
            }
        };
        let target_met = fmr_needed >= strictest.fmr;
        let reached = if target_met { fpir_target } else { fpir(strictest.fmr, references) };
        Threshold { tau, fmr_needed, fpir: reached, target_met, extrapolated }
    }

    /// The FMR at a threshold that somebody chose: an upper bound as far as the table goes, interpolated as above.
    ///
    /// Stricter than the strictest point, that point's FMR is given, which is more than the truth. `None` beyond the
    /// loosest: nothing was measured there.
    #[must_use]
    pub fn fmr_at(&self, tau: f32) -> Option<f64> {
        let above = self.points.iter().position(|p| p.d2 >= tau)?;
        let hi = self.points[above];
        let Some(lo) = above.checked_sub(1).map(|below| self.points[below]) else { return Some(hi.fmr) };
        let part = f64::from((tau - lo.d2) / (hi.d2 - lo.d2));
        Some(exp(log(lo.fmr) + part * log(hi.fmr / lo.fmr)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> ImpostorTable {
        let point = |fmr, d2| ImpostorPoint { fmr, d2, extrapolated: false };
        ImpostorTable::new(&[point(1e-3, 1.26), point(1e-6, 0.94), point(1e-4, 1.145), point(1e-5, 1.041)]).unwrap()
    }

    #[test]
    fn a_measured_point_is_read_back_exactly() {
        let got = table().threshold(1e-4, 1);
        assert!((got.tau - 1.145).abs() < 1e-4 && got.target_met, "{got:?}");
    }

    #[test]
    fn ten_people_need_a_ten_times_stricter_comparison() {
        let got = table().threshold(1e-3, 100);
        assert!((got.fmr_needed / 1.0005e-5 - 1.0).abs() < 1e-3, "{got:?}");
        assert!((got.tau - 1.041).abs() < 1e-3, "{got:?}");
    }

    #[test]
    fn a_target_beyond_what_was_measured_is_told_not_invented() {
        let got = table().threshold(1e-3, 100_000);
        assert!(!got.target_met);
        assert_eq!(got.tau, 0.94);
        assert!((got.fpir - fpir(1e-6, 100_000)).abs() < 1e-12 && got.fpir > 0.09, "{got:?}");
    }

    #[test]
    fn a_target_looser_than_the_table_stays_at_its_loosest_point() {
        assert_eq!(table().threshold(0.4, 1).tau, 1.26);
    }

    #[test]
    fn tables_that_make_no_sense_are_refused() {
        let point = |fmr, d2| ImpostorPoint { fmr, d2, extrapolated: false };
        assert!(ImpostorTable::new(&[]).is_none());
        assert!(ImpostorTable::new(&[point(1e-3, 0.9), point(1e-4, 1.1)]).is_none());
        assert!(ImpostorTable::new(&[point(0.0, 0.9)]).is_none());
    }

    #[test]
    fn beyond_what_was_measured_the_fitted_tail_serves_and_is_told() {
        let point = |fmr, d2, extrapolated| ImpostorPoint { fmr, d2, extrapolated };
        let points =
            [point(1e-3, 1.26, false), point(1e-5, 1.04, false), point(1e-6, 0.9, true), point(1e-7, 0.8, true)];
        let table = ImpostorTable::new(&points).unwrap();
        let measured = table.threshold(1e-5, 1);
        assert!(measured.target_met && !measured.extrapolated && (measured.tau - 1.04).abs() < 1e-4, "{measured:?}");
        let fitted = table.threshold(1e-4, 100);
        assert!(fitted.target_met && fitted.extrapolated && (fitted.tau - 0.9).abs() < 1e-3, "{fitted:?}");
        let between = table.threshold(5e-6, 1);
        assert!(between.extrapolated && between.tau < 1.04 && between.tau > 0.9, "{between:?}");
        assert!(!table.threshold(1e-4, 100_000).target_met);
        // A measured point beyond an extrapolated one makes no sense.
        assert!(ImpostorTable::new(&[point(1e-4, 1.1, true), point(1e-6, 0.9, false)]).is_none());
    }

    #[test]
    fn a_threshold_set_by_hand_has_a_rate_as_far_as_the_table_goes() {
        let table = table();
        assert!((table.fmr_at(1.145).unwrap() / 1e-4 - 1.0).abs() < 1e-3);
        assert_eq!(table.fmr_at(0.5), Some(1e-6), "stricter than measured: at most the strictest");
        assert_eq!(table.fmr_at(1.5), None, "looser than measured: nothing is known");
        assert_eq!(table.fmr_at(f32::NAN), None);
    }

    proptest! {
        #[test]
        fn threshold_and_rate_are_inverse(n in 1usize..1_000, target in 1e-4f64..1e-2) {
            let threshold = table().threshold(target, n);
            prop_assume!(threshold.target_met && threshold.tau < 1.26);
            let back = fpir(table().fmr_at(threshold.tau).unwrap(), n);
            prop_assert!((back / target - 1.0).abs() < 1e-3, "{back} for {target}");
        }

        #[test]
        fn more_people_never_loosen_the_threshold(n in 1usize..1_000_000, more in 1usize..1_000_000, target in 1e-6f64..0.3) {
            prop_assert!(table().threshold(target, n + more).tau <= table().threshold(target, n).tau);
        }

        #[test]
        fn fpir_and_fmr_are_inverse(n in 1usize..100_000, target in 1e-6f64..0.5) {
            prop_assert!((fpir(fmr_for(target, n), n) / target - 1.0).abs() < 1e-6);
        }
    }
}

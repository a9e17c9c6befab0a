//! How well genuine pairs are told from impostor pairs: what training looks at while it runs. Rates that are to be
//! published, with their intervals, are gate-stats' work.

/// Genuine and impostor dissimilarities, each in rising order. Smaller is more alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Verification {
    genuine: Vec<f32>,
    impostors: Vec<f32>,
}

/// What happens at one threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operating {
    /// Part of the impostor pairs accepted there; the one asked for, or the least that the pairs support.
    pub fmr: f64,
    /// The threshold.
    pub threshold: f32,
    /// Part of the genuine pairs accepted there.
    pub tar: f64,
}

/// Impostor pairs that must stand behind a threshold.
const SUPPORT: usize = 5;

impl Verification {
    /// Compares all pairs of these pictures by `compare(i, j)`.
    pub fn all_pairs(pictures: &[u32], person: &[u32], mut compare: impl FnMut(usize, usize) -> f32) -> Self {
        let (mut genuine, mut impostors) = (Vec::new(), Vec::new());
        for (n, i) in pictures.iter().map(|i| *i as usize).enumerate() {
            for j in pictures[n + 1..].iter().map(|j| *j as usize) {
                let to = if person[i] == person[j] { &mut genuine } else { &mut impostors };
                to.push(compare(i, j));
            }
        }
        Self::new(genuine, impostors)
    }

    /// From dissimilarities in any order.
    #[must_use]
    pub fn new(mut genuine: Vec<f32>, mut impostors: Vec<f32>) -> Self {
        genuine.sort_unstable_by(f32::total_cmp);
        impostors.sort_unstable_by(f32::total_cmp);
        Self { genuine, impostors }
    }

    /// In rising order.
    #[must_use]
    pub fn genuine(&self) -> &[f32] {
        &self.genuine
    }

    /// In rising order.
    #[must_use]
    pub fn impostors(&self) -> &[f32] {
        &self.impostors
    }

    /// The least FMR that these pairs support.
    #[must_use]
    pub fn least_fmr(&self) -> f64 {
        (SUPPORT as f64 / self.impostors.len().max(1) as f64).min(1.0)
    }

    /// At this FMR, or at the least supported one if that is larger. `None` without pairs of both kinds.
    #[must_use]
    pub fn at_fmr(&self, fmr: f64) -> Option<Operating> {
        let n = self.impostors.len();
        let rank = ((n as f64 * fmr) as usize).clamp(SUPPORT.min(n), n.max(SUPPORT));
        let threshold = *self.impostors.get(rank.checked_sub(1)?)?;
        let found = self.genuine.partition_point(|g| *g <= threshold);
        if self.genuine.is_empty() {
            return None;
        }
        Some(Operating { fmr: rank as f64 / n as f64, threshold, tar: found as f64 / self.genuine.len() as f64 })
    }

    /// Part of the genuine pairs missed at FMR 1e-3, with a soft step instead of a hard one: few genuine pairs lie near
    /// the threshold, and counting them would say the same of two trainings that differ. The step's width is a quarter
    /// of the way between the thresholds at FMR 1e-1 and 1e-3, so scale and offset of the dissimilarity do not matter.
    #[must_use]
    pub fn soft_fnmr(&self) -> f64 {
        let (Some(loose), Some(strict)) = (self.at_fmr(1e-1), self.at_fmr(1e-3)) else { return 1.0 };
        let width = f64::from(loose.threshold - strict.threshold) / 4.0;
        if width.is_nan() || width <= 0.0 {
            return 1.0;
        }
        let missed = |g: &f32| 1.0 / (1.0 + (-f64::from(g - strict.threshold) / width).exp());
        self.genuine.iter().map(missed).sum::<f64>() / self.genuine.len() as f64
    }

    /// Probability that a genuine pair is more alike than an impostor pair (ROC AUC); 0.5 is chance.
    #[must_use]
    pub fn auc(&self) -> f64 {
        let above: usize =
            self.genuine.iter().map(|g| self.impostors.len() - self.impostors.partition_point(|i| i <= g)).sum();
        above as f64 / (self.genuine.len() * self.impostors.len()).max(1) as f64
    }

    /// The error rate where FMR and FNMR are equal; 0.5 is chance.
    #[must_use]
    pub fn eer(&self) -> f64 {
        let (g, n) = (self.genuine.len().max(1) as f64, self.impostors.len().max(1) as f64);
        let rates = self.genuine.iter().enumerate().map(|(missed, threshold)| {
            let accepted = self.impostors.partition_point(|i| i <= threshold);
            ((self.genuine.len() - missed - 1) as f64 / g, accepted as f64 / n)
        });
        rates.map(|(fnmr, fmr)| fnmr.max(fmr)).fold(1.0, f64::min)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// People as unit vectors: what is theirs in the first half of the elements, and in the second half, `noise` times
    /// as strong, what changes from picture to picture.
    pub(crate) fn crowd(people: u32, pictures: usize, dim: usize, noise: f32, seed: u64) -> (Vec<f32>, Vec<u32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut vectors, mut person) = (Vec::new(), Vec::new());
        for who in 0..people {
            let own: Vec<f32> = (0..dim / 2).map(|_| rng.random_range(-1.0..1.0)).collect();
            for _ in 0..pictures {
                let mut row: Vec<f32> = own.iter().map(|x| x + rng.random_range(-0.3..0.3)).collect();
                row.extend((dim / 2..dim).map(|_| noise * rng.random_range(-1.0f32..1.0)));
                assert!(gate_core::similarity::normalise(&mut row));
                vectors.extend(row);
                person.push(who);
            }
        }
        (vectors, person)
    }

    fn ramp(genuine: usize, impostors: usize) -> Verification {
        let rise = |n: usize, from: f32| (0..n).rev().map(|i| from + i as f32 / n as f32).collect();
        Verification::new(rise(genuine, 0.0), rise(impostors, 0.5))
    }

    #[test]
    fn rates_are_counted() {
        let pairs = ramp(100, 10_000);
        let at = pairs.at_fmr(1e-2).unwrap();
        assert!((at.fmr - 1e-2).abs() < 1e-9 && (at.threshold - 0.51).abs() < 1e-3 && (at.tar - 0.51).abs() < 0.011);
        assert!((pairs.auc() - 0.875).abs() < 0.01, "{}", pairs.auc());
        assert!((pairs.eer() - 0.25).abs() < 0.011, "{}", pairs.eer());
        assert!((pairs.soft_fnmr() - 0.5).abs() < 0.02, "{}", pairs.soft_fnmr());
    }

    #[test]
    fn a_rate_that_the_pairs_do_not_support_becomes_the_least_that_they_do() {
        assert!((ramp(10, 100).at_fmr(1e-6).unwrap().fmr - 0.05).abs() < 1e-9);
        assert!(ramp(0, 100).at_fmr(1e-2).is_none() && ramp(10, 0).at_fmr(1e-2).is_none());
    }

    #[test]
    fn scale_and_offset_do_not_matter() {
        let pairs = ramp(50, 5_000);
        let moved = |v: &[f32]| v.iter().map(|x| 8.0 * x - 4.0).collect();
        let other = Verification::new(moved(pairs.genuine()), moved(pairs.impostors()));
        assert!((pairs.soft_fnmr() - other.soft_fnmr()).abs() < 1e-4);
    }
}

//! A site's own impostor distribution: what its people, its camera and its light make of an encoder's.
//!
//! A site has few people, so it measures loose thresholds only; the encoder's table, measured on many, goes on from there.
//!
//! ```text
//! FMR   1e-1   1e-2 │ 1e-3   1e-4  1e-6 ...
//!       the site's  │ the encoder's d², moved by how much nearer strangers come here at the last rate that
//!       strict ends │ many comparisons of the site stand behind; never moved the loose way
//! ```

use crate::rate::{COMPARISONS_MIN, Unsupported};
use crate::tail::TablePoint;
use crate::verification::threshold_at_fmr;
use crate::{Bootstrap, Comparisons};

/// Comparisons that must be behind the rate from which the encoder's table is moved: ten times as many as behind a rate that
/// is only stated, since everything stricter rests on it.
const ANCHOR_MIN: u64 = 10 * COMPARISONS_MIN;

/// A site's table, and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteTable {
    /// Every point the strict end of its interval (`d2` = `low`); beyond the site's own measurements `extrapolated`.
    pub points: Vec<TablePoint>,
    /// By how much the encoder's points were moved, in d²; 0 or less.
    pub moved: f32,
    /// The rate from which that was taken.
    pub anchor_fmr: f64,
}

/// Joins an encoder's table (FMR and d², any order) with a site's comparisons.
///
/// # Errors
/// When the site supports none of the encoder's rates: too few people or comparisons.
pub fn site_table(encoder: &[(f64, f32)], site: &Comparisons, bootstrap: &Bootstrap) -> Result<SiteTable, Unsupported> {
    let mut encoder = encoder.to_vec();
    // Loosest first: there the site has most to say.
    encoder.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let rates: Vec<f64> = encoder.iter().map(|(fmr, _)| *fmr).collect();
    let measured = threshold_at_fmr(site, &rates, bootstrap);
    // What the loosest rate lacks, all lack.
    if let Some(Err(why)) = measured.first() {
        return Err(*why);
    }
    let (mut moved, mut anchor_fmr) = (0.0, f64::NAN);
    for ((fmr, d2), measured) in encoder.iter().zip(&measured) {
        if let Ok((threshold, count)) = measured
            && (*count >= ANCHOR_MIN || anchor_fmr.is_nan())
        {
            (moved, anchor_fmr) = ((threshold.low - d2).min(0.0), *fmr);
        }
    }
    let mut points: Vec<TablePoint> = Vec::with_capacity(encoder.len());
    for ((fmr, d2), measured) in encoder.iter().zip(measured) {
        let (own, comparisons, high) = match measured {
            Ok((threshold, count)) => (Some(threshold.low), count, threshold.high),
            Err(_) => (None, 0, d2 + moved),
        };
        // A stricter rate never has a looser threshold, whichever table it is from.
        let looser = points.last().map_or(f32::INFINITY, |point| point.d2);
        let strict = own.unwrap_or(d2 + moved).min(looser);
        let extrapolated = own.is_none();
        points.push(TablePoint { fmr: *fmr, d2: strict, low: strict, high, comparisons, extrapolated });
    }
    Ok(SiteTable { points, moved, anchor_fmr })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Collection, Distance, KEEP_DEFAULT, all_pairs};
    use gate_core::similarity::normalise;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// People with two pictures each, all of them alike to this degree.
    fn site(people: u32, alike: f32) -> Comparisons {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut vectors = Vec::new();
        for _ in 0..people {
            let own: Vec<f32> = (0..16).map(|_| rng.random_range(-1.0..1.0)).collect();
            for _ in 0..2 {
                let noise = own.iter().map(|x| x + rng.random_range(-0.2f32..0.2));
                let mut vector: Vec<f32> = noise.enumerate().map(|(i, x)| if i == 0 { x + alike } else { x }).collect();
                assert!(normalise(&mut vector));
                vectors.extend(vector);
            }
        }
        let person = (0..people).flat_map(|p| [p, p]).collect();
        all_pairs(&Collection::new(16, vectors, person).unwrap(), &Distance, KEEP_DEFAULT, &|_| ())
    }

    /// The table of a large site where nobody is especially alike.
    fn encoder() -> Vec<(f64, f32)> {
        let rates = [1e-1, 1e-2, 1e-3, 1e-4];
        let measured = threshold_at_fmr(&site(400, 0.0), &rates, &Bootstrap::default());
        let mut table: Vec<(f64, f32)> = rates.iter().zip(measured).map(|(fmr, m)| (*fmr, m.unwrap().0.d2)).collect();
        table.push((1e-6, table[3].1 - 0.2));
        table
    }

    #[test]
    fn a_site_whose_people_are_alike_gets_stricter_thresholds_all_the_way() {
        let encoder = encoder();
        let table = site_table(&encoder, &site(60, 0.8), &Bootstrap::default()).unwrap();
        assert!(table.moved < -0.05, "{table:?}");
        for (point, (fmr, d2)) in table.points.iter().zip(&encoder) {
            assert!(point.fmr == *fmr && point.d2 < *d2, "{point:?} is not stricter than {d2}");
        }
        assert!(table.points.last().is_some_and(|point| point.extrapolated && point.comparisons == 0));
    }

    #[test]
    fn beyond_its_own_measurements_a_site_is_never_looser_than_the_encoder() {
        let mut encoder = encoder();
        // An encoder measured on people who look much more alike than this site's.
        for (_, d2) in &mut encoder {
            *d2 -= 0.3;
        }
        let table = site_table(&encoder, &site(60, 0.0), &Bootstrap::default()).unwrap();
        assert_eq!(table.moved, 0.0);
        for (point, (_, d2)) in table.points.iter().zip(&encoder) {
            assert!(!point.extrapolated || point.d2 <= *d2, "{point:?} is looser than {d2}");
        }
        assert!(table.points[0].d2 > encoder[0].1, "what the site has measured itself counts");
        assert!(table.points.windows(2).all(|w| w[1].d2 <= w[0].d2), "{table:?}");
    }

    #[test]
    fn four_people_are_no_site() {
        let few = site_table(&encoder(), &site(4, 0.0), &Bootstrap::default());
        assert!(few.is_err(), "{few:?}");
    }
}

//! All comparisons of a collection, or the listed ones, in bounded memory.
//!
//! Genuine comparisons are few and all kept. Of the impostor comparisons, which may be hundreds of millions, the nearest
//! are kept exactly (error rates live there), a thin sample of all of them is kept (for the intervals of loose thresholds),
//! and the rest is counted in a fine histogram.

use crate::bootstrap::Scored;
use crate::fine::{BINS, Fine};
use crate::{Collection, Measure, StatsError};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// Nearest impostor comparisons kept when nobody says otherwise: 24 MB.
pub const KEEP_DEFAULT: usize = 2_000_000;

/// Rows of a block: two blocks of vectors and their comparisons lie in a core's own cache.
const BLOCK: usize = 256;
/// About so many impostor comparisons are sampled.
const SAMPLE: u64 = 400_000;

/// A comparison of two pictures, by their rows in the collection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// One picture.
    pub a: u32,
    /// The other.
    pub b: u32,
    /// Their dissimilarity; never NaN.
    pub d2: f32,
}

/// Comparisons by kind, each sorted by dissimilarity.
#[derive(Clone, Debug)]
pub struct Comparisons {
    /// How many pictures each person has.
    counts: Vec<u32>,
    person: Vec<u32>,
    genuine: Vec<Pair>,
    nearest: Vec<Pair>,
    sample: Vec<Pair>,
    impostors: u64,
    fine: Fine,
}

/// Compares every picture with every other, by blocks, on all of rayon's threads.
///
/// `keep` nearest impostor comparisons are kept ([`KEEP_DEFAULT`]; 12 bytes each, twice that while it runs). `progress` is
/// called from any thread with the number of comparisons just done. The result does not depend on the number of threads.
#[must_use]
pub fn all_pairs(
    collection: &Collection,
    measure: &dyn Measure,
    keep: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> Comparisons {
    let blocks = collection.len().div_ceil(BLOCK);
    let jobs: Vec<(usize, usize)> = (0..blocks).flat_map(|i| (i..blocks).map(move |j| (i, j))).collect();
    let pairs = collection.len() as u64 * (collection.len() as u64).saturating_sub(1) / 2;
    let nearest = Nearest { keep, cutoff: AtomicU32::new(f32::INFINITY.to_bits()), found: Mutex::default() };
    let job = Job { collection, measure, nearest: &nearest, stride: (pairs / SAMPLE).max(1) | 1 };
    let fine = Fine::sized_for(collection, measure);
    let start =
        || Part { fine: fine.clone(), genuine: vec![], sample: vec![], impostors: 0, out: vec![], near: vec![] };
    let done = |mut part: Part, (i, j): (usize, usize)| {
        progress(job.run(&mut part, i * BLOCK, j * BLOCK));
        part
    };
    let all = jobs.into_par_iter().with_min_len(4).fold(start, done).reduce(start, Part::join);
    let found = nearest.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    Comparisons::new(collection, all, shrink(found, keep))
}

/// Compares the listed pairs of pictures, by their rows. Genuine is a pair of one person's pictures.
///
/// # Errors
/// When a pair names a picture that is not there.
pub fn listed(collection: &Collection, measure: &dyn Measure, pairs: &[(u32, u32)]) -> Result<Comparisons, StatsError> {
    let mut part = Part {
        fine: Fine::sized_for(collection, measure),
        genuine: vec![],
        sample: vec![],
        impostors: 0,
        out: vec![],
        near: vec![],
    };
    for (i, (a, b)) in pairs.iter().enumerate() {
        let pair = Pair { a: *a, b: *b, d2: compare_rows(collection, measure, i, (*a, *b))? };
        if collection.person(*a as usize) == collection.person(*b as usize) {
            part.genuine.push(pair);
        } else {
            part.impostors += 1;
            part.fine.count(pair.d2);
            part.near.push(pair);
        }
    }
    let near = std::mem::take(&mut part.near);
    Ok(Comparisons::new(collection, part, near))
}

/// Compares the pictures of pair number `i`.
pub(crate) fn compare_rows(
    collection: &Collection,
    measure: &dyn Measure,
    i: usize,
    (a, b): (u32, u32),
) -> Result<f32, StatsError> {
    let pictures = collection.len();
    if let Some(picture) = [a, b].into_iter().find(|picture| *picture as usize >= pictures) {
        return Err(StatsError::NoSuchPicture { pair: i, picture, pictures });
    }
    Ok(number(measure.compare(collection.row(a as usize), collection.row(b as usize))))
}

/// What is not a number is infinitely unlike, so that it is never near.
#[inline]
pub(crate) fn number(d2: f32) -> f32 {
    if d2.is_nan() { f32::INFINITY } else { d2 }
}

/// The nearest comparisons found so far, by all threads together.
struct Nearest {
    keep: usize,
    /// Bits of the d2 beyond which a comparison is surely not among the nearest.
    cutoff: AtomicU32,
    found: Mutex<Vec<Pair>>,
}

impl Nearest {
    fn cutoff(&self) -> f32 {
        f32::from_bits(self.cutoff.load(Ordering::Relaxed))
    }

    /// Takes a block's near comparisons over. Twice as many as are kept may gather before the farther half goes.
    fn take(&self, near: &mut Vec<Pair>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.append(near);
        if found.len() > self.keep.saturating_mul(2).max(1024) {
            let kept = shrink(std::mem::take(&mut *found), self.keep);
            if let Some(farthest) = kept.iter().map(|pair| pair.d2).max_by(f32::total_cmp) {
                self.cutoff.store(farthest.to_bits(), Ordering::Relaxed);
            }
            *found = kept;
        }
    }
}

/// Nearest first; of equal ones the order of their pictures decides, so that there is only one answer.
fn order(x: &Pair, y: &Pair) -> std::cmp::Ordering {
    x.d2.total_cmp(&y.d2).then_with(|| (x.a, x.b).cmp(&(y.a, y.b)))
}

/// The `keep` nearest, in any order.
fn shrink(mut found: Vec<Pair>, keep: usize) -> Vec<Pair> {
    if keep < found.len() {
        found.select_nth_unstable_by(keep, order);
        found.truncate(keep);
    }
    found
}

/// What one thread has gathered.
struct Part {
    fine: Fine,
    genuine: Vec<Pair>,
    sample: Vec<Pair>,
    impostors: u64,
    /// Scratch: a block's comparisons, and its near ones.
    out: Vec<f32>,
    near: Vec<Pair>,
}

impl Part {
    fn join(mut self, other: Self) -> Self {
        self.fine.counts.iter_mut().zip(other.fine.counts).for_each(|(a, b)| *a += b);
        self.genuine.extend(other.genuine);
        self.sample.extend(other.sample);
        self.impostors += other.impostors;
        self
    }
}

struct Job<'a> {
    collection: &'a Collection,
    measure: &'a dyn Measure,
    nearest: &'a Nearest,
    /// Every so manieth impostor comparison is sampled.
    stride: u64,
}

impl Job<'_> {
    /// Compares a block with another, or with itself; gives the number of comparisons.
    fn run(&self, part: &mut Part, from_a: usize, from_b: usize) -> u64 {
        let rows = self.collection.len();
        let (to_a, to_b) = ((from_a + BLOCK).min(rows), (from_b + BLOCK).min(rows));
        let width = to_b - from_b;
        let (a, b) = (self.collection.rows(from_a, to_a), self.collection.rows(from_b, to_b));
        let mut out = std::mem::take(&mut part.out);
        out.resize((to_a - from_a) * width, 0.0);
        self.measure.block(self.collection.dim(), a, b, &mut out);
        let cutoff = self.nearest.cutoff();
        let mut count = 0;
        for a in from_a..to_a {
            let first = from_b.max(a + 1).min(to_b);
            let row = &out[(a - from_a) * width..][first - from_b..width];
            count += row.len() as u64;
            self.sort_in(part, a, first, row, cutoff);
        }
        self.nearest.take(&mut part.near);
        part.out = out;
        count
    }

    /// Puts the comparisons of picture `a` with those from `first` on where they belong.
    fn sort_in(&self, part: &mut Part, a: usize, first: usize, row: &[f32], cutoff: f32) {
        let persons = &self.collection.persons()[first..];
        let person = self.collection.person(a);
        let pair = |j: usize, d2: f32| Pair { a: a as u32, b: (first + j) as u32, d2 };
        for (j, (d2, other)) in row.iter().zip(persons).enumerate() {
            let d2 = number(*d2);
            if *other == person {
                part.genuine.push(pair(j, d2));
                continue;
            }
            part.impostors += 1;
            part.fine.count(d2);
            if d2 <= cutoff {
                part.near.push(pair(j, d2));
            }
        }
        // A lattice over all pairs: it meets every person's pictures equally often.
        let offset = (a as u64 * 7919 + first as u64) % self.stride;
        for j in (((self.stride - offset) % self.stride) as usize..row.len()).step_by(self.stride as usize) {
            if persons[j] != person {
                part.sample.push(pair(j, number(row[j])));
            }
        }
    }
}

impl Comparisons {
    fn new(collection: &Collection, part: Part, mut nearest: Vec<Pair>) -> Self {
        let Part { fine, mut genuine, mut sample, impostors, .. } = part;
        for pairs in [&mut genuine, &mut nearest, &mut sample] {
            pairs.par_sort_unstable_by(order);
        }
        Self {
            counts: collection.counts(),
            person: collection.persons().to_vec(),
            genuine,
            nearest,
            sample,
            impostors,
            fine,
        }
    }

    /// All genuine comparisons, nearest first.
    #[must_use]
    pub fn genuine(&self) -> &[Pair] {
        &self.genuine
    }

    /// The nearest impostor comparisons, nearest first: as many as were to be kept, or all.
    #[must_use]
    pub fn nearest_impostors(&self) -> &[Pair] {
        &self.nearest
    }

    /// How many impostor comparisons there were.
    #[must_use]
    pub fn impostors(&self) -> u64 {
        self.impostors
    }

    /// How many pictures each person has, by number.
    #[must_use]
    pub fn pictures(&self) -> &[u32] {
        &self.counts
    }

    /// People with a picture.
    #[must_use]
    pub fn people(&self) -> u32 {
        self.present().len() as u32
    }

    /// Whose picture i is.
    #[must_use]
    pub fn person(&self, i: u32) -> u32 {
        self.person[i as usize]
    }

    /// The largest threshold at which at most this part of the impostor comparisons matches (d² <= threshold), and how many
    /// do. Exact among the nearest that were kept, to a 16384th of the range beyond. `None` when not even one may.
    #[must_use]
    pub fn threshold(&self, fmr: f64) -> Option<(f32, u64)> {
        let allowed = (fmr * self.impostors as f64 * (1.0 + 1e-12)) as u64;
        if allowed == 0 {
            return None;
        }
        if let Some(next) = self.nearest.get(allowed as usize) {
            let last = self.nearest[allowed as usize - 1].d2;
            let tau = if last < next.d2 { last } else { next.d2.next_down() };
            return Some((tau, self.nearest.partition_point(|pair| pair.d2 <= tau) as u64));
        }
        if self.complete() {
            return self.nearest.last().map(|pair| (pair.d2, self.impostors));
        }
        let mut sum = 0;
        let kept = (self.nearest.last().map_or(f32::NEG_INFINITY, |pair| pair.d2), self.nearest.len() as u64);
        for (bin, count) in self.fine.counts.iter().enumerate() {
            if sum + count > allowed {
                // The last that was kept may lie within this bin.
                return Some((self.fine.edge(bin).max(kept.0), sum.max(kept.1)));
            }
            sum += count;
        }
        Some((self.fine.edge(BINS), self.impostors))
    }

    /// Part of the impostor comparisons at or below a threshold; exact as far as [`Comparisons::threshold`]. 0 without any.
    #[must_use]
    pub fn fmr(&self, tau: f32) -> f64 {
        let kept = self.nearest.partition_point(|pair| pair.d2 <= tau);
        let matches = if kept < self.nearest.len() || self.complete() {
            kept as f64
        } else {
            self.fine.at_most(tau).max(kept as f64)
        };
        matches / self.impostors.max(1) as f64
    }

    /// Part of the genuine comparisons above a threshold; `None` without any.
    #[must_use]
    pub fn fnmr(&self, tau: f32) -> Option<f64> {
        let within = self.genuine.partition_point(|pair| pair.d2 <= tau);
        (!self.genuine.is_empty()).then(|| 1.0 - within as f64 / self.genuine.len() as f64)
    }

    /// Whether every impostor comparison was kept.
    pub(crate) fn complete(&self) -> bool {
        self.nearest.len() as u64 == self.impostors
    }

    /// Numbers of the people with a picture.
    pub(crate) fn present(&self) -> Vec<u32> {
        (0..self.counts.len() as u32).filter(|person| self.counts[*person as usize] > 0).collect()
    }

    /// The impostor comparisons' histogram: middle and count of each bin.
    pub(crate) fn fine_bins(&self) -> impl Iterator<Item = (f32, u64)> {
        self.fine.bins()
    }

    pub(crate) fn scored(&self, pairs: &[Pair]) -> Vec<Scored> {
        let nobody = self.counts.len() as u32;
        let people = |pair: &Pair| match (self.person(pair.a), self.person(pair.b)) {
            (p, q) if p == q => [p, nobody],
            (p, q) => [p, q],
        };
        pairs.iter().map(|pair| Scored { d2: pair.d2, people: people(pair) }).collect()
    }

    pub(crate) fn sample(&self) -> &[Pair] {
        &self.sample
    }

    /// Weight of all impostor comparisons when person p comes up `times[p]` times.
    pub(crate) fn impostor_weight(&self, near: &[Scored], times: &[u32]) -> f64 {
        if self.complete() {
            return near.iter().map(|trial| f64::from(trial.weight(times))).sum();
        }
        // All pairs: ((sum m c)² - sum (m c)²) / 2, without looking at any of them.
        let (mut sum, mut squares) = (0.0, 0.0);
        for (count, times) in self.counts.iter().zip(times) {
            let pictures = f64::from(count * times);
            sum += pictures;
            squares += pictures * pictures;
        }
        (sum * sum - squares) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Distance;
    use crate::simulate::faces;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn all_pairs_equals_brute_force(people in 1u32..200, pictures in 1u32..4, seed in 0u64..1000, keep in 0usize..3000) {
            let faces = faces(people, pictures, 8, 0.5, seed);
            let counted = std::sync::atomic::AtomicU64::new(0);
            let got = all_pairs(&faces, &Distance, keep, &|n| { counted.fetch_add(n, Ordering::Relaxed); });
            let n = faces.len();
            prop_assert_eq!(counted.into_inner() as usize, n * (n - 1) / 2);
            let (mut genuine, mut impostors) = (vec![], vec![]);
            for a in 0..n {
                for b in a + 1..n {
                    let d2 = Distance.compare(faces.row(a), faces.row(b));
                    if faces.person(a) == faces.person(b) { genuine.push(d2) } else { impostors.push(d2) }
                }
            }
            genuine.sort_unstable_by(f32::total_cmp);
            impostors.sort_unstable_by(f32::total_cmp);
            prop_assert_eq!(got.impostors() as usize, impostors.len());
            prop_assert_eq!(got.genuine().len(), genuine.len());
            prop_assert_eq!(got.nearest_impostors().len(), keep.min(impostors.len()));
            let near = got.nearest_impostors().iter().zip(&impostors);
            for (pair, d2) in got.genuine().iter().zip(&genuine).chain(near) {
                prop_assert!((pair.d2 - d2).abs() < 1e-5);
            }
            for fmr in [0.01, 0.1, 0.5] {
                if let Some((tau, matches)) = got.threshold(fmr) {
                    let direct = impostors.iter().filter(|d2| **d2 <= tau + 1e-5).count();
                    prop_assert!(direct as f64 + 1e-9 >= matches as f64);
                    prop_assert!(matches as f64 <= fmr * impostors.len() as f64 + 1e-9);
                    prop_assert!((got.fmr(tau) * impostors.len() as f64 - matches as f64).abs() < 1.0);
                }
            }
        }
    }

    #[test]
    fn all_of_them_or_the_nearest_few_give_the_same_rates() {
        let faces = faces(300, 3, 16, 0.5, 7);
        let (all, few) =
            (all_pairs(&faces, &Distance, usize::MAX, &|_| ()), all_pairs(&faces, &Distance, 5000, &|_| ()));
        assert!(all.complete() && !few.complete());
        assert_eq!(few.nearest_impostors(), &all.nearest_impostors()[..5000]);
        assert_eq!(few.threshold(1e-3), all.threshold(1e-3));
        let (loose, exact) = (few.threshold(0.3).unwrap(), all.threshold(0.3).unwrap());
        assert!(loose.0 <= exact.0 && exact.0 - loose.0 < 1e-3, "{loose:?} is not just below {exact:?}");
        let times = vec![2; 301];
        let near = all.scored(all.nearest_impostors());
        assert_eq!(all.impostor_weight(&near, &times), few.impostor_weight(&[], &times));
    }

    #[test]
    fn equal_values_are_let_in_all_or_none() {
        struct Coarse;
        impl Measure for Coarse {
            fn compare(&self, a: &[f32], b: &[f32]) -> f32 {
                (Distance.compare(a, b) * 4.0).round()
            }
        }
        let comparisons = all_pairs(&faces(200, 1, 8, 0.5, 3), &Coarse, KEEP_DEFAULT, &|_| ());
        for fmr in [1e-3, 1e-2, 0.1, 0.5] {
            let (tau, matches) = comparisons.threshold(fmr).unwrap();
            assert!(matches as f64 <= fmr * comparisons.impostors() as f64);
            assert!((comparisons.fmr(tau) * comparisons.impostors() as f64 - matches as f64).abs() < 1e-6);
        }
    }

    #[test]
    fn what_is_not_a_number_is_counted_and_never_near() {
        struct Odd;
        impl Measure for Odd {
            fn compare(&self, a: &[f32], b: &[f32]) -> f32 {
                let d2 = Distance.compare(a, b);
                if d2 < 1.5 { f32::NAN } else { d2 }
            }
        }
        let comparisons = all_pairs(&faces(60, 1, 8, 0.5, 3), &Odd, KEEP_DEFAULT, &|_| ());
        assert_eq!(comparisons.impostors(), 60 * 59 / 2);
        assert!(comparisons.nearest_impostors()[0].d2 >= 1.5);
        assert!(comparisons.nearest_impostors().last().unwrap().d2.is_infinite());
    }

    #[test]
    fn nobody_and_one_person_give_no_impostors() {
        let empty = Collection::new(4, vec![], vec![]).unwrap();
        let none = all_pairs(&empty, &Distance, 10, &|_| ());
        assert_eq!((none.impostors(), none.genuine().len(), none.threshold(0.1)), (0, 0, None));
        let alone = all_pairs(&faces(1, 3, 8, 0.5, 1), &Distance, 10, &|_| ());
        assert_eq!((alone.impostors(), alone.genuine().len(), alone.threshold(0.1)), (0, 3, None));
    }

    #[test]
    fn a_listed_pair_of_a_picture_that_is_not_there_is_told() {
        let faces = faces(3, 2, 8, 0.5, 1);
        let got = listed(&faces, &Distance, &[(0, 1), (0, 2), (2, 6)]);
        assert_eq!(got.err(), Some(StatsError::NoSuchPicture { pair: 2, picture: 6, pictures: 6 }));
        let good = listed(&faces, &Distance, &[(0, 1), (0, 2)]).unwrap();
        assert_eq!((good.genuine().len(), good.impostors()), (1, 1));
    }
}

//! Codes of 8 bits for each element, read in two halves: a first look at every reference, which rules most of them out for
//! certain.
//!
//! A search has to read every row, so the memory sets its pace; the upper halves of the codes are an eighth of the vectors.
//! A row r becomes r = s·c + e: a scale s, codes c, and what is left over, e, whose exact length is kept, once for the
//! upper halves alone and once for the whole codes. The probe becomes p = t·q + f, with codes of 8 bits. Then, by Cauchy
//! and Schwarz,
//!
//! ```text
//! r·p  =  s·t·(c·q) + s·(c·f) + e·p  <=  s·t·(c·q) + |e|·(|p| + |f|) + |r|·|f|
//! ```
//! whatever the vectors are. c·q is a sum of small integers; the right side, with the rounding of every sum on the way
//! added ([`rounding`]), is an upper bound on the dot product as [`crate::similarity::dot`] computes it. A row whose bound
//! is no higher than what would change the answer is not looked at. Every other one is compared in full, so the answer is
//! that of comparing them all, to the last bit. The upper halves rule out all but some rows in a thousand; where one
//! remains, the lower halves of its block are read too, and then it is hardly ever in vain that a row is compared in full.
//!
//! 32 rows lie side by side, so that one instruction works on many of them and nothing is summed across a register. What is
//! written for one instruction set finds what the plain loop finds, bit by bit, which a test holds.
//!
//! ```text
//! upper half of a block of 32 rows   line 0     row 0: elements 0..4 | row 1: elements 0..4 | ... row 31    64 bytes
//!                                    line 1     row 0: elements 4..8 | ...
//!                                    ...
//!                                    scales     s of each row               bfloat16
//!                                    errors     |e| of each row, rounded up bfloat16; infinite: always compared in full
//! ... of all blocks, and then their lower halves, which are the same without scales.
//! ```

use crate::similarity::{dissimilarity, dot};
use libm::sqrtf;

/// Rows side by side.
pub(crate) const LANES: usize = 32;
/// Elements in one word of 16 bits.
const PER_WORD: usize = 4;
/// Lines summed up in 16 bits: 16 products of at most 15 * 127 fit.
const STEP_LINES: usize = 4;
const STEP: usize = STEP_LINES * PER_WORD;
/// Longest vectors that get codes; sets the size of a coded probe.
const MAX_DIM: usize = 1024;
/// Rows are unit vectors; one longer than this is always compared in full.
const MAX_ROW_NORM: f32 = 1.01;
/// So is everything, with a probe of another length.
const PROBE_NORMS: core::ops::RangeInclusive<f32> = 0.5..=2.0;
/// Covers what rounding takes off a norm that is summed up in f32: half of (MAX_DIM + 4)·2⁻²⁴, and the root's own.
const NORM_ROUNDING: f32 = 1.0 + 1e-4;

/// Rounding error of the dot product in f32 and of the bound together, for a probe of length 1. Far from tight.
///
/// A sum of n products in any order errs by at most n·2⁻²⁴/(1 - n·2⁻²⁴)·|r|·|p|; the bound takes eight roundings of
/// terms that are together below 7·|p|. What is lost to underflow is below 2⁻⁷⁰ and vanishes in it.
const fn rounding(dim: usize) -> f32 {
    4.0 * (dim as f32 + 32.0) / 8_388_608.0
}

/// 64 bytes of codes. Made from faces, so never printed.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
pub struct Line([u16; LANES]);

impl core::fmt::Debug for Line {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Line(..)")
    }
}

/// Lines of half of the codes of one block.
const fn code_lines(dim: usize) -> usize {
    dim.div_ceil(STEP) * STEP_LINES
}

/// Those, scales and errors.
const fn upper_lines(dim: usize) -> usize {
    code_lines(dim) + 2
}

/// Those and errors.
const fn lower_lines(dim: usize) -> usize {
    code_lines(dim) + 1
}

/// How many [`Line`]s the codes of `rows` vectors of `dim` elements take: dim + 6 bytes for each row, where 16 divides
/// dim and 32 the rows. None for vectors of more than 1,024 elements: a search compares them all in full.
#[must_use]
pub const fn lines(dim: usize, rows: usize) -> usize {
    if dim > MAX_DIM { 0 } else { rows.div_ceil(LANES) * (upper_lines(dim) + lower_lines(dim)) }
}

/// Makes the codes of `references` (rows of `dim` elements) in `codes`, which has [`lines`] of them.
pub fn pack(dim: usize, references: &[f32], codes: &mut [Line]) {
    if dim == 0 || codes.is_empty() {
        return;
    }
    codes.fill(Line::default());
    let blocks = references.len().div_ceil(LANES * dim);
    let (upper, lower) = codes.split_at_mut((blocks * upper_lines(dim)).min(codes.len()));
    let halves = upper.chunks_exact_mut(upper_lines(dim)).zip(lower.chunks_exact_mut(lower_lines(dim)));
    for (rows, (upper, lower)) in references.chunks(LANES * dim).zip(halves) {
        for (lane, row) in rows.chunks_exact(dim).enumerate() {
            pack_row(row, lane, upper, lower);
        }
    }
}

fn pack_row(row: &[f32], lane: usize, upper: &mut [Line], lower: &mut [Line]) {
    let ([upper @ .., scales, upper_errors], [lower @ .., lower_errors]) = (upper, lower) else { return };
    let norm = sqrtf(dot(row, row));
    if norm.is_nan() || norm > MAX_ROW_NORM {
        // The scale stays 0: whatever the codes say counts for nothing.
        upper_errors.0[lane] = bfloat16_up(f32::INFINITY);
        lower_errors.0[lane] = bfloat16_up(f32::INFINITY);
        return;
    }
    // 256 levels at (code - 127.5)·s, so that ±128·s is the farthest that is still within half a step of one.
    scales.0[lane] = bfloat16_up(longest(row) / 128.0);
    let scale = from_bfloat16(scales.0[lane]);
    let mut errors = Errors { upper: [0.0; STEP], lower: [0.0; STEP] };
    let mut halves = upper.chunks_exact_mut(STEP_LINES).zip(lower.chunks_exact_mut(STEP_LINES));
    let mut put = |codes: [u16; STEP]| {
        let Some((upper, lower)) = halves.next() else { return };
        for ((upper, lower), codes) in upper.iter_mut().zip(lower).zip(codes.as_chunks::<PER_WORD>().0) {
            upper.0[lane] = word(codes.map(|code| code >> 4));
            lower.0[lane] = word(codes.map(|code| code & 15));
        }
    };
    let (steps, rest) = row.as_chunks::<STEP>();
    for elements in steps {
        put(encode(elements, scale, &mut errors));
    }
    if !rest.is_empty() {
        let mut elements = [0.0; STEP];
        elements[..rest.len()].copy_from_slice(rest);
        let mut codes = encode(&elements, scale, &mut errors);
        // Beyond the end there is nothing that a shifted word could bring in.
        codes[rest.len()..].fill(0);
        put(codes);
    }
    upper_errors.0[lane] = bfloat16_up(sqrtf(errors.upper.iter().sum()) * NORM_ROUNDING);
    lower_errors.0[lane] = bfloat16_up(sqrtf(errors.lower.iter().sum()) * NORM_ROUNDING);
}

/// Running sums of the squared errors of both halves.
struct Errors {
    upper: [f32; STEP],
    lower: [f32; STEP],
}

/// The codes of some elements; what they leave over is added to `errors`.
#[inline]
fn encode(elements: &[f32; STEP], scale: f32, errors: &mut Errors) -> [u16; STEP] {
    let per_scale = 1.0 / scale;
    let mut codes = [0; STEP];
    for k in 0..STEP {
        // Any code would do, for instance that of NaN in a row of zeros: the error tells how good it is.
        let code = ((elements[k] * per_scale + 128.0) as i32).clamp(0, 255);
        codes[k] = code as u16;
        // Exact but for the subtraction: there are few bits on both sides.
        let error = elements[k] - (code as f32 - 127.5) * scale;
        errors.lower[k] += error * error;
        // The upper half alone stands for the middle of its 16 codes.
        let error = elements[k] - ((code & 0xf0) as f32 - 120.0) * scale;
        errors.upper[k] += error * error;
    }
    codes
}

/// Four halves of codes, the first one lowest.
fn word(halves: [u16; PER_WORD]) -> u16 {
    halves.iter().rev().fold(0, |word, half| word << 4 | half)
}

/// The largest magnitude of an element.
fn longest(v: &[f32]) -> f32 {
    v.iter().fold(0.0, |longest, x| longest.max(x.abs()))
}

/// The upper half of an f32 that is not negative, rounded up.
fn bfloat16_up(x: f32) -> u16 {
    let bits = x.to_bits();
    (bits >> 16) as u16 + u16::from(bits & 0xffff != 0)
}

fn from_bfloat16(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// A dot product no higher than this makes no d² below `d2`.
pub(crate) fn dot_needed(d2: f32) -> f32 {
    // Exact until it is rounded, downwards.
    ((1.0 - 0.5 * f64::from(d2)) as f32).next_down()
}

/// A sum for each row of a block. Aligned, so that no register is stored across two lines of the cache.
#[repr(align(64))]
struct Sums([i32; LANES]);

#[repr(align(64))]
struct Halves([i16; LANES]);

/// A probe in codes.
pub(crate) struct Probe<'a> {
    vector: &'a [f32],
    /// What multiplies the words of each line, shifted right by 0, 4, 8 and 12 bits.
    factors: [[[i16; PER_WORD]; STEP_LINES]; MAX_DIM / STEP],
    /// The codes that the halves of each line's bytes are multiplied by: those of the lower halves, a byte each, twice over,
    /// and those of the upper ones.
    #[cfg_attr(
        not(all(feature = "simd", target_arch = "x86_64")),
        allow(dead_code, reason = "only AVX2 multiplies bytes")
    )]
    pairs: [[[i32; 2]; STEP_LINES]; MAX_DIM / STEP],
    /// Σq
    sum: i32,
    /// t / 2
    half_scale: f32,
    /// |p| + |f|, rounded up: what |e| counts for.
    per_error: f32,
    /// What every bound has on top: |r|·|f|, and the rounding.
    margin: f32,
}

impl<'a> Probe<'a> {
    /// `None` for a probe that is not near enough to a unit vector, or too long.
    pub(crate) fn new(vector: &'a [f32]) -> Option<Self> {
        let norm = sqrtf(dot(vector, vector));
        if vector.len() > MAX_DIM || !PROBE_NORMS.contains(&norm) {
            return None;
        }
        let scale = from_bfloat16(bfloat16_up(longest(vector) / 127.0));
        let mut factors = [[[0; PER_WORD]; STEP_LINES]; MAX_DIM / STEP];
        let mut pairs = [[[0; 2]; STEP_LINES]; MAX_DIM / STEP];
        let (mut sum, mut error2) = (0, 0.0);
        let words = factors.as_flattened_mut().iter_mut().zip(pairs.as_flattened_mut());
        for ((word, pairs), elements) in words.zip(vector.chunks(PER_WORD)) {
            let mut before = 0;
            for (k, (factor, x)) in word.iter_mut().zip(elements).enumerate() {
                // To the nearest, by way of what is never negative.
                let code = (x / scale + 127.5) as i16 - 127;
                let error = x - f32::from(code) * scale;
                error2 += error * error;
                sum += i32::from(code);
                // A word shifted right by 4·k bits is its half code k and 16 times those above, which the next factor
                // takes off again. Products overflow on the way; their sum does not, and wrapping sums are exact.
                *factor = code - 16 * before;
                before = code;
                pairs[k % 2] |= ((i32::from(code) & 0xff) * 0x1_0001) << (8 * (k / 2));
            }
        }
        let error = sqrtf(error2) * NORM_ROUNDING;
        let per_error = norm * NORM_ROUNDING + error;
        let margin = MAX_ROW_NORM * NORM_ROUNDING * error + rounding(vector.len()) * per_error;
        Some(Self { vector, factors, pairs, sum, half_scale: scale / 2.0, per_error, margin })
    }

    /// d² of a row, as a search without codes computes it.
    pub(crate) fn dissimilarity(&self, row: &[f32]) -> f32 {
        dissimilarity(row, self.vector)
    }

    /// For each row of a block, the sum of its half codes times those of the probe.
    #[inline(always)]
    fn sums(&self, lines: &[Line]) -> Sums {
        let mut sums = Sums([0; LANES]);
        for (lines, factors) in lines.as_chunks::<STEP_LINES>().0.iter().zip(&self.factors) {
            let of_line = |k: usize, lane: usize| {
                let (word, [a, b, c, d]) = (lines[k].0[lane], factors[k]);
                let product = |shift: u32, factor: i16| ((word >> shift) as i16).wrapping_mul(factor);
                let (ab, cd) = (product(0, a).wrapping_add(product(4, b)), product(8, c).wrapping_add(product(12, d)));
                ab.wrapping_add(cd)
            };
            // Two lines at a time: as many factors as fit into registers on every processor.
            let mut first = Halves([0; LANES]);
            for (lane, first) in first.0.iter_mut().enumerate() {
                *first = of_line(0, lane).wrapping_add(of_line(1, lane));
            }
            for (lane, sum) in sums.0.iter_mut().enumerate() {
                let second = of_line(2, lane).wrapping_add(of_line(3, lane));
                *sum += i32::from(first.0[lane].wrapping_add(second));
            }
        }
        sums
    }

    /// The same by AVX2's instruction that multiplies bytes and adds neighbours: half the time.
    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    #[inline(always)]
    fn sums_of_bytes(&self, simd: pulp::x86::V3, lines: &[Line]) -> Sums {
        let (avx, avx2) = (simd.avx, simd.avx2);
        let (low, zero) = (avx._mm256_set1_epi8(15), avx._mm256_setzero_si256());
        let mut sums = Sums([0; LANES]);
        for (lines, pairs) in lines.as_chunks::<STEP_LINES>().0.iter().zip(&self.pairs) {
            let mut step = [zero; 2];
            for (line, pairs) in lines.iter().zip(pairs) {
                let (lower, upper) = (avx._mm256_set1_epi32(pairs[0]), avx._mm256_set1_epi32(pairs[1]));
                for (rows, step) in line.0.as_chunks::<16>().0.iter().zip(&mut step) {
                    let bytes = pulp::cast(*rows);
                    let below = avx2._mm256_maddubs_epi16(avx2._mm256_and_si256(bytes, low), lower);
                    let above = avx2._mm256_srli_epi16::<4>(bytes);
                    let above = avx2._mm256_maddubs_epi16(avx2._mm256_and_si256(above, low), upper);
                    *step = avx2._mm256_add_epi16(*step, avx2._mm256_add_epi16(below, above));
                }
            }
            let step: [i16; LANES] = pulp::cast(step);
            sums.0.iter_mut().zip(step).for_each(|(sum, step)| *sum += i32::from(step));
        }
        sums
    }

    /// Upper bounds on the dot products of a block's rows: `twice` is 2·c·q, for levels that are no whole numbers.
    #[inline(always)]
    fn bounds(&self, twice: impl Fn(usize) -> i32, scales: &Line, errors: &Line) -> Bounds {
        let mut bounds = [0.0; LANES];
        for (lane, bound) in bounds.iter_mut().enumerate() {
            *bound = twice(lane) as f32 * self.half_scale * from_bfloat16(scales.0[lane])
                + from_bfloat16(errors.0[lane]) * self.per_error
                + self.margin;
        }
        bounds
    }
}

/// An upper bound for each row of a block.
pub(crate) type Bounds = [f32; LANES];

/// The codes of a gallery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codes<'a> {
    dim: usize,
    upper: &'a [Line],
    lower: &'a [Line],
}

impl<'a> Codes<'a> {
    /// `None` when these are not as many as [`lines`] says, or none.
    pub(crate) fn new(dim: usize, rows: usize, codes: &'a [Line]) -> Option<Self> {
        let upper = rows.div_ceil(LANES) * upper_lines(dim);
        let fits = !codes.is_empty() && codes.len() == lines(dim, rows);
        fits.then(|| codes.split_at(upper)).map(|(upper, lower)| Self { dim, upper, lower })
    }

    /// The first block from `from` on with a row whose bound is above `dot`, and the bounds of all of its rows.
    pub(crate) fn first_above(&self, from: usize, probe: &Probe<'_>, dot: f32) -> Option<(usize, Bounds)> {
        let look = Look { codes: *self, from, probe, dot };
        // The same loop, made for AVX2, where this machine has it.
        #[cfg(all(feature = "simd", target_arch = "x86_64"))]
        if let Some(simd) = pulp::x86::V3::try_new() {
            return simd.vectorize(
                #[inline(always)]
                || {
                    look.run(
                        #[inline(always)]
                        |lines| probe.sums_of_bytes(simd, lines),
                    )
                },
            );
        }
        look.run(|lines| probe.sums(lines))
    }
}

struct Look<'a> {
    codes: Codes<'a>,
    from: usize,
    probe: &'a Probe<'a>,
    dot: f32,
}

impl Look<'_> {
    /// `sums`: [`Probe::sums`], or what gives the same.
    #[inline(always)]
    fn run(self, sums: impl Fn(&[Line]) -> Sums) -> Option<(usize, Bounds)> {
        let Self { codes, from, probe, dot } = self;
        let any_above = |bounds: &Bounds| bounds.iter().fold(false, |any, bound| any | (*bound > dot));
        let upper = codes.upper.chunks_exact(upper_lines(codes.dim)).enumerate().skip(from);
        for (block, lines) in upper {
            let [lines @ .., scales, errors] = lines else { continue };
            let upper = sums(lines);
            let bounds = probe.bounds(|lane| 32 * upper.0[lane] - 240 * probe.sum, scales, errors);
            if !any_above(&bounds) {
                continue;
            }
            let lines = codes.lower.get(block * lower_lines(codes.dim)..)?;
            let Some([lines @ .., errors]) = lines.get(..lower_lines(codes.dim)) else { continue };
            let lower = sums(lines);
            let bounds = probe.bounds(|lane| 32 * upper.0[lane] + 2 * lower.0[lane] - 255 * probe.sum, scales, errors);
            if any_above(&bounds) {
                return Some((block, bounds));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::similarity::normalise;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn packed(dim: usize, references: &[f32]) -> Vec<Line> {
        let mut codes = vec![Line::default(); lines(dim, references.len() / dim)];
        pack(dim, references, &mut codes);
        codes
    }

    /// Bounds by both halves of all rows of one block, whatever they are.
    fn bounds(dim: usize, references: &[f32], probe: &[f32]) -> Bounds {
        let codes = packed(dim, references);
        let codes = Codes::new(dim, references.len() / dim, &codes).unwrap();
        codes.first_above(0, &Probe::new(probe).unwrap(), f32::NEG_INFINITY).unwrap().1
    }

    proptest! {
        /// Of any length, so that the last words and lines are not full; some so uneven that their errors are large.
        #[test]
        fn no_dot_product_is_above_its_bound(
            dim in 1usize..300,
            seed in any::<u64>(),
            power in 1i32..6,
        ) {
            let mut references = directions(seed, dim * LANES, power);
            let mut probe = directions(seed ^ 1, dim, power);
            prop_assume!(normalise(&mut probe) && references.chunks_mut(dim).all(normalise));
            let packed = packed(dim, &references);
            let (codes, probe) = (Codes::new(dim, LANES, &packed).unwrap(), Probe::new(&probe).unwrap());
            let (_, bounds) = codes.first_above(0, &probe, f32::NEG_INFINITY).unwrap();
            for (row, bound) in references.chunks(dim).zip(bounds) {
                let exact = dot(row, probe.vector);
                prop_assert!(exact <= bound, "{exact} > {bound}");
                // Tight as well, or nothing would be ruled out.
                prop_assert!(bound < exact + 0.04, "{exact} << {bound}");
                // Nor did the upper half rule it out before.
                prop_assert!(codes.first_above(0, &probe, exact.next_down()).is_some());
            }
        }

        /// What a row's codes stand for, by both halves and by the upper one, is no farther from the row than stated; and
        /// a probe in the direction of what is left over, the worst there is, does not get above the bound.
        #[test]
        fn errors_are_as_long_as_stated(dim in 1usize..300, seed in any::<u64>(), power in 1i32..6) {
            let mut references = directions(seed, dim * LANES, power);
            prop_assume!(references.chunks_mut(dim).all(normalise));
            let packed = packed(dim, &references);
            let codes = Codes::new(dim, LANES, &packed).unwrap();
            let ([upper @ .., scales, upper_errors], [lower @ .., lower_errors]) = (codes.upper, codes.lower) else {
                panic!("lines are missing")
            };
            for (lane, row) in references.chunks(dim).enumerate() {
                let half = |lines: &[Line], k: usize| f64::from(lines[k / 4].0[lane] >> (4 * (k % 4)) & 15);
                let scale = f64::from(from_bfloat16(scales.0[lane]));
                let left = |level: &dyn Fn(usize) -> f64| -> Vec<f64> {
                    row.iter().enumerate().map(|(k, x)| f64::from(*x) - level(k) * scale).collect()
                };
                let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
                let by_upper = left(&|k| 16.0 * half(upper, k) - 120.0);
                let by_both = left(&|k| 16.0 * half(upper, k) + half(lower, k) - 127.5);
                prop_assert!(norm(&by_upper) <= f64::from(from_bfloat16(upper_errors.0[lane])));
                prop_assert!(norm(&by_both) <= f64::from(from_bfloat16(lower_errors.0[lane])));
                for left in [by_upper, by_both] {
                    let mut probe: Vec<f32> = left.iter().map(|x| *x as f32).collect();
                    if normalise(&mut probe) {
                        let above = dot(row, &probe).next_down();
                        let (_, bounds) = codes.first_above(0, &Probe::new(&probe).unwrap(), above).unwrap();
                        prop_assert!(bounds[lane] > above);
                    }
                }
            }
        }

        /// The plain loop and the one made for this machine's instructions.
        #[test]
        fn every_instruction_set_finds_the_same(seed in any::<u64>(), dim in 1usize..300, above in -0.5f32..0.5) {
            let mut references = directions(seed, dim * 100, 1);
            let mut probe = directions(seed ^ 1, dim, 1);
            prop_assume!(normalise(&mut probe) && references.chunks_mut(dim).all(normalise));
            let codes = packed(dim, &references);
            let (codes, probe) = (Codes::new(dim, 100, &codes).unwrap(), Probe::new(&probe).unwrap());
            for from in 0..5 {
                let plain = Look { codes, from, probe: &probe, dot: above }.run(|lines| probe.sums(lines));
                prop_assert_eq!(codes.first_above(from, &probe, above), plain);
            }
        }
    }

    /// Numbers in -1..1; the higher the power, the more of them are near 0.
    fn directions(seed: u64, count: usize, power: i32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).map(|x| x.signum() * x.abs().powi(power)).collect()
    }

    #[test]
    fn rows_that_have_no_code_are_never_ruled_out() {
        let rows = [f32::NAN, 0.0, f32::INFINITY, 0.0, f32::MAX, f32::MAX, 1.1, 0.0, 0.0, 0.0, 1e-40, -1e-40];
        let bounds = bounds(2, &rows, &[0.6, 0.8]);
        assert_eq!(bounds[..4], [f32::INFINITY; 4]);
        assert!(bounds[4..6].iter().all(|bound| (0.0..0.02).contains(bound)), "{bounds:?}");
    }

    #[test]
    fn probes_and_lengths_that_have_no_code_are_refused() {
        for probe in [[0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 0.0], [0.3, 0.3], [3.0, 0.0], [f32::MAX; 2]] {
            assert!(Probe::new(&probe).is_none(), "{probe:?}");
        }
        assert!(Probe::new(&vec![0.03; MAX_DIM + 1]).is_none());
        assert_eq!(lines(MAX_DIM + 1, 100), 0);
        let codes = packed(2, &[1.0, 0.0]);
        assert!(Codes::new(2, 1, &codes).is_some() && Codes::new(2, 33, &codes).is_none());
        assert!(Codes::new(2, 0, &[]).is_none());
    }

    /// All codes are the largest there are.
    #[test]
    fn the_longest_vectors_overflow_nothing() {
        let mut long = vec![1.0; MAX_DIM];
        assert!(normalise(&mut long));
        let far: Vec<f32> = long.iter().map(|x| -x).collect();
        let both = [long.as_slice(), far.as_slice()].concat();
        let bounds = bounds(MAX_DIM, &both, &long);
        assert!((bounds[0] - 1.0).abs() < 0.04 && (bounds[1] + 1.0).abs() < 0.04, "{bounds:?}");
    }

    #[test]
    fn a_dot_product_that_is_no_higher_than_needed_makes_nothing_nearer() {
        for d2 in [0.0, 1e-30, 0.3, 1.0, 1.999_999_9, 2.0, 3.7, 4.0, f32::INFINITY] {
            let dot = dot_needed(d2);
            assert!((2.0 - 2.0 * dot).max(0.0) >= d2, "{d2}: {dot}");
        }
    }
}

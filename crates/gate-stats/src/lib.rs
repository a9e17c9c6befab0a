//! Error rates of face comparison that can be stated: with trials, people and an interval, or not at all.
//!
//! ```text
//! Collection ──all_pairs / listed──▶ Comparisons ─┬─▶ verification    FNMR at FMR, DET, histograms
//! (vectors,   (Measure)              (genuine,    └─▶ tail            impostor table, generalised Pareto beyond it
//!  people)                            impostors)
//!      └──────draw, search─────────▶ Search ────────▶ identification  FNIR at FPIR, open set
//! ```
//! Comparisons are not independent: a person who looks like others, or unlike himself, does so in many of them. So every
//! interval comes from drawing *people* anew, not comparisons (see [`Bootstrap`]). A rate that too few comparisons or too
//! few people stand behind is refused with [`Unsupported`]; no zero is ever printed in its place.
//!
//! Nothing in here opens a file, reads a clock or prints.
#![forbid(unsafe_code)]

mod accuracy;
mod at_threshold;
mod bootstrap;
mod collection;
mod comparisons;
mod fine;
mod identification;
mod rate;
#[cfg(test)]
mod simulate;
mod site;
mod tail;
mod verification;

pub use accuracy::{Accuracy, FoldAccuracy, Labelled, best_accuracy, fold_accuracy, labelled};
pub use at_threshold::{ComparisonRates, SearchRates, rate_by_person, rates_at, search_rates_at};
pub use bootstrap::Bootstrap;
pub use collection::{Collection, Distance, Measure};
pub use comparisons::{Comparisons, KEEP_DEFAULT, Pair, all_pairs, listed};
pub use identification::{Adjust, Draw, IdentificationPoint, Search, draw, fnir_at_fpir, identify, search};
pub use rate::{COMPARISONS_MIN, Estimate, PEOPLE_MIN, Rate, Unsupported, clopper_pearson};
pub use site::{SiteTable, site_table};
pub use tail::{TablePoint, Tail, impostor_table};
pub use verification::{
    DetPoint, FMR_TARGETS, Histograms, VerificationPoint, det, equal_error, fnmr_at_fmr, histograms, threshold_at_fmr,
};

use thiserror::Error;

/// Why something cannot be measured at all.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum StatsError {
    /// Lengths that do not fit together.
    #[error("{values} values and {people} owners make no collection of vectors of length {dim}")]
    Shape {
        /// Length of a vector.
        dim: usize,
        /// Values given.
        values: usize,
        /// Owners given.
        people: usize,
    },
    /// A vector with NaN or an infinity in it.
    #[error("vector {row} has an element that is not a finite number; leave its picture out")]
    NotFinite {
        /// Which one, counted from 0.
        row: usize,
    },
    /// A pair names a picture that is not there.
    #[error("pair {pair} names picture {picture}, but there are only {pictures}, counted from 0")]
    NoSuchPicture {
        /// Which pair, counted from 0.
        pair: usize,
        /// The picture that it names.
        picture: u32,
        /// How many there are.
        pictures: usize,
    },
    /// Everybody is in the gallery, so nobody is left to be a stranger.
    #[error(
        "a gallery of {gallery} people needs more than that many to draw from, and there are {people}; name a smaller one"
    )]
    GalleryTooLarge {
        /// Gallery size asked for.
        gallery: usize,
        /// People with a picture.
        people: usize,
    },
    /// Nothing to fit a tail to.
    #[error("a tail needs {needed} impostor comparisons in it, and there are {found}; measure with more pictures")]
    TailTooShort {
        /// Comparisons in the tail.
        found: usize,
        /// The least.
        needed: usize,
    },
    /// Folds that cannot be told apart into training and test.
    #[error(
        "k-fold accuracy needs at least two folds with pairs in each; fold {fold} of {folds} has none or stands alone"
    )]
    Folds {
        /// Which, counted from 0.
        fold: usize,
        /// How many.
        folds: usize,
    },
}

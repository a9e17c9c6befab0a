//! `gate-lab evaluate`: error rates of the whole pipeline on labelled pictures.

pub mod answer;

use crate::args::Evaluate;
use crate::measure::Loaded;
use crate::progress::Progress;
use crate::{files, report};
use anyhow::{Context, Result};
use gate_site::Site;
use gate_stats::{
    Accuracy, Bootstrap, Comparisons, FoldAccuracy, IdentificationPoint, KEEP_DEFAULT, Labelled, Measure, Unsupported,
    VerificationPoint, all_pairs, best_accuracy, fnir_at_fpir, fnmr_at_fmr, fold_accuracy, identify, labelled, listed,
};

/// The false match rates that are reported.
pub const FMRS: [f64; 5] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// The false positive identification rates that are reported.
pub const FPIRS: [f64; 3] = [1e-1, 1e-2, 1e-3];
/// The risk at which the accuracy over pairs is also given, as the card sees it.
const FMR_OF_TAU: f64 = 1e-3;

/// Everything that was measured.
pub struct Evaluation {
    /// On what.
    pub data: Loaded,
    /// Every picture was compared with every other.
    pub all: bool,
    /// Over the listed pairs.
    pub listed: Option<Listed>,
    /// The comparisons of 1:1.
    pub comparisons: Comparisons,
    /// FNMR at each of [`FMRS`].
    pub verification: Vec<Result<VerificationPoint, Unsupported>>,
    /// 1:N, for each gallery size.
    pub galleries: Vec<Gallery>,
    /// Galleries drawn of each size.
    pub draws: u32,
}

/// The listed pairs.
pub struct Listed {
    /// Those that could be compared.
    pub pairs: Vec<Labelled>,
    /// Those that could not: a picture is missing.
    pub without_picture: usize,
    /// Those left out: their label is known to be wrong.
    pub in_errata: usize,
    /// Those that could not: no face was found on a picture.
    pub without_face: usize,
    /// At the threshold that is best for these very pairs; `None` when none could be compared.
    pub best: Option<Accuracy>,
    /// The card's threshold at an FMR of 1e-3, and the part of the pairs told right there.
    pub at_tau: (f32, f64),
    /// Over the file's folds; `None` when it has none.
    pub folds: Option<FoldAccuracy>,
}

/// 1:N with galleries of one size.
pub struct Gallery {
    /// People in it.
    pub size: u32,
    /// FNIR at each of [`FPIRS`], or why there is none at all.
    pub points: Result<Vec<Result<IdentificationPoint, Unsupported>>, String>,
}

impl Listed {
    /// The accuracy as LFW states it: over folds where the file has them, else at the best threshold.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        self.folds.as_ref().map(|folds| folds.mean).or_else(|| Some(self.best?.accuracy))
    }

    /// Genuine pairs above a threshold, and genuine pairs.
    #[must_use]
    pub fn genuine_above(&self, tau: f32) -> (usize, usize) {
        let genuine = self.pairs.iter().filter(|pair| pair.same);
        (genuine.clone().filter(|pair| pair.d2 > tau).count(), genuine.count())
    }
}

/// Measures and answers.
///
/// # Errors
/// A refusal when nothing can be measured; a fault.
pub fn evaluate(site: Site, args: &Evaluate, json: bool) -> Result<()> {
    let data = Loaded::new(site, &args.data, args.comparison.as_deref())?;
    data.tell_what_is_missing();
    let evaluation = run(data, args)?;
    if let Some(path) = &args.report {
        let page = report::page(&evaluation, args.seed)?;
        files::write_private(path, page.as_bytes())
            .with_context(|| format!("cannot write the report {}", path.display()))?;
        eprintln!("gate-lab: the report is in {}; it contains faces", path.display());
    }
    crate::answer(json, &answer::text(&evaluation), &answer::json(&evaluation))
}

fn run(data: Loaded, args: &Evaluate) -> Result<Evaluation> {
    let comparer = data.comparer.clone();
    let measure = &comparer.comparison();
    let bootstrap = Bootstrap { seed: args.seed, ..Bootstrap::default() };
    let listed = measure_listed(&data, measure)?;
    let pairs = rows_of_pairs(&data).filter(|_| !args.all_pairs);
    let all = pairs.is_none();
    let comparisons = match pairs {
        Some(pairs) => listed_only(&data, measure, &pairs)?,
        None => compare_all(&data, measure),
    };
    let verification = fnmr_at_fmr(&comparisons, &FMRS, &bootstrap);
    let gallery = |size: &u32| Gallery { size: *size, points: search(&data, measure, *size, args, &bootstrap) };
    let galleries = args.gallery.iter().map(gallery).collect();
    Ok(Evaluation { data, all, listed, comparisons, verification, galleries, draws: args.draws })
}

/// Every picture with every other, with progress.
pub fn compare_all(data: &Loaded, measure: &dyn Measure) -> Comparisons {
    let pictures = data.collection.len();
    let progress = Progress::bar_only("comparisons", pictures * pictures.saturating_sub(1) / 2);
    let comparisons = all_pairs(&data.collection, measure, KEEP_DEFAULT, &|done| progress.steps(done));
    progress.finish();
    comparisons
}

fn listed_only(data: &Loaded, measure: &dyn Measure, pairs: &[[u32; 2]]) -> Result<Comparisons> {
    let pairs: Vec<(u32, u32)> = pairs.iter().map(|[a, b]| (*a, *b)).collect();
    Ok(listed(&data.collection, measure, &pairs)?)
}

/// The listed pairs of which both faces were found, as rows of the collection. `None` without a pairs file.
fn rows_of_pairs(data: &Loaded) -> Option<Vec<[u32; 2]>> {
    let place = |picture: u32| data.faces.place[picture as usize];
    let row = |[a, b]: [u32; 2]| Some([place(a)?, place(b)?]);
    Some(data.listing.pairs.as_ref()?.iter().filter_map(|pair| row(pair.pictures)).collect())
}

fn measure_listed(data: &Loaded, measure: &dyn Measure) -> Result<Option<Listed>> {
    let Some(all) = &data.listing.pairs else { return Ok(None) };
    let place = |picture: u32| data.faces.place[picture as usize];
    let mut folds = vec![Vec::new(); data.listing.folds];
    for pair in all {
        if let [Some(a), Some(b)] = pair.pictures.map(place) {
            folds[pair.fold].push((a, b));
        }
    }
    let folds = folds.iter().map(|pairs| labelled(&data.collection, measure, pairs)).collect::<Result<Vec<_>, _>>()?;
    let pairs: Vec<Labelled> = folds.concat();
    let tau = data.comparer.impostors().threshold(FMR_OF_TAU, 1).tau;
    let right = pairs.iter().filter(|pair| (pair.d2 <= tau) == pair.same).count();
    let whole = folds.len() > 1 && folds.iter().all(|fold| !fold.is_empty());
    Ok(Some(Listed {
        without_picture: data.listing.pairs_without_picture,
        in_errata: data.listing.pairs_in_errata,
        without_face: all.len() - pairs.len(),
        best: best_accuracy(&pairs),
        at_tau: (tau, right as f64 / pairs.len().max(1) as f64),
        folds: if whole { Some(fold_accuracy(&folds)?) } else { None },
        pairs,
    }))
}

fn search(
    data: &Loaded,
    measure: &dyn Measure,
    size: u32,
    args: &Evaluate,
    bootstrap: &Bootstrap,
) -> Result<Vec<Result<IdentificationPoint, Unsupported>>, String> {
    let searches = identify(&data.collection, measure, size as usize, args.draws, args.seed);
    Ok(fnir_at_fpir(&searches.map_err(|error| error.to_string())?.concat(), &FPIRS, bootstrap))
}

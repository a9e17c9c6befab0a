//! One picture against one picture, in different ways.

use super::{Material, Part, StudyArgs, mean};
use crate::progress::Progress;
use anyhow::{Result, anyhow};
use gate_core::comparison::Comparison;
use gate_learn::{AdapterOptions, Faces, Feature, HeadOptions, Mining, train_adapter, train_head};
use gate_stats::{
    Bootstrap, Collection, Distance, KEEP_DEFAULT, Labelled, Measure, Rate, Search, all_pairs, best_accuracy, draw,
    fnir_at_fpir, fnmr_at_fmr, labelled, search,
};

/// The rates of the table.
const FMRS: [f64; 3] = [1e-3, 1e-4, 1e-5];
/// 1:N among those judged on, and among everybody: people in the galleries and the FPIR that so many strangers support.
const OTHERS: (usize, f64) = (500, 1e-1);
const EVERYBODY: (usize, f64) = (1000, 1e-2);
/// Nearest faces of the cohort that a score is normalised with.
const COHORT_NEAREST: usize = 200;

/// A way to compare: vectors for every picture, and what compares them.
struct Way<'a> {
    name: &'a str,
    vectors: Vec<f32>,
    comparison: Comparison<'a>,
}

/// Prints the table.
pub(super) fn print(material: &Material, args: &StudyArgs) -> Result<()> {
    let centred = material.centred(&material.plain);
    let both = material.centred(&added(material, |_| 1.0));
    let train = material.collection(centred.clone())?.select(&material.train.rows);
    let faces = Faces::new(train.dim(), train.rows(0, train.len()), train.persons()).map_err(|e| anyhow!("{e}"))?;
    let head = |feature| {
        let options = HeadOptions { seed: args.seed, ..HeadOptions::new(feature) };
        train_head(&faces, &options, &mut |_| ()).map_err(|e| anyhow!("{e}"))
    };
    let progress = Progress::new("trainings", 5);
    let (logistic, chi_square) = (head(Feature::Logistic)?, head(Feature::ChiSquare)?);
    progress.steps(2);
    let mut adapters = Vec::new();
    for (name, mining) in [
        ("triplet adapter, random triplets", Mining::Random),
        ("triplet adapter, semi-hard", Mining::SemiHard),
        ("triplet adapter, hard", Mining::Hard),
    ] {
        let options = AdapterOptions { mining, seed: args.seed, ..AdapterOptions::default() };
        let adapter = train_adapter(&faces, &options, &mut |_| ()).map_err(|e| anyhow!("{e}"))?;
        adapters.push((name, adapter.apply(&centred)));
        progress.step();
    }
    progress.finish();
    let plain = Comparison::Distance;
    let mut ways = vec![
        Way { name: "**as the encoder gives them (the gate)**", vectors: material.plain.clone(), comparison: plain },
        Way { name: "less the mean face; the rest of this table, too", vectors: centred.clone(), comparison: plain },
        Way { name: "with the mirrored face", vectors: both, comparison: plain },
        Way { name: "logistic head", vectors: centred.clone(), comparison: logistic.comparison() },
        Way { name: "chi-square head", vectors: centred.clone(), comparison: chi_square.comparison() },
    ];
    ways.extend(adapters.into_iter().map(|(name, vectors)| Way { name, vectors, comparison: plain }));
    let (train, test) = (&material.train, &material.test);
    println!(
        "Learned from {} pictures, judged on {} of others; {} pictures in all.\n",
        train.rows.len(),
        test.rows.len(),
        material.person.len()
    );
    println!(
        "| way | TAR, people learned from, at FMR 1e-3, 1e-4, 1e-5 | TAR, others | accuracy, others | FNIR at FPIR 1e-1, N = 500, others | FNIR at FPIR 1e-2, N = 1000, everybody |"
    );
    println!("|---|---|---|---|---|---|");
    for way in ways {
        println!("{}", row(material, args, way)?);
    }
    let others = material.collection(centred)?;
    let cohort = others.select(&train.rows);
    let judged = others.select(&test.rows);
    println!("{}", normalised("scores normalised by a cohort, symmetric and adaptive", &judged, &cohort, args)?);
    for weight in [0.25, 0.5] {
        println!(
            "{}",
            margin(&format!("less {weight} of the margin to the runner-up"), weight, &judged, &others, args)?
        );
    }
    Ok(())
}

/// unit(vector + weight * mirrored), for every picture.
fn added(material: &Material, weight: impl Fn(usize) -> f32) -> Vec<f32> {
    let dim = material.dim;
    let rows = material.plain.chunks_exact(dim).zip(material.mirrored.chunks_exact(dim)).enumerate();
    rows.flat_map(|(i, (plain, mirrored))| mean(dim, [(plain, 1.0), (mirrored, weight(i))].into_iter())).collect()
}

fn row(material: &Material, args: &StudyArgs, way: Way<'_>) -> Result<String> {
    let all = material.collection(way.vectors)?;
    let measure: &dyn Measure = &way.comparison;
    let (train, test) = (all.select(&material.train.rows), all.select(&material.test.rows));
    Ok(format!(
        "| {} | {} | {} | {} | {} | {} |",
        way.name,
        tars(&train, measure),
        tars(&test, measure),
        accuracy(&train, &material.train, &test, &material.test, measure)?,
        fnir(&test, measure, OTHERS, args)?,
        fnir(&all, measure, EVERYBODY, args)?
    ))
}

/// Genuine comparisons found, at each rate.
fn tars(collection: &Collection, measure: &dyn Measure) -> String {
    let comparisons = all_pairs(collection, measure, KEEP_DEFAULT, &|_| ());
    let points = fnmr_at_fmr(&comparisons, &FMRS, &Bootstrap::default());
    let tar = |point: &Result<gate_stats::VerificationPoint, _>| match point {
        Ok(p) => format!("{:.4} ({:.4} to {:.4})", 1.0 - p.fnmr.rate, 1.0 - p.fnmr.high, 1.0 - p.fnmr.low),
        Err(_) => "too few comparisons".into(),
    };
    points.iter().map(tar).collect::<Vec<_>>().join(", ")
}

/// Over the listed pairs, at the threshold that is best for the people learned from.
fn accuracy(
    train: &Collection,
    learned: &Part,
    test: &Collection,
    judged: &Part,
    measure: &dyn Measure,
) -> Result<String> {
    let tau = best_accuracy(&labelled(train, measure, &learned.pairs)?).map_or(f32::NAN, |best| best.d2);
    let pairs: Vec<Labelled> = labelled(test, measure, &judged.pairs)?;
    let right = pairs.iter().filter(|pair| (pair.d2 <= tau) == pair.same).count() as u64;
    let rate = Rate::independent(right, pairs.len() as u64, 0);
    Ok(format!("{:.2} % ({right} of {})", 100.0 * rate.rate, pairs.len()))
}

/// 1:N with one reference each.
fn fnir(
    collection: &Collection,
    measure: &dyn Measure,
    (gallery, fpir): (usize, f64),
    args: &StudyArgs,
) -> Result<String> {
    let searches = gate_stats::identify(collection, measure, gallery, args.draws, args.seed)?.concat();
    Ok(stated(&searches, fpir))
}

/// FNIR with its interval.
pub(super) fn stated(searches: &[Search], fpir: f64) -> String {
    match fnir_at_fpir(searches, &[fpir], &Bootstrap::default()).remove(0) {
        Ok(p) => format!("{:.2} % ({:.2} to {:.2})", 100.0 * p.fnir.rate, 100.0 * p.fnir.low, 100.0 * p.fnir.high),
        Err(why) => format!("not stated: {why}"),
    }
}

/// Symmetric and adaptive normalisation: how many standard deviations a dissimilarity is below those of the probe, and of
/// the reference, to the nearest faces of a cohort of strangers.
fn normalised(name: &str, judged: &Collection, cohort: &Collection, args: &StudyArgs) -> Result<String> {
    let mut searches = Vec::new();
    for number in 0..args.draws {
        let drawn = draw(judged, OTHERS.0, args.seed, number)?;
        let references = judged.select(&drawn.references);
        let probes = judged.select(&[drawn.mated, drawn.impostors].concat());
        let (of_references, of_probes) = (to_cohort(&references, cohort), to_cohort(&probes, cohort));
        let adjust = |probe: usize, reference: usize, d2: f32| {
            let below = |(mean, deviation): (f32, f32)| (d2 - mean) / deviation;
            0.5 * (below(of_probes[probe]) + below(of_references[reference]))
        };
        searches.extend(search(&references, &probes, &Distance, Some(&adjust))?);
    }
    Ok(format!("| {name} | - | - | - | {} | - |", stated(&searches, OTHERS.1)))
}

/// Mean and standard deviation of the dissimilarities of each face to the nearest of a cohort.
fn to_cohort(faces: &Collection, cohort: &Collection) -> Vec<(f32, f32)> {
    let mut row = vec![0.0f32; cohort.len()];
    let nearest = COHORT_NEAREST.min(cohort.len());
    (0..faces.len())
        .map(|i| {
            Distance.block(faces.dim(), faces.row(i), cohort.rows(0, cohort.len()), &mut row);
            row.sort_unstable_by(f32::total_cmp);
            let n = nearest as f32;
            let mean = row[..nearest].iter().sum::<f32>() / n;
            let variance = row[..nearest].iter().map(|d2| (d2 - mean).powi(2)).sum::<f32>() / n;
            (mean, variance.sqrt().max(f32::MIN_POSITIVE))
        })
        .collect()
}

fn margin(name: &str, weight: f32, judged: &Collection, all: &Collection, args: &StudyArgs) -> Result<String> {
    let with_margin = |collection: &Collection, (gallery, fpir): (usize, f64)| -> Result<String> {
        let mut searches = gate_stats::identify(collection, &Distance, gallery, args.draws, args.seed)?.concat();
        for search in &mut searches {
            search.score = search.nearest_d2 - weight * (search.runner_up_d2 - search.nearest_d2);
        }
        Ok(stated(&searches, fpir))
    };
    Ok(format!("| {name} | - | - | - | {} | {} |", with_margin(judged, OTHERS)?, with_margin(all, EVERYBODY)?))
}

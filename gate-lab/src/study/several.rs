//! Several pictures of a person: at enrolment, at the gate, and both.

use super::ways::stated;
use super::{Material, StudyArgs, mean};
use anyhow::Result;
use gate_stats::{Collection, Distance, Search, search};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// People in the galleries.
const GALLERY: usize = 1000;
/// What so few strangers with several pictures support.
const FPIR: f64 = 1e-1;

/// How several pictures become one answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Together {
    /// Only the first counts: what the others add is seen against this.
    First,
    /// Each is a reference of its own; the nearest counts.
    Nearest,
    /// The mean of their vectors.
    Mean,
    /// Each weighed by the square of its length: what the encoder finds more of a face in counts more.
    Weighed,
}

/// Prints the table.
pub(super) fn print(material: &Material, args: &StudyArgs) -> Result<()> {
    println!(
        "\n| references, pictures of the probe | one of each | nearest reference | mean | mean, weighed by length² |"
    );
    println!("|---|---|---|---|---|");
    for (references, probes) in [(2, 1), (3, 1), (1, 2), (2, 2)] {
        let mut columns = Vec::new();
        for together in [Together::First, Together::Nearest, Together::Mean, Together::Weighed] {
            // Several references may be kept apart; a probe is one.
            let makes_sense = together != Together::Nearest || probes == 1;
            columns.push(if makes_sense {
                stated(&searches(material, args, (references, probes), together)?, FPIR)
            } else {
                "-".into()
            });
        }
        println!("| {references}, {probes} | {} |", columns.join(" | "));
    }
    println!(
        "\nFNIR at FPIR {FPIR:.0e}, N = {GALLERY} people, {} draws; each row has its own people (those with enough pictures).",
        args.draws
    );
    Ok(())
}

/// The searches of all draws. Of the people with enough pictures for it, half are enrolled and half are strangers; the
/// gallery is filled up with people of whom there is too little else.
fn searches(
    material: &Material,
    args: &StudyArgs,
    (references, probes): (usize, usize),
    together: Together,
) -> Result<Vec<Search>> {
    let mut by_person: Vec<Vec<u32>> = vec![vec![]; material.person.iter().max().map_or(0, |p| *p as usize + 1)];
    for (row, person) in material.person.iter().enumerate() {
        by_person[*person as usize].push(row as u32);
    }
    by_person.retain(|pictures| !pictures.is_empty());
    let mut found = Vec::new();
    for number in 0..args.draws {
        let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
        rng.set_stream(u64::from(number));
        let mut people = by_person.clone();
        for pictures in &mut people {
            pictures.shuffle(&mut rng);
        }
        people.shuffle(&mut rng);
        let (enough, rest): (Vec<_>, Vec<_>) = people.into_iter().partition(|p| p.len() >= references + probes);
        let enrolled = (enough.len() / 2).min(GALLERY);
        let (mut gallery, mut searched) = (Vec::new(), Vec::new());
        for pictures in &enough[..enrolled] {
            gallery.push(&pictures[..references]);
            searched.push(&pictures[references..references + probes]);
        }
        // A stranger needs as many pictures as a probe has, no more.
        let fillers = rest.len().min(GALLERY - enrolled);
        gallery.extend(rest[..fillers].iter().map(|pictures| &pictures[..pictures.len().min(references)]));
        searched.extend(
            enough[enrolled..].iter().chain(&rest[fillers..]).filter(|p| p.len() >= probes).map(|p| &p[..probes]),
        );
        let gallery = side(material, &gallery, together)?;
        let searched =
            side(material, &searched, if together == Together::Nearest { Together::First } else { together })?;
        found.extend(search(&gallery, &searched, &Distance, None)?);
    }
    Ok(found)
}

/// Pictures, person by person, put together.
fn side(material: &Material, people: &[&[u32]], together: Together) -> Result<Collection> {
    let (mut vectors, mut owners) = (Vec::new(), Vec::new());
    let row = |picture: u32| &material.plain[picture as usize * material.dim..][..material.dim];
    for pictures in people {
        let person = material.person[pictures[0] as usize];
        match together {
            Together::First => vectors.extend_from_slice(row(pictures[0])),
            Together::Nearest => pictures.iter().for_each(|picture| vectors.extend_from_slice(row(*picture))),
            Together::Mean => vectors.extend(mean(material.dim, pictures.iter().map(|p| (row(*p), 1.0)))),
            Together::Weighed => {
                let weighed = pictures.iter().map(|p| (row(*p), material.lengths[*p as usize].powi(2)));
                vectors.extend(mean(material.dim, weighed));
            }
        }
        let rows = if together == Together::Nearest { pictures.len() } else { 1 };
        owners.extend(std::iter::repeat_n(person, rows));
    }
    Ok(Collection::new(material.dim, material.centred(&vectors), owners)?)
}

//! `study`: what else could be done with the same encoder, each way measured beside the plain one.
//!
//! ```text
//! pictures ──▶ vectors, their lengths, vectors of the mirrored faces
//!               ├─ way by way ──▶ table: 1:1 on people learned from and on others, 1:N
//!               └─ several pictures of a person ──▶ table: 1:N, beside the same draws with one picture
//! ```
//! Whatever is learned is learned from the people of one pairs file and judged on those of the other. The tables are
//! Markdown, for docs/ACCURACY.md: wins and losses alike.

mod several;
mod ways;

use crate::args::Data;
use crate::card::mean_face;
use crate::faces::{self, FaceSet, FacesOptions};
use crate::pictures::Listing;
use crate::progress::Progress;
use crate::refusal::refuse;
use anyhow::{Result, anyhow};
use clap::Args;
use gate_core::similarity::centre;
use gate_site::Site;
use gate_stats::Collection;
use gate_vision::Vision;
use gate_vision::align::CHIP_BYTES;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// `study`.
#[derive(Debug, Args)]
pub struct StudyArgs {
    /// LFW pairs file of the people to learn from
    #[arg(long, value_name = "FILE")]
    train_pairs: PathBuf,
    /// LFW pairs file of the people to judge on; nobody may be in both
    #[arg(long, value_name = "FILE")]
    test_pairs: PathBuf,
    /// Where the pictures are: DIR/Name/Name_0001.jpg
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Galleries drawn
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    draws: u32,
    /// Of everything that is drawn or learned
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Everything that the ways work with; row i of each is picture i.
struct Material {
    /// The encoder's vectors, unit length.
    plain: Vec<f32>,
    /// Those of the mirrored faces.
    mirrored: Vec<f32>,
    /// Lengths of the encoder's outputs.
    lengths: Vec<f32>,
    dim: usize,
    person: Vec<u32>,
    /// The mean face of the people learned from.
    mean: Vec<f32>,
    train: Part,
    test: Part,
}

/// The people of one pairs file.
struct Part {
    /// Their pictures.
    rows: Vec<u32>,
    /// The listed pairs, as places in `rows`.
    pairs: Vec<(u32, u32)>,
}

/// Measures every way and prints the tables.
///
/// # Errors
/// A refusal when pictures are missing or people are in both files; a fault.
pub fn run(site: &Site, args: &StudyArgs) -> Result<()> {
    let material = Material::load(site, args)?;
    ways::print(&material, args)?;
    several::print(&material, args)
}

impl Material {
    fn load(site: &Site, args: &StudyArgs) -> Result<Self> {
        let everything = Data { people: Some(args.images.clone()), no_cache: true, ..Data::default() };
        let listing = Listing::read(&everything)?;
        let set = faces::load(&FacesOptions::new(site, &listing, &everything, true))?;
        let (train, test) = (part(&set, &args.train_pairs, &args.images)?, part(&set, &args.test_pairs, &args.images)?);
        let person: Vec<u32> = set.pictures.iter().map(|picture| picture.person).collect();
        let people = |part: &Part| part.rows.iter().map(|row| person[*row as usize]).collect::<HashSet<u32>>();
        if !people(&train).is_disjoint(&people(&test)) {
            return Err(refuse("the two pairs files have people in common: what is learned must be judged on others"));
        }
        let mut visions = crate::faces::visions(site)?;
        let (mirrored, lengths) = encode_both_ways(&mut visions, &set.chips)?;
        let (plain, dim) = (set.vectors, set.dim);
        let learned = train.rows.iter().map(|row| *row as usize);
        let mean = mean_face(dim, learned.map(|row| (person[row], &plain[row * dim..][..dim])));
        Ok(Self { plain, mirrored, lengths, dim, person, mean, train, test })
    }

    /// A collection of these vectors, one for each picture.
    fn collection(&self, vectors: Vec<f32>) -> Result<Collection> {
        let dim = vectors.len() / self.person.len().max(1);
        Ok(Collection::new(dim, vectors, self.person.clone())?)
    }

    /// Vectors less the mean face.
    fn centred(&self, vectors: &[f32]) -> Vec<f32> {
        let mut vectors = vectors.to_vec();
        for vector in vectors.chunks_exact_mut(self.dim) {
            // The mean face itself has no direction; it stays as it is, near to nobody.
            let _ = centre(vector, &self.mean);
        }
        vectors
    }
}

/// The pictures of everybody whom a pairs file names, and its pairs.
fn part(set: &FaceSet, pairs: &Path, images: &Path) -> Result<Part> {
    let data = Data { pairs: Some(pairs.into()), images: Some(images.into()), ..Data::default() };
    let listing = Listing::read(&data)?;
    let names: HashSet<&str> = listing.people.iter().map(String::as_str).collect();
    let rows: Vec<u32> = (0..set.pictures.len() as u32)
        .filter(|row| names.contains(set.people[set.pictures[*row as usize].person as usize].as_str()))
        .collect();
    let place: HashMap<&Path, u32> =
        rows.iter().zip(0..).map(|(row, place)| (set.pictures[*row as usize].path.as_path(), place)).collect();
    let find = |picture: u32| place.get(listing.pictures[picture as usize].path.as_path()).copied();
    let pairs =
        listing.pairs.iter().flatten().filter_map(|pair| Some((find(pair.pictures[0])?, find(pair.pictures[1])?)));
    let pairs = pairs.collect();
    Ok(Part { rows, pairs })
}

/// Vectors of the mirrored faces, and the lengths of the plain ones.
fn encode_both_ways(visions: &mut [Vision], chips: &[u8]) -> Result<(Vec<f32>, Vec<f32>)> {
    let chips = chips.as_chunks::<CHIP_BYTES>().0;
    let progress = Progress::new("faces, mirrored", chips.len());
    let share = chips.len().div_ceil(visions.len()).max(1);
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = visions
            .iter_mut()
            .zip(chips.chunks(share))
            .map(|(vision, chips)| {
                let progress = &progress;
                scope.spawn(move || -> Result<(Vec<f32>, Vec<f32>)> {
                    let (mut vectors, mut lengths) = (Vec::new(), Vec::new());
                    for chip in chips {
                        lengths.push(vision.encode_measured(chip)?.1);
                        vectors.extend_from_slice(vision.encode(&mirror(chip))?);
                        progress.step();
                    }
                    Ok((vectors, lengths))
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|w| w.join().unwrap_or_else(|_| Err(anyhow!("a thread has panicked"))))
            .collect::<Result<Vec<_>>>()
    })?;
    progress.finish();
    let (vectors, lengths): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    Ok((vectors.concat(), lengths.concat()))
}

/// A chip with left and right exchanged.
fn mirror(chip: &[u8; CHIP_BYTES]) -> Box<[u8; CHIP_BYTES]> {
    let mut out = gate_vision::align::new_chip();
    const ROW: usize = gate_core::geometry::CHIP_PX * 3;
    for (from, to) in chip.as_chunks::<ROW>().0.iter().zip(out.as_chunks_mut::<ROW>().0) {
        for (pixel, place) in from.as_chunks::<3>().0.iter().zip(to.as_chunks_mut::<3>().0.iter_mut().rev()) {
            *place = *pixel;
        }
    }
    out
}

/// unit(sum of weighted vectors).
fn mean<'a>(dim: usize, vectors: impl Iterator<Item = (&'a [f32], f32)>) -> Vec<f32> {
    let mut sum = vec![0.0f32; dim];
    for (vector, weight) in vectors {
        for (sum, x) in sum.iter_mut().zip(vector) {
            *sum += weight * x;
        }
    }
    // Of no direction it stays as it is, near to nobody.
    let _ = gate_core::similarity::normalise(&mut sum);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirroring_twice_changes_nothing_and_once_exchanges_the_sides() {
        let chip: Box<[u8; CHIP_BYTES]> = Box::new(std::array::from_fn(|i| (i % 251) as u8));
        let once = mirror(&chip);
        assert_eq!(once[..3], chip[111 * 3..112 * 3]);
        assert_eq!(*mirror(&once), *chip);
    }
}

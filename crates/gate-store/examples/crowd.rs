//! Fills a new store with made-up people, one reference each, in arbitrary directions: to measure with, or to try what a
//! full gate is like.
//!
//! `cargo run --release -p gate-store --example crowd -- DIR PEOPLE ENCODER_SHA256 DIM`
//!
//! Makes `DIR/site.key` and `DIR/store`; people are called `p1`, `p2` and so on.

use gate_core::person::Access;
use gate_core::similarity::normalise;
use gate_store::{NewPerson, NewReference, SiteKey, Store};
use std::error::Error;
use std::path::Path;

/// As many people as are added in one transaction.
const PART: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, people, encoder_sha256, dim] = args.as_slice() else {
        return Err("usage: crowd DIR PEOPLE ENCODER_SHA256 DIM".into());
    };
    let (dir, people, dim) = (Path::new(dir), people.parse::<usize>()?, dim.parse::<usize>()?);
    let key = SiteKey::generate()?;
    let mut store = Store::init(&dir.join("store"), &key)?;
    key.create_file(&dir.join("site.key"))?;
    for first in (1..=people).step_by(PART) {
        let numbers: Vec<usize> = (first..=people.min(first + PART - 1)).collect();
        let ids: Vec<String> = numbers.iter().map(|number| format!("p{number}")).collect();
        let vectors = numbers.iter().map(|_| direction(dim)).collect::<Result<Vec<_>, _>>()?;
        let references: Vec<_> =
            vectors.iter().map(|vector| [NewReference { encoder_sha256, vector, picture: None }]).collect();
        let new = ids.iter().zip(&references).map(|(id, references)| {
            (NewPerson { id, name: "Made up", access: Access::default() }, references.as_slice())
        });
        store.add_people(new)?;
    }
    Ok(())
}

/// A unit vector in an arbitrary direction.
fn direction(dim: usize) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut bytes = vec![0; dim];
    getrandom::fill(&mut bytes)?;
    let mut vector: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte.cast_signed())).collect();
    if normalise(&mut vector) { Ok(vector) } else { direction(dim) }
}

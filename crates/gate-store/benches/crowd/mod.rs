//! Made-up people, one reference each, in arbitrary directions.

use gate_core::similarity::normalise;
use gate_store::{Admission, NewPerson, NewReference, SiteKey, Store};
use std::error::Error;
use std::path::Path;

/// A new store in `dir` with `people` of them, called `p1`, `p2` and so on, and its key.
pub fn store_of(
    people: usize,
    dir: &Path,
    encoder_sha256: &str,
    dim: usize,
) -> Result<(Store, SiteKey), Box<dyn Error>> {
    let key = SiteKey::generate()?;
    let mut store = Store::init(dir, &key)?;
    let ids: Vec<_> = (1..=people).map(|number| format!("p{number}")).collect();
    let vectors = ids.iter().map(|_| direction(dim)).collect::<Result<Vec<_>, _>>()?;
    let references: Vec<_> =
        vectors.iter().map(|vector| [NewReference { encoder_sha256, vector, picture: None }]).collect();
    let new = ids.iter().zip(&references).map(|(id, references)| {
        (NewPerson { id, name: "Made up", admission: Admission::ALWAYS }, references.as_slice())
    });
    store.add_people(new)?;
    Ok((store, key))
}

/// A unit vector in an arbitrary direction.
pub fn direction(dim: usize) -> Result<Vec<f32>, getrandom::Error> {
    let mut bytes = vec![0; dim];
    getrandom::fill(&mut bytes)?;
    let mut vector: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte.cast_signed())).collect();
    if normalise(&mut vector) { Ok(vector) } else { direction(dim) }
}

//! What every measurement begins with: pictures, their faces, and the way to compare them.

use crate::args::Data;
use crate::faces::{self, FaceSet, FacesOptions};
use crate::pictures::Listing;
use crate::refusal::refuse;
use anyhow::Result;
use gate_site::Site;
use gate_stats::Collection;
use gate_vision::Comparer;
use gate_vision::card::{Card, Job};

/// A data set, ready to be compared.
pub struct Loaded {
    /// What was named.
    pub listing: Listing,
    /// What was found.
    pub faces: FaceSet,
    /// The faces' vectors, through the comparison's adapter; row i is `faces.pictures[i]`.
    pub collection: Collection,
    /// How they are compared.
    pub comparer: Comparer,
    /// The encoder's card.
    pub encoder: Card,
}

impl Loaded {
    /// Reads and encodes the pictures. `comparison` overrides the configured one.
    ///
    /// # Errors
    /// A refusal when nothing can be measured with what is there; a fault.
    pub fn new(mut site: Site, data: &Data, comparison: Option<&str>) -> Result<Self> {
        if let Some(encoder) = &data.encoder {
            site.config.vision.encoder.clone_from(encoder);
        }
        let vision = &site.config.vision;
        let listing = Listing::read(data)?;
        listing.several_people()?;
        let encoder = Card::load(&vision.models, &vision.encoder, Job::Encode)?;
        let comparison = comparison.unwrap_or(&site.config.policy.comparison);
        let comparer = Comparer::load(&vision.models, &encoder, comparison)?;
        let faces = faces::load(&FacesOptions::new(&site, &listing, data, false))?;
        let owners: Vec<u32> = faces.pictures.iter().map(|picture| picture.person).collect();
        if owners.iter().all(|person| Some(person) == owners.first()) {
            return Err(refuse(format!(
                "faces of two people at least are needed; of {} pictures, {} show a face{}",
                listing.pictures.len(),
                owners.len(),
                faces.missed.first().map(|m| format!(" ({}: {})", m.path.display(), m.why)).unwrap_or_default()
            )));
        }
        let collection = Collection::new(comparer.dim(), comparer.adapt(&faces.vectors[..]).into_owned(), owners)?;
        Ok(Self { listing, faces, collection, comparer, encoder })
    }

    /// Compares in another way from here on.
    ///
    /// # Errors
    /// When a vector cannot be compared so.
    pub fn compare_with(&mut self, comparer: Comparer) -> Result<()> {
        let vectors = comparer.adapt(&self.faces.vectors[..]).into_owned();
        self.collection = Collection::new(comparer.dim(), vectors, self.collection.persons().to_vec())?;
        self.comparer = comparer;
        Ok(())
    }

    /// People of whom a face was found.
    #[must_use]
    pub fn people_found(&self) -> u64 {
        self.collection.counts().iter().filter(|count| **count > 0).count() as u64
    }

    /// Faces of which too little can be made out: the gate would not compare them. Here they are compared.
    #[must_use]
    pub fn unclear(&self) -> usize {
        let length_min = self.encoder.encoding.as_ref().map_or(0.0, |e| e.length_min);
        self.faces.pictures.iter().filter(|picture| picture.length < length_min).count()
    }

    /// Tells on standard error what does not take part, the first few by name.
    pub fn tell_what_is_missing(&self) {
        let missed: Vec<String> =
            self.faces.missed.iter().map(|missed| format!("{}: {}", missed.path.display(), missed.why)).collect();
        let left_out: Vec<String> = self.listing.left_out.iter().map(|path| path.display().to_string()).collect();
        tell("listed, but not there", &self.listing.missing);
        tell("without a face, or not readable", &missed);
        tell("left out: no folder of a person, or an empty one", &left_out);
    }
}

fn tell(what: &str, which: &[String]) {
    const SHOWN: usize = 20;
    if which.is_empty() {
        return;
    }
    eprintln!("gate-lab: {} {what}:", which.len());
    for one in which.iter().take(SHOWN) {
        eprintln!("  {}", gate_cli::line(one));
    }
    if which.len() > SHOWN {
        eprintln!("  and {} more; --json and --report name all", which.len() - SHOWN);
    }
}

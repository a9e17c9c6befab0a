//! Everybody who may be recognised, loaded, with the threshold that their number calls for.

use gate_core::codes::{self, Line};
use gate_core::comparison::Comparison;
use gate_core::decision::{Identification, Lookup};
use gate_core::gallery::{self, Gallery, Nearest};
use gate_core::person::PersonKey;
use gate_core::threshold::{ImpostorTable, Threshold, fpir};
use gate_store::{GalleryPerson, Part, StoredGallery};
use gate_vision::Comparer;
use std::sync::Arc;
use zeroize::Zeroize;

/// Why this threshold is in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TauSource {
    /// The owner wrote it into the configuration.
    ByHand {
        /// The FPIR at it, at most; `None` where the impostor distribution does not reach.
        fpir: Option<f64>,
    },
    /// Derived from the stated risk, the gallery's size and the impostor distribution.
    Derived(Threshold),
}

/// The threshold in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tau {
    /// Largest dissimilarity d² that counts as a match.
    pub d2: f32,
    /// Why.
    pub source: TauSource,
    /// References in the gallery.
    pub references: usize,
    /// The FPIR that the configuration asks for.
    pub fpir_target: f64,
}

impl Tau {
    /// The threshold set by hand, if one is, or else the one that the stated risk calls for.
    #[must_use]
    pub fn derive(impostors: &ImpostorTable, by_hand: Option<f32>, fpir_target: f64, references: usize) -> Self {
        if let Some(d2) = by_hand {
            let fpir = impostors.fmr_at(d2).map(|fmr| fpir(fmr, references));
            return Self { d2, source: TauSource::ByHand { fpir }, references, fpir_target };
        }
        let threshold = impostors.threshold(fpir_target, references);
        Self { d2: threshold.tau, source: TauSource::Derived(threshold), references, fpir_target }
    }

    /// Whether the stated risk is kept, as far as the impostor distribution tells.
    #[must_use]
    pub fn target_met(&self) -> bool {
        match self.source {
            TauSource::ByHand { fpir } => fpir.is_some_and(|fpir| fpir <= self.fpir_target),
            TauSource::Derived(threshold) => threshold.target_met,
        }
    }

    /// One sentence for the log: which threshold is in force, and why.
    #[must_use]
    pub fn explain(&self) -> String {
        let Tau { d2, references, fpir_target, .. } = self;
        match self.source {
            TauSource::ByHand { fpir: Some(fpir) } => {
                let verdict = if self.target_met() { "within" } else { "ABOVE" };
                format!(
                    "tau = {d2:.3}, set by hand in [policy] tau: FPIR is at most {fpir:.1e} at N = {references} \
                     references, {verdict} the target of {fpir_target:.1e}"
                )
            }
            TauSource::ByHand { fpir: None } => format!(
                "tau = {d2:.3}, set by hand in [policy] tau, looser than anything that was measured: no error rate can \
                 be stated for it"
            ),
            TauSource::Derived(t) if t.target_met => {
                let fitted = if t.extrapolated {
                    ", beyond what was measured: the strict end of a fitted tail's interval"
                } else {
                    ""
                };
                format!(
                    "tau = {d2:.3}: FPIR {fpir_target:.1e} at N = {references} references needs FMR {:.2e} per \
                     comparison{fitted}",
                    t.fmr_needed
                )
            }
            TauSource::Derived(t) => format!(
                "tau = {d2:.3}, the strictest there is, and still NOT enough: FPIR {fpir_target:.1e} at \
                 N = {references} references needs FMR {:.2e} per comparison, which is beyond the impostor distribution; \
                 FPIR is about {:.1e}. Raise [policy] fpir_target, enrol fewer people, or use a better encoder",
                t.fmr_needed, t.fpir
            ),
        }
    }
}

/// The gallery as it is searched.
///
/// Made once for each change of the people, beside the one in force, which is then exchanged for it. Both share the parts
/// that have not changed, so that hardly any memory is held twice. In memory each reference of `dim` elements takes
/// 4·dim + 4 bytes, and dim + 6 more for its code where the comparison is a distance: 650 bytes at 128 elements, 2,570 at
/// 512. The id and the times of each person come on top.
#[derive(Debug)]
pub struct Members {
    parts: Vec<Part<Group>>,
    comparer: Arc<Comparer>,
    tau: Tau,
}

/// Some of the people.
#[derive(Debug)]
pub struct Group {
    /// The references through the comparer's adapter.
    stored: StoredGallery,
    /// Of all the rows, so that a search reads an eighth of them; none for a learned head.
    codes: Vec<Line>,
}

impl Group {
    /// Loaded references, ready to be compared in this way.
    #[must_use]
    pub fn new(stored: StoredGallery, comparer: &Comparer) -> Self {
        let references = comparer.adapt(stored.references).into_owned();
        let stored = StoredGallery { dim: comparer.dim(), references, ..stored };
        let rows = if comparer.comparison() == Comparison::Distance { stored.owners.len() } else { 0 };
        let mut codes = vec![Line::default(); codes::lines(stored.dim, rows)];
        codes::pack(stored.dim, &stored.references, &mut codes);
        Self { stored, codes }
    }

    fn gallery(&self) -> Option<Gallery<'_>> {
        let gallery = Gallery::new(self.stored.dim, &self.stored.references, &self.stored.owners)?;
        Some(gallery.with_codes(&self.codes))
    }
}

impl Drop for Group {
    /// Somebody in it may have been erased.
    fn drop(&mut self) {
        self.stored.references.zeroize();
        self.codes.fill(Line::default());
        // Otherwise the compiler may leave out what nobody reads.
        std::hint::black_box(&self.codes);
    }
}

impl Members {
    /// Puts parts, which this comparer's [`Group`]s are made of, and a threshold together. By key, lowest first.
    #[must_use]
    pub fn new(parts: Vec<Part<Group>>, comparer: Arc<Comparer>, tau: impl FnOnce(usize) -> Tau) -> Self {
        let references = parts.iter().map(|part| part.value.stored.owners.len()).sum();
        Self { parts, comparer, tau: tau(references) }
    }

    /// The parts, to be shared with the gallery that comes after this one.
    #[must_use]
    pub fn parts(&self) -> &[Part<Group>] {
        &self.parts
    }

    /// How faces are compared.
    #[must_use]
    pub fn comparer(&self) -> &Arc<Comparer> {
        &self.comparer
    }

    /// The threshold that their number calls for.
    #[must_use]
    pub fn tau(&self) -> &Tau {
        &self.tau
    }

    fn groups(&self) -> impl Iterator<Item = &StoredGallery> {
        self.parts.iter().map(|part| &part.value.stored)
    }

    /// Everybody with at least one usable reference, by key.
    pub fn people(&self) -> impl Iterator<Item = &GalleryPerson> {
        self.groups().flat_map(|group| &group.people)
    }

    /// How many people those are.
    #[must_use]
    pub fn people_count(&self) -> usize {
        self.groups().map(|group| group.people.len()).sum()
    }

    /// Every reference, through the comparer's adapter, and whose it is, by key.
    pub fn references(&self) -> impl Iterator<Item = (PersonKey, &[f32])> {
        self.groups().flat_map(|group| {
            let rows = group.references.chunks_exact(group.dim.max(1));
            group.owners.iter().copied().zip(rows)
        })
    }

    /// References made by other encoders, which are not compared.
    #[must_use]
    pub fn foreign(&self) -> usize {
        self.groups().map(|group| group.foreign).sum()
    }

    /// People erased, whose rows came back with an older copy of the database.
    #[must_use]
    pub fn erased(&self) -> usize {
        self.groups().map(|group| group.erased).sum()
    }

    /// When the newest of all records was written, Unix milliseconds.
    #[must_use]
    pub fn newest_ms(&self) -> Option<i64> {
        self.groups().filter_map(|group| group.newest_ms).max()
    }

    /// Ids of people with a row that failed authentication.
    #[must_use]
    pub fn damaged(&self) -> Vec<&str> {
        self.groups().flat_map(|group| &group.damaged).map(String::as_str).collect()
    }

    /// Somebody by key.
    #[must_use]
    pub fn person(&self, key: PersonKey) -> Option<&GalleryPerson> {
        self.groups().find_map(|group| {
            let place = group.people.binary_search_by_key(&key, |person| person.key).ok()?;
            group.people.get(place)
        })
    }

    /// The nearest person to `probe` (the encoder's vector) and the distance to the next.
    #[must_use]
    pub fn search(&self, probe: &[f32]) -> Option<Nearest> {
        let galleries = self.parts.iter().filter_map(|part| part.value.gallery());
        gallery::search(galleries, &self.comparer.adapt(probe), &self.comparer.comparison())
    }

    /// The same, as the decider takes it.
    #[must_use]
    pub fn look_up(&self, probe: &[f32]) -> Lookup {
        let found = self.search(probe).and_then(|nearest| Some((nearest, self.person(nearest.person)?)));
        found.map_or(Lookup::EmptyGallery, |(nearest, person)| {
            Lookup::Found(Identification {
                person: nearest.person,
                access: person.access,
                d2: nearest.d2,
                runner_up_d2: nearest.runner_up_d2,
            })
        })
    }
}

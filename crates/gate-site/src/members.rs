//! Everybody who may be recognised, loaded, with the threshold that their number calls for.

use gate_core::decision::{Identification, Lookup};
use gate_core::gallery::{Gallery, Nearest};
use gate_core::person::PersonKey;
use gate_core::threshold::Threshold;
use gate_store::{GalleryPerson, StoredGallery};

/// Why this threshold is in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TauSource {
    /// The owner wrote it into the configuration.
    ByHand,
    /// Derived from the stated risk, the gallery's size and the encoder's measured impostor distribution.
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
    /// Whether the stated risk is kept, as far as the card's measurements go. A threshold set by hand makes no claim.
    #[must_use]
    pub fn target_met(&self) -> bool {
        match self.source {
            TauSource::ByHand => true,
            TauSource::Derived(threshold) => threshold.target_met,
        }
    }

    /// One sentence for the log: which threshold is in force, and why.
    #[must_use]
    pub fn explain(&self) -> String {
        let Tau { d2, references, fpir_target, .. } = self;
        match self.source {
            TauSource::ByHand => format!("tau = {d2:.3}, set by hand in [policy] tau; no error rate is claimed for it"),
            TauSource::Derived(t) if t.target_met => format!(
                "tau = {d2:.3}: FPIR {fpir_target:.1e} at N = {references} references needs FMR {:.2e} per comparison",
                t.fmr_needed
            ),
            TauSource::Derived(t) => format!(
                "tau = {d2:.3}, the strictest that was measured, and still NOT enough: FPIR {fpir_target:.1e} at \
                 N = {references} references needs FMR {:.2e} per comparison, which this encoder's card does not support; \
                 FPIR is about {:.1e}. Raise [policy] fpir_target, enrol fewer people, or use a better encoder",
                t.fmr_needed, t.fpir
            ),
        }
    }
}

/// The gallery as it is searched.
#[derive(Debug)]
pub struct Members {
    stored: StoredGallery,
    tau: Tau,
}

impl Members {
    /// Puts loaded references and a threshold together.
    #[must_use]
    pub fn new(stored: StoredGallery, tau: Tau) -> Self {
        Self { stored, tau }
    }

    /// The threshold that their number calls for.
    #[must_use]
    pub fn tau(&self) -> &Tau {
        &self.tau
    }

    /// Everybody with at least one usable reference, by key.
    #[must_use]
    pub fn people(&self) -> &[GalleryPerson] {
        &self.stored.people
    }

    /// The loaded rows and what could not be loaded.
    #[must_use]
    pub fn stored(&self) -> &StoredGallery {
        &self.stored
    }

    /// Somebody by key.
    #[must_use]
    pub fn person(&self, key: PersonKey) -> Option<&GalleryPerson> {
        self.stored.people.binary_search_by_key(&key, |p| p.key).ok().map(|i| &self.stored.people[i])
    }

    /// The nearest person to `probe` (a unit vector) and the distance to the next.
    #[must_use]
    pub fn search(&self, probe: &[f32]) -> Option<Nearest> {
        Gallery::new(self.stored.dim, &self.stored.references, &self.stored.owners)?.search(probe)
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

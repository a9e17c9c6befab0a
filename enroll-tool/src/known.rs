//! The references of everybody enrolled, to find out who looks like somebody already there.

use gate_site::Members;
use gate_vision::Comparer;
use std::collections::HashMap;
use std::sync::Arc;

/// References and whose they are. Grows while many are enrolled.
pub struct Known {
    dim: usize,
    vectors: Vec<f32>,
    /// Index into `ids`, one a vector.
    owners: Vec<usize>,
    ids: Vec<String>,
    comparer: Arc<Comparer>,
}

impl Known {
    /// Everybody whom the encoder can recognise.
    #[must_use]
    pub fn new(members: &Members) -> Self {
        let ids = members.people().map(|person| person.id.clone()).collect();
        let index: HashMap<_, _> = members.people().enumerate().map(|(i, person)| (person.key, i)).collect();
        let comparer = Arc::clone(members.comparer());
        let mut known = Self { dim: comparer.dim(), vectors: Vec::new(), owners: Vec::new(), ids, comparer };
        for (key, vector) in members.references() {
            if let Some(owner) = index.get(&key) {
                known.vectors.extend_from_slice(vector);
                known.owners.push(*owner);
            }
        }
        known
    }

    /// How many references there are.
    #[must_use]
    pub fn references(&self) -> usize {
        self.owners.len()
    }

    /// Adds what was just accepted, so that the next person is compared with it.
    pub fn push<'a>(&mut self, id: &str, vectors: impl Iterator<Item = &'a [f32]>) {
        self.ids.push(id.to_owned());
        for vector in vectors {
            self.vectors.extend_from_slice(&self.comparer.adapt(vector));
            self.owners.push(self.ids.len() - 1);
        }
    }

    /// Everybody but `id` who is within `tau`, nearest first, and how near (d²).
    #[must_use]
    pub fn others_within(&self, id: &str, probe: &[f32], tau: f32) -> Vec<(&str, f32)> {
        let mut near: Vec<_> = self.rows(probe).filter(|(owner, d2)| *owner != id && *d2 <= tau).collect();
        near.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut others: Vec<(&str, f32)> = Vec::new();
        for (owner, d2) in near {
            if others.iter().all(|(other, _)| *other != owner) {
                others.push((owner, d2));
            }
        }
        others
    }

    /// The least d² to the references of `id`, and how many there are.
    #[must_use]
    pub fn nearest_own(&self, id: &str, probe: &[f32]) -> Option<(f32, usize)> {
        self.rows(probe).filter(|(owner, _)| *owner == id).fold(None, |least: Option<(f32, usize)>, (_, d2)| {
            Some(least.map_or((d2, 1), |(best, n)| (best.min(d2), n + 1)))
        })
    }

    /// The largest d² to the references of `id`, and how many there are.
    #[must_use]
    pub fn furthest_own(&self, id: &str, probe: &[f32]) -> Option<(f32, usize)> {
        self.rows(probe).filter(|(owner, _)| *owner == id).fold(None, |most: Option<(f32, usize)>, (_, d2)| {
            Some(most.map_or((d2, 1), |(worst, n)| (worst.max(d2), n + 1)))
        })
    }

    fn rows(&self, probe: &[f32]) -> impl Iterator<Item = (&str, f32)> {
        let (probe, comparison) = (self.comparer.adapt(probe), self.comparer.comparison());
        let rows = self.vectors.chunks_exact(self.dim.max(1)).zip(&self.owners);
        rows.map(move |(row, owner)| (self.ids[*owner].as_str(), comparison.compare(row, &probe)))
    }
}

//! Which pairs a verification head learns from: all genuine ones, the hardest impostors, and impostors drawn at random.
//! The gate works where one impostor in a thousand or a million passes; random impostors alone teach nothing about there.

use crate::faces::{Faces, by_person};
use gate_core::similarity::dissimilarity;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Two pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    pub a: u32,
    pub b: u32,
    pub genuine: bool,
    /// How much it counts; both classes sum to 0.5.
    pub weight: f64,
}

/// Impostor pairs for each picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Impostors {
    pub hardest: usize,
    pub random: usize,
}

/// The pairs among these pictures. Of a person with n pictures each picture counts as much as anybody's, so their pairs
/// count 1 / (n - 1): somebody photographed often does not rule the result.
pub(crate) fn choose(faces: &Faces<'_>, pictures: &[u32], of: Impostors, rng: &mut ChaCha8Rng) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for group in by_person(faces.person(), pictures) {
        let weight = 1.0 / (group.len().max(2) - 1) as f64;
        for (n, a) in group.iter().enumerate() {
            pairs.extend(group[n + 1..].iter().map(|b| Pair { a: *a, b: *b, genuine: true, weight }));
        }
    }
    let genuine = pairs.len();
    let mut impostors = hardest(faces, pictures, of.hardest);
    for a in pictures {
        for _ in 0..of.random {
            let b = pictures[rng.random_range(0..pictures.len())];
            if faces.person()[*a as usize] != faces.person()[b as usize] {
                impostors.push((*a.min(&b), *a.max(&b)));
            }
        }
    }
    impostors.sort_unstable();
    impostors.dedup();
    pairs.extend(impostors.into_iter().map(|(a, b)| Pair { a, b, genuine: false, weight: 1.0 }));
    let (of_one, of_two) = pairs.split_at_mut(genuine);
    for class in [of_one, of_two] {
        let sum: f64 = class.iter().map(|p| p.weight).sum();
        class.iter_mut().for_each(|p| p.weight *= 0.5 / sum);
    }
    pairs
}

/// For each picture the `count` nearest ones of other people.
fn hardest(faces: &Faces<'_>, pictures: &[u32], count: usize) -> Vec<(u32, u32)> {
    let mut all = Vec::new();
    if count == 0 {
        return all;
    }
    let mut near: Vec<(f32, u32)> = Vec::new();
    for a in pictures {
        let (row, person) = (faces.row(*a as usize), faces.person()[*a as usize]);
        near.clear();
        let others = pictures.iter().filter(|b| faces.person()[**b as usize] != person);
        near.extend(others.map(|b| (dissimilarity(row, faces.row(*b as usize)), *b)));
        if near.len() > count {
            near.select_nth_unstable_by(count, |x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
        }
        all.extend(near.iter().take(count).map(|(_, b)| (*a.min(b), *a.max(b))));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn classes_weigh_the_same_and_the_hardest_are_among_them() {
        let angles = [0.0f32, 0.1, 0.5, 0.6, 0.55, 2.0, 2.1, 2.2];
        let vectors: Vec<f32> = angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect();
        let person = [0, 0, 1, 1, 2, 3, 3, 3];
        let faces = Faces::new(2, &vectors, &person).unwrap();
        let all: Vec<u32> = (0..8).collect();
        let of = Impostors { hardest: 1, random: 2 };
        let pairs = choose(&faces, &all, of, &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!(pairs.iter().filter(|p| p.genuine).count(), 1 + 1 + 3);
        assert!(pairs.iter().any(|p| !p.genuine && (p.a, p.b) == (3, 4)), "0.6 and 0.55 belong to two people");
        assert!(pairs.iter().all(|p| (person[p.a as usize] == person[p.b as usize]) == p.genuine));
        for genuine in [true, false] {
            let sum: f64 = pairs.iter().filter(|p| p.genuine == genuine).map(|p| p.weight).sum();
            assert!((sum - 0.5).abs() < 1e-12);
        }
    }
}

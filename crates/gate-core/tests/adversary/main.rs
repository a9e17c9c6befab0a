//! An adversary that tries to get in by all that can be shown to a camera: photographs, the own face, somebody beside it,
//! blur, gaps, in every order.

mod search;
mod world;

use search::{Tried, exhaust, wander};
use world::{Setup, Show};

#[test]
fn a_photo_swapped_with_a_live_face_is_found() {
    let mut tried = Tried::default();
    for setup in Setup::all().into_iter().filter(|setup| setup.fps == 15) {
        let mut found = exhaust(setup, &Show::alone(), 3, &[1, 4, 8, 13, 25], 1);
        found.add(wander(setup, &Show::ALL, 2_000, 1));
        println!("{setup:?}: {} sequences, {} frames, {} grants", found.sequences, found.frames, found.grants);
        found.ways_in.iter().for_each(|way| println!("    {way}"));
        tried.add(found);
    }
    assert!(!tried.ways_in.is_empty());
}

//! In the steady state our own code allocates nothing: counted, with the place of each allocation told when there is one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    static PLACES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn note() {
    // While a place is noted down allocations are the note's own.
    if COUNTS.replace(false) {
        PLACES.with_borrow_mut(|places| places.push(Backtrace::force_capture().to_string()));
        COUNTS.set(true);
    }
}

#[allow(unsafe_code)]
// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller keeps to the contract of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Where this thread allocates in `work`: one backtrace each.
fn places(work: impl FnOnce()) -> Vec<String> {
    PLACES.with_borrow_mut(Vec::clear);
    COUNTS.set(true);
    work();
    COUNTS.set(false);
    PLACES.take()
}

mod tests {
    use super::places;
    use crate::bench;
    use crate::bench::frames::Clip;
    use gate_core::decision::{Lookup, Now};
    use gate_site::Site;
    use std::path::Path;

    /// Frames of the walk-up in which somebody comes near, is compared and is let in.
    const COUNTED: std::ops::Range<usize> = 30..60;
    /// Of the binding's functions some stand inline in `Network::run`, which is nothing but a call of it.
    const RUNTIME: &[&str] = &["ort::", "Network::run"];
    const RESIZER: &[&str] = &["fast_image_resize::"];

    #[test]
    fn an_allocation_is_noticed() {
        assert_eq!(places(|| drop(std::hint::black_box(Box::new(1)))).len(), 1);
        assert!(places(|| ()).is_empty());
    }

    #[test]
    fn a_frame_allocates_nothing_outside_onnx_runtime_and_the_resizer() {
        let mut site = Site { config: gate_config::Config::default(), file: None };
        site.config.vision.models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let mut vision = site.vision().expect("run `make setup` first");
        let clip = Clip::walk_up(&mut vision, &site.config.vision.models).expect("run `make setup` first");
        let mut gate = bench::gate(&site, vision, 1_000, &clip).expect("run `make setup` first");
        let mut look = |round: u64, place: usize| {
            let mono_ms = round * 20_000 + place as u64 * 66;
            let picture = clip.frames[place].view().expect("a picture");
            gate.look(picture, Now { mono_ms, wall_ms: 0 }).expect("networks that run");
            let seen = gate.seen().first().map(|seen| seen.sighting.lookup);
            (seen.is_some(), matches!(seen, Some(Lookup::Found(_))))
        };
        // The first visit finds out how much memory is needed.
        (0..clip.frames.len()).for_each(|place| _ = look(0, place));
        (0..COUNTED.start).for_each(|place| _ = look(1, place));
        let (mut glanced, mut compared) = (0, 0);
        let all = places(|| {
            for (seen, found) in COUNTED.map(|place| look(1, place)) {
                glanced += usize::from(seen && !found);
                compared += usize::from(found);
            }
        });
        assert!(glanced > 5 && compared > 5, "{glanced} frames glanced at, {compared} compared");
        let is_in = |place: &str, parts: &[&str]| parts.iter().any(|part| place.contains(part));
        let of = |parts: &[&str]| all.iter().filter(|place| is_in(place, parts)).count();
        println!("{} in the binding of ONNX Runtime, {} in the resizer of closer looks", of(RUNTIME), of(RESIZER));
        let ours: Vec<&String> = all.iter().filter(|place| !is_in(place, RUNTIME) && !is_in(place, RESIZER)).collect();
        assert!(ours.is_empty(), "{} allocations of our own; the first is at\n{}", ours.len(), ours[0]);
    }
}

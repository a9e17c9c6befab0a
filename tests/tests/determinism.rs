//! The same frames give the same events, every time and at any pace: no wall clock in a decision.

use gate_tests::{Look, Portrait, Scene, Site};

#[test]
fn the_same_frames_decide_the_same_whenever_and_however_fast_they_come() {
    let (ours, stranger) = (Look::new(Portrait::Obama2, 130.0), Look::new(Portrait::Biden, 120.0));
    let scene = Scene::new().walk_up(700, 60.0, ours).stay(500, &[ours]).nobody(700).stay(1_000, &[stranger]);
    let site = Site::enrolled();
    scene.write(&site.path("frames"));
    let [first, second, real] = ["fast", "fast", "real"].map(|pace| {
        for left in ["events.jsonl", "relay.jsonl"] {
            let _ = std::fs::remove_file(site.path(left));
        }
        let played = site.replay(&["--pace", pace]);
        played.ended_locked();
        played
    });
    assert_eq!((first.log.granted(), first.log.refused()), (vec!["obama"], vec!["Unknown"]), "{:#?}", first.log);
    assert_eq!(first.log.timeless(), second.log.timeless());
    assert_eq!(first.log.timeless(), real.log.timeless());
    assert_eq!(first.relay, second.relay);
    assert_eq!(first.relay, real.relay);
}

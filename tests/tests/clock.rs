//! A wall clock that lags lets nobody in whose admission is over. What the gate goes by is the newest time that it knows for
//! sure, kept in its anchor: a gate whose anchor was written in two days' time runs under a clock that was set back by two.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_store::{Anchor, Number, SiteKey};
use gate_tests::{Answer, Look, Played, Portrait, Scene, Site};
use jiff::{Timestamp, ToSpan, Zoned};

const DAY_MS: i64 = 86_400_000;

/// How far the clock lags: it shows the day before yesterday, 2000, or 1970.
fn lags() -> [i64; 3] {
    let now_ms = Timestamp::now().as_millisecond();
    [2 * DAY_MS, now_ms - 946_684_800_000, now_ms]
}

/// The site's anchor, as the gate writes it.
fn anchor(site: &Site) -> Anchor {
    let key = SiteKey::load(&gate_store::KeySource::File(site.path("store/site.key"))).unwrap();
    Anchor::new(&Anchor::place(&site.path("store")).unwrap(), &key)
}

/// The gate has run until so many milliseconds from now.
fn has_seen(site: &Site, ahead_ms: i64) {
    let noted = anchor(site).noted_time().unwrap();
    anchor(site).note_time(noted.era, Timestamp::now().as_millisecond() + ahead_ms).unwrap();
}

fn obama_walks_up(site: &Site) -> Played {
    let played = site.play(&Scene::new().nobody(300).stay(1_400, &[Look::new(Portrait::Obama3, 120.0)]));
    played.ended_locked();
    std::fs::remove_file(site.path("events.jsonl")).unwrap();
    played
}

fn day(days: i64) -> String {
    (&Zoned::now() + days.days()).date().to_string()
}

fn check(site: &Site) -> (Answer, bool, String) {
    let answer: Answer = site.daemon(&["check", "--json"]).output().unwrap().into();
    let json = answer.json();
    let clock = json["checks"].as_array().unwrap().iter().find(|found| found["what"] == "clock").unwrap().clone();
    let told = clock["found"].as_str().or(clock["error"].as_str()).unwrap().to_owned();
    (answer, clock["ok"].as_bool().unwrap(), told)
}

#[test]
fn whose_admission_ended_yesterday_is_refused_whatever_the_clock_shows() {
    let site = Site::enrolled();
    site.tool(&["set", "obama", "--valid-until", &day(-1)]).done();
    let played = obama_walks_up(&site);
    assert_eq!((played.log.granted(), played.log.refused()), (vec![], vec!["Expired"]));
    assert!(played.log.all(|event| event.kind() == "clock").is_empty(), "the clock is right: {:#?}", played.log);

    for lag_ms in lags() {
        let site = Site::enrolled();
        has_seen(&site, lag_ms);
        // Yesterday as it was before the clock was set back.
        let days = lag_ms / DAY_MS - 1;
        site.tool(&["set", "obama", "--valid-until", &day(days)]).done();
        let played = obama_walks_up(&site);
        assert_eq!((played.log.granted(), played.log.refused()), (vec![], vec!["ClockUnsure"]), "{lag_ms}");
        let refused = played.log.all(|event| event.is_refused("ClockUnsure"))[0];
        assert_eq!(refused.text("person"), "obama");
        let behind = played.log.all(|event| event.kind() == "clock")[0];
        assert!(behind.text("state") == "behind" && behind.text("detail").contains(" s behind 20"), "{behind:?}");
        assert_eq!(played.log.all(|event| event.is_fault("clock", true)).len(), 1, "{:#?}", played.log);
        let said = &played.answer.stderr;
        assert!(
            said.contains("nobody whose admission ends is let in") && said.contains("enroll-tool clock --accept"),
            "{said}"
        );
    }
}

#[test]
fn a_clock_that_lags_keeps_nobody_outside_whose_admission_has_no_end() {
    let site = Site::enrolled();
    has_seen(&site, 2 * DAY_MS);
    let played = obama_walks_up(&site);
    assert_eq!(played.log.granted(), ["obama"], "{:#?}", played.log);
    assert_eq!(played.log.all(|event| event.is_fault("clock", true)).len(), 1, "told all the same");
    site.tool(&["set", "obama", "--valid-from", &day(-30)]).done();
    assert_eq!(obama_walks_up(&site).log.granted(), ["obama"], "it has begun even by the clock that lags");
}

#[test]
fn check_and_the_staffs_tool_say_so_and_staff_can_take_the_clock_at_its_word() {
    let site = Site::enrolled();
    Scene::new().nobody(400).write(&site.path("frames"));
    site.tool(&["set", "obama", "--valid-until", &day(30)]).done();
    let (answer, is_ok, told) = check(&site);
    assert!(answer.is_done() && is_ok && told.starts_with("20"), "{answer:?}");
    assert_eq!(site.tool(&["check", "--json"]).json()["clock"]["behind"], false);

    has_seen(&site, 400 * DAY_MS);
    let (answer, is_ok, told) = check(&site);
    assert!(answer.code == Some(1) && !is_ok && told.contains("when the gate last noted the time"), "{told}");
    assert!(answer.json()["next"][0].as_str().unwrap().contains("set the clock"), "{answer:?}");
    let checked = site.tool(&["check", "--json"]);
    assert_eq!((checked.code, &checked.json()["clock"]["behind"]), (Some(3), &true.into()));
    assert!(site.tool(&["check"]).stdout.contains("BEHIND"));
    assert_eq!(site.tool(&["show", "obama", "--json"]).json()["refusal"], "ClockUnsure");
    let asked = site.tool(&["clock", "--json"]);
    assert_eq!((asked.code, &asked.json()["known_by"]), (Some(1), &"the gate last noted the time".into()));

    // Nobody is there to say that it is right.
    site.tool(&["clock", "--accept"]).refused(2, &["not accepted", "--yes"]);
    assert_eq!(obama_walks_up(&site).log.refused(), ["ClockUnsure"]);
    site.tool(&["clock", "--accept", "--yes"]).done();
    site.tool(&["clock"]).done();
    assert_eq!(obama_walks_up(&site).log.granted(), ["obama"]);
}

#[test]
fn a_running_gate_notes_the_time_it_knows_and_hears_that_the_clock_was_accepted() {
    let site = Site::enrolled();
    site.tool(&["set", "obama", "--valid-until", &day(30)]).done();
    let changed_ms = Timestamp::now().as_millisecond();
    let newest_ms = |site: &Site| anchor(site).get(Number::NewestMs).unwrap() as i64;
    assert!(newest_ms(&site) < changed_ms - DAY_MS, "the gate has not run yet");

    let camera = format!("v4l:{}", site.path("no-camera").display());
    let mut daemon = site.start(&["--camera", &camera]);
    daemon.wait_for(0, "the start", |event| event.is_fault("camera", true));
    daemon.stop().done();
    let noted_ms = newest_ms(&site);
    // What the store was last changed at is known for sure, whether the clock is synchronised or not.
    assert!((changed_ms - 10_000..=Timestamp::now().as_millisecond()).contains(&noted_ms), "{noted_ms} {changed_ms}");
    let quiet = site.log();
    assert!(quiet.all(|event| event.kind() == "clock").is_empty(), "{quiet:#?}");

    has_seen(&site, 400 * DAY_MS);
    let mut daemon = site.start(&["--camera", &camera]);
    let before = quiet.0.len();
    daemon.wait_for(before, "the clock's fault", |event| event.is_fault("clock", true));
    site.tool(&["clock", "--accept", "--yes"]).done();
    let is =
        |state: &'static str| move |event: &gate_tests::Event| event.kind() == "clock" && event.text("state") == state;
    daemon.wait_for(before, "the acceptance", is("accepted"));
    daemon.wait_for(before, "a clock that is right", is("right"));
    daemon.wait_for(before, "the fault's end", |event| event.is_fault("clock", false));
    daemon.stop().done();
    assert!(
        newest_ms(&site) < Timestamp::now().as_millisecond() + DAY_MS,
        "what it believed before is not noted again"
    );
}

#[test]
fn a_replay_never_notes_a_time() {
    let site = Site::enrolled();
    let before = anchor(&site).noted_time().unwrap();
    obama_walks_up(&site);
    assert_eq!(anchor(&site).noted_time().unwrap(), before);
}

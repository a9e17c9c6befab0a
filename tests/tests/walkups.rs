//! Moving people: clips of real walk-ups where a workplace has them, and everywhere a man who talks to the camera.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_tests::clips::{SHOTS, Shot, enrol, is_in, needs_ffmpeg, play, site};
use gate_tests::programs::{has_ffmpeg, sample, walkups};
use gate_tests::{Answer, Site};
use std::path::Path;

/// The one frame of a person in a clip.
fn shot(person: &str, clip: &str) -> &'static Shot {
    SHOTS.iter().find(|shot| shot.person == person && shot.clip == clip).unwrap()
}

/// Clips that can be played here: all of them where ffmpeg is installed, else the GIFs.
fn playable(folder: &Path, clips: &[&'static str]) -> Vec<&'static str> {
    let ffmpeg = has_ffmpeg();
    let can_play = |clip: &&str| folder.join(clip).is_file() && (ffmpeg || !needs_ffmpeg(clip));
    clips.iter().copied().filter(can_play).collect()
}

/// What every checkout can see, with clips or without: a video of a man whom nobody has enrolled.
#[test]
fn a_talking_man_whom_nobody_knows_is_refused() {
    let played = film_of_a_stranger(&Site::enrolled());
    if has_ffmpeg() {
        assert_eq!(played.code, Some(0), "{played:#?}");
    } else {
        played.refused(3, &["ffmpeg", "install"]);
    }
}

/// Plays the sample video to a site; nobody may be granted.
fn film_of_a_stranger(site: &Site) -> Answer {
    let film = format!("replay:{}", sample("carphone_pristine.mp4").display());
    let played = site.replay(&["--camera", &film]);
    assert_eq!(played.log.granted(), [""; 0], "{:#?}", played.log);
    if played.answer.is_done() {
        assert!(!played.log.refused().is_empty(), "his face was seen: {:#?}", played.log);
    }
    played.answer
}

#[test]
fn a_video_without_ffmpeg_says_what_is_missing() {
    let site = Site::enrolled();
    let film = format!("replay:{}", sample("carphone_pristine.mp4").display());
    let answer: Answer = site.daemon(&["run", "--camera", &film]).env("PATH", "").output().unwrap().into();
    answer.refused(3, &["ffmpeg", "install"]);
}

#[test]
fn people_enrolled_from_one_frame_are_let_in_when_they_walk_up() {
    let Some(folder) = walkups() else { return a_talking_man_whom_nobody_knows_is_refused() };
    let cases = [
        // Enrolled from one clip, let in on another.
        ("hoodie", "again.mkv", "yes.mkv"),
        ("yellow", "book.mkv", "walk.mkv"),
        ("woman", "head-pose-face-detection-female.gif", "head-pose-face-detection-female.gif"),
        ("bearded", "face-demographics-walking-and-pause.gif", "face-demographics-walking-and-pause.gif"),
    ];
    for (person, from, clip) in cases {
        if playable(&folder, &[from, clip]).len() < 2 {
            continue;
        }
        let site = site();
        enrol(&site, &folder, shot(person, from));
        let played = play(&site, &folder.join(clip));
        assert!(played.log.granted().contains(&person), "{person} in {clip}: {:#?}", played.log);
    }
}

#[test]
fn among_many_who_are_enrolled_nobody_is_taken_for_another() {
    let Some(folder) = walkups() else { return a_talking_man_whom_nobody_knows_is_refused() };
    let site = site();
    let everybody = Shot::of_everybody();
    for shot in everybody.iter().filter(|shot| !playable(&folder, &[shot.clip]).is_empty()) {
        enrol(&site, &folder, shot);
    }
    // Backs, mostly, of people whom nobody has enrolled; two of those who are; and one of each kind of film.
    let backs = "one-by-one-person-detection.gif";
    let clips = [backs, "thanks.mkv", "no.mkv", "head-pose-face-detection-male.gif"];
    for clip in playable(&folder, &clips) {
        let granted = play(&site, &folder.join(clip)).log;
        let granted = granted.granted();
        assert!(granted.iter().all(|person| is_in(person, clip)), "{clip}: {granted:?}");
        assert_eq!(granted.is_empty(), clip == backs, "{clip}: {granted:?}");
    }
}

/// In this clip a man whom nobody has enrolled comes near to an enrolled one for five frames in a row.
#[test]
fn a_stranger_who_resembles_somebody_for_some_frames_stays_outside() {
    let Some(folder) = walkups() else { return a_talking_man_whom_nobody_knows_is_refused() };
    let clip = "thanks.mkv";
    if playable(&folder, &[clip]).is_empty() {
        return a_talking_man_whom_nobody_knows_is_refused();
    }
    let site = site();
    for shot in Shot::of_everybody().iter().filter(|shot| !is_in(shot.person, clip)) {
        enrol(&site, &folder, shot);
    }
    let played = play(&site, &folder.join(clip));
    assert_eq!(played.log.granted(), [""; 0], "{:#?}", played.log);
    assert_eq!(played.log.refused(), ["Unknown"], "{:#?}", played.log);
}

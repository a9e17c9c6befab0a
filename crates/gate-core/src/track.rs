//! Follows faces from frame to frame, so that evidence can belong to one of them.
//!
//! One track is one face. Where a face is joins it to a track; what it looks like keeps it there: each probe is compared with
//! the track's earlier ones, and a face that is not the same begins a track of its own in the same place.

use crate::comparison::Comparison;
use crate::geometry::Rect;
use heapless::Vec;

/// Most faces looked at in one frame.
pub const FACES_MAX: usize = 8;
/// Most tracks kept at once.
pub const TRACKS_MAX: usize = 16;

/// The number of a track, counted from 1 since the start; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u32);

/// Longest probe that can be kept; with a longer one each comparison begins a new track.
pub const PROBE_MAX: usize = 512;
/// Tracks whose probes are kept: only the nearest face of a frame is compared, so few are needed.
const PROBED_MAX: usize = 8;

/// A face may move by this part of its width between two frames and still be the same track.
const STEP_MAX: f32 = 0.9;
/// A face may grow or shrink by this factor between two frames and still be the same track.
const GROWTH_MAX: f32 = 1.5;

#[derive(Clone, Copy, Debug)]
struct Track {
    id: TrackId,
    rect: Rect,
    seen_ms: u64,
    /// Whether the face was compared before, so that its probes must be there.
    is_probed: bool,
}

/// What a track's face looks like.
#[derive(Clone, Debug)]
struct Probed {
    id: TrackId,
    /// The first probe: small steps from frame to frame must not lead to another face.
    first: Vec<f32, PROBE_MAX>,
    /// The latest one.
    last: Vec<f32, PROBE_MAX>,
}

/// Gives each face of a frame the track it continues, or a new one.
///
/// The nearest pair (relative to the face's size) is joined first. A jump too far or a sudden change of size starts a
/// new track: evidence is lost then, never handed to another face.
#[derive(Clone, Debug)]
pub struct Tracker {
    tracks: Vec<Track, TRACKS_MAX>,
    /// Least recently compared first.
    probed: Vec<Probed, PROBED_MAX>,
    next_id: u32,
    lost_ms: u64,
}

impl Tracker {
    /// A tracker that forgets a face not seen for `lost_ms` milliseconds.
    #[must_use]
    pub fn new(lost_ms: u32) -> Self {
        Self { tracks: Vec::new(), probed: Vec::new(), next_id: 1, lost_ms: u64::from(lost_ms) }
    }

    /// Forgets a face not seen for `lost_ms` milliseconds from now on.
    pub fn set_lost_ms(&mut self, lost_ms: u32) {
        self.lost_ms = u64::from(lost_ms);
    }

    /// The tracks of `faces` (at most [`FACES_MAX`] are looked at), in the same order, at `now_ms` (monotonic).
    pub fn update(&mut self, faces: &[Rect], now_ms: u64) -> Vec<TrackId, FACES_MAX> {
        let lost_ms = self.lost_ms;
        self.tracks.retain(|t| now_ms.saturating_sub(t.seen_ms) <= lost_ms);
        let tracks = &self.tracks;
        self.probed.retain(|probed| tracks.iter().any(|track| track.id == probed.id));
        let faces = &faces[..faces.len().min(FACES_MAX)];
        let mut assigned: [Option<TrackId>; FACES_MAX] = [None; FACES_MAX];
        let mut taken = [false; TRACKS_MAX];
        while let Some((face, track)) = self.nearest_pair(faces, &assigned, &taken) {
            taken[track] = true;
            self.tracks[track].rect = faces[face];
            self.tracks[track].seen_ms = now_ms;
            assigned[face] = Some(self.tracks[track].id);
        }
        faces.iter().zip(assigned).map(|(rect, id)| id.unwrap_or_else(|| self.start(*rect, now_ms))).collect()
    }

    fn nearest_pair(
        &self,
        faces: &[Rect],
        assigned: &[Option<TrackId>; FACES_MAX],
        taken: &[bool; TRACKS_MAX],
    ) -> Option<(usize, usize)> {
        let mut best: Option<(f32, usize, usize)> = None;
        for (f, face) in faces.iter().enumerate().filter(|(f, _)| assigned[*f].is_none()) {
            for (t, track) in self.tracks.iter().enumerate().filter(|(t, _)| !taken[*t]) {
                if let Some(step) = step(&track.rect, face)
                    && best.is_none_or(|(least, _, _)| step < least)
                {
                    best = Some((step, f, t));
                }
            }
        }
        best.map(|(_, f, t)| (f, t))
    }

    fn start(&mut self, rect: Rect, now_ms: u64) -> TrackId {
        let id = TrackId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1).max(1);
        if self.tracks.is_full()
            && let Some(oldest) = (0..self.tracks.len()).min_by_key(|i| self.tracks[*i].seen_ms)
        {
            self.tracks.swap_remove(oldest);
        }
        // There is room: one was just removed if it was full.
        let _ = self.tracks.push(Track { id, rect, seen_ms: now_ms, is_probed: false });
        id
    }

    /// The track that a face continues, now that it was compared: `track`, or a new one in its place when the face is not the
    /// one that was there.
    ///
    /// It is the same face when its probe is within `same_d2` of the track's first probe and of its latest one. NaN is never
    /// within, and neither is a probe whose predecessors are not known any more.
    pub fn confirm(&mut self, track: TrackId, probe: &[f32], comparison: &Comparison<'_>, same_d2: f32) -> TrackId {
        let Some(place) = self.tracks.iter().position(|t| t.id == track) else { return track };
        let is_near = |known: &[f32]| known.len() == probe.len() && comparison.compare(probe, known) <= same_d2;
        let known = self.probed.iter().position(|probed| probed.id == track).map(|at| self.probed.remove(at));
        let same = known.filter(|probed| is_near(&probed.first) && is_near(&probed.last));

        let id = match (self.tracks[place].is_probed, &same) {
            (false, _) | (true, Some(_)) => track,
            (true, None) => {
                let Track { rect, seen_ms, .. } = self.tracks.swap_remove(place);
                self.start(rect, seen_ms)
            }
        };
        if let Some(track) = self.tracks.iter_mut().find(|t| t.id == id) {
            track.is_probed = true;
        }

        // A probe that is too long leaves nothing to compare the next one with.
        let Ok(last) = Vec::from_slice(probe) else { return id };
        let first = same.map_or_else(|| last.clone(), |probed| probed.first);
        if self.probed.is_full() {
            self.probed.remove(0);
        }
        // There is room: one was just removed if it was full.
        let _ = self.probed.push(Probed { id, first, last });
        id
    }
}

/// How far the face moved, in parts of its width; `None` when it cannot be the same face.
fn step(before: &Rect, after: &Rect) -> Option<f32> {
    let (a, b) = (before.centre(), after.centre());
    let width = before.w.max(after.w);
    if width <= 0.0 || before.w.max(after.w) > GROWTH_MAX * before.w.min(after.w) {
        return None;
    }
    let moved = libm::hypotf(a.x - b.x, a.y - b.y) / width;
    (moved <= STEP_MAX).then_some(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f32, w: f32) -> Rect {
        Rect { x, y: 100.0, w, h: w * 1.2 }
    }

    #[test]
    fn a_walking_face_keeps_its_track_and_a_lost_one_does_not_come_back() {
        let mut tracker = Tracker::new(500);
        let first = tracker.update(&[at(100.0, 80.0)], 0)[0];
        assert_eq!(tracker.update(&[at(130.0, 84.0)], 100)[0], first);
        assert_eq!(tracker.update(&[at(160.0, 88.0)], 600)[0], first, "seen again within the limit");
        assert_ne!(tracker.update(&[at(160.0, 88.0)], 1_200)[0], first, "gone for longer than the limit");
    }

    #[test]
    fn two_faces_keep_their_own_tracks_in_any_order() {
        let mut tracker = Tracker::new(500);
        let first = tracker.update(&[at(100.0, 80.0), at(300.0, 80.0)], 0);
        let second = tracker.update(&[at(310.0, 80.0), at(95.0, 80.0)], 66);
        assert_eq!((first[0], first[1]), (second[1], second[0]));
    }

    #[test]
    fn a_jump_or_a_sudden_change_of_size_is_another_face() {
        let mut tracker = Tracker::new(500);
        let first = tracker.update(&[at(100.0, 80.0)], 0)[0];
        assert_ne!(tracker.update(&[at(300.0, 80.0)], 66)[0], first);
        let mut tracker = Tracker::new(500);
        let first = tracker.update(&[at(100.0, 80.0)], 0)[0];
        assert_ne!(tracker.update(&[at(100.0, 200.0)], 66)[0], first);
    }

    /// A unit vector at this angle from the first axis.
    fn facing(degrees: f32) -> [f32; 2] {
        let radians = degrees.to_radians();
        [libm::cosf(radians), libm::sinf(radians)]
    }

    #[test]
    fn another_face_in_the_same_place_begins_a_track_of_its_own() {
        let mut tracker = Tracker::new(500);
        // d² of 0.5 is an angle of 41 degrees.
        let confirm = |tracker: &mut Tracker, track, degrees| {
            tracker.confirm(track, &facing(degrees), &Comparison::Distance, 0.5)
        };
        let first = tracker.update(&[at(100.0, 80.0)], 0)[0];
        assert_eq!(confirm(&mut tracker, first, 0.0), first);
        assert_eq!(confirm(&mut tracker, first, 30.0), first, "the same face, turned a little");

        let other = confirm(&mut tracker, first, 90.0);
        assert_ne!(other, first);
        assert_eq!(tracker.update(&[at(104.0, 80.0)], 66)[0], other, "from now on it is the other's");
        assert_ne!(confirm(&mut tracker, other, 0.0), first, "the first face comes back to nothing");
    }

    #[test]
    fn small_steps_do_not_lead_to_another_face() {
        let mut tracker = Tracker::new(500);
        let first = tracker.update(&[at(100.0, 80.0)], 0)[0];
        let mut steps = (0..90).step_by(10).map(|degrees| degrees as f32);
        let broke =
            steps.find(|degrees| tracker.confirm(first, &facing(*degrees), &Comparison::Distance, 0.5) != first);
        assert_eq!(broke, Some(50.0));
    }

    #[test]
    fn a_probe_that_cannot_be_compared_is_never_the_same_face() {
        let mut tracker = Tracker::new(500);
        let first = tracker.update(&[at(100.0, 80.0)], 0)[0];
        let confirm =
            |tracker: &mut Tracker, track, probe: &[f32]| tracker.confirm(track, probe, &Comparison::Distance, 0.5);
        assert_eq!(confirm(&mut tracker, first, &[1.0, 0.0]), first);
        let second = confirm(&mut tracker, first, &[f32::NAN, 0.0]);
        assert_ne!(second, first);
        let third = confirm(&mut tracker, second, &[1.0, 0.0]);
        assert_ne!(third, second, "nothing is known to be like a vector that is no number");
        let fourth = confirm(&mut tracker, third, &[0.0; PROBE_MAX + 1]);
        assert_ne!(fourth, third);
        assert_ne!(confirm(&mut tracker, fourth, &[0.0; PROBE_MAX + 1]), fourth, "too long to be kept");
    }

    #[test]
    fn a_face_whose_probes_gave_way_to_others_starts_from_nothing() {
        let mut tracker = Tracker::new(500);
        let crowd: Vec<Rect, 16> = (0..8).map(|i| at(i as f32 * 200.0, 60.0)).collect();
        let tracks = tracker.update(&crowd, 0);
        let more: Vec<Rect, 16> = (8..16).map(|i| at(i as f32 * 200.0, 60.0)).collect();
        let others = tracker.update(&more, 10);
        for track in tracks.iter().chain(&others) {
            assert_eq!(tracker.confirm(*track, &facing(0.0), &Comparison::Distance, 0.5), *track);
        }
        assert_ne!(tracker.confirm(tracks[0], &facing(0.0), &Comparison::Distance, 0.5), tracks[0]);
        assert_eq!(tracker.confirm(others[7], &facing(0.0), &Comparison::Distance, 0.5), others[7]);
    }

    #[test]
    fn a_crowd_stays_within_bounds() {
        let mut tracker = Tracker::new(10_000);
        for round in 0..50u64 {
            let crowd: Vec<Rect, 32> = (0..32).map(|i| at(i as f32 * 200.0 + round as f32 * 7_000.0, 60.0)).collect();
            assert_eq!(tracker.update(&crowd, round).len(), FACES_MAX);
        }
    }
}

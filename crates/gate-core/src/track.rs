//! Follows faces from frame to frame, so that evidence can belong to one of them.

use crate::geometry::Rect;
use heapless::Vec;

/// Most faces looked at in one frame.
pub const FACES_MAX: usize = 8;
/// Most tracks kept at once.
pub const TRACKS_MAX: usize = 16;

/// The number of a track, counted from 1 since the start; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u32);

/// A face may move by this part of its width between two frames and still be the same track.
const STEP_MAX: f32 = 0.9;
/// A face may grow or shrink by this factor between two frames and still be the same track.
const GROWTH_MAX: f32 = 1.5;

#[derive(Clone, Copy, Debug)]
struct Track {
    id: TrackId,
    rect: Rect,
    seen_ms: u64,
}

/// Gives each face of a frame the track it continues, or a new one.
///
/// The nearest pair (relative to the face's size) is joined first. A jump too far or a sudden change of size starts a
/// new track: evidence is lost then, never handed to another face.
#[derive(Clone, Debug)]
pub struct Tracker {
    tracks: Vec<Track, TRACKS_MAX>,
    next_id: u32,
    lost_ms: u64,
}

impl Tracker {
    /// A tracker that forgets a face not seen for `lost_ms` milliseconds.
    #[must_use]
    pub fn new(lost_ms: u32) -> Self {
        Self { tracks: Vec::new(), next_id: 1, lost_ms: u64::from(lost_ms) }
    }

    /// Forgets a face not seen for `lost_ms` milliseconds from now on.
    pub fn set_lost_ms(&mut self, lost_ms: u32) {
        self.lost_ms = u64::from(lost_ms);
    }

    /// The tracks of `faces` (at most [`FACES_MAX`] are looked at), in the same order, at `now_ms` (monotonic).
    pub fn update(&mut self, faces: &[Rect], now_ms: u64) -> Vec<TrackId, FACES_MAX> {
        let lost_ms = self.lost_ms;
        self.tracks.retain(|t| now_ms.saturating_sub(t.seen_ms) <= lost_ms);
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
        let _ = self.tracks.push(Track { id, rect, seen_ms: now_ms });
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

    #[test]
    fn a_crowd_stays_within_bounds() {
        let mut tracker = Tracker::new(10_000);
        for round in 0..50u64 {
            let crowd: Vec<Rect, 32> = (0..32).map(|i| at(i as f32 * 200.0 + round as f32 * 7_000.0, 60.0)).collect();
            assert_eq!(tracker.update(&crowd, round).len(), FACES_MAX);
        }
    }
}

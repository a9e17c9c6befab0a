//! What those rely on who render clips: the same seed gives the same clip, the face is where it was asked to be, and the
//! rest of the frame is left alone.
#![allow(clippy::unwrap_used)]

use gate_core::geometry::{Point, Rect};
use gate_stage::{Figure, Held, Species};
use image::{Rgb, RgbImage};

const WALL: Rgb<u8> = Rgb([150, 150, 150]);
const FACE: Rect = Rect { x: 90.0, y: 80.0, w: 70.0, h: 90.0 };

/// Plain grey with a red upright stripe at the face's left edge and a blue one at its right, both at the centre's height.
fn photograph() -> RgbImage {
    let (left, right, middle) = (FACE.x, FACE.x + FACE.w, FACE.centre().y);
    RgbImage::from_fn(250, 250, |x, y| {
        let near = |edge: f32| (x as f32 + 0.5 - edge).abs() < 6.0 && (y as f32 + 0.5 - middle).abs() < 14.0;
        match (near(left), near(right)) {
            (true, _) => Rgb([255, 0, 0]),
            (_, true) => Rgb([0, 0, 255]),
            _ => Rgb([120, 120, 120]),
        }
    })
}

fn wall() -> RgbImage {
    RgbImage::from_pixel(640, 480, WALL)
}

/// The middle of the pixels within 80 of `about` of which `much(pixel)` is true.
fn middle(frame: &RgbImage, about: Point, much: impl Fn([i32; 3]) -> bool) -> Point {
    let near = |x: u32, y: u32| (x as f32 - about.x).hypot(y as f32 - about.y) < 80.0;
    let pixels = frame.enumerate_pixels().filter(|(x, y, p)| near(*x, *y) && much(p.0.map(i32::from)));
    let found: Vec<(u32, u32)> = pixels.map(|(x, y, _)| (x, y)).collect();
    assert!(!found.is_empty(), "the photograph is not to be seen");
    let mean = |sum: u32| sum as f32 / found.len() as f32 + 0.5;
    Point { x: mean(found.iter().map(|p| p.0).sum()), y: mean(found.iter().map(|p| p.1).sum()) }
}

#[test]
fn the_shown_face_is_where_it_was_asked_to_be() {
    let (at, face_px) = (Point { x: 300.0, y: 190.0 }, 100.0);
    for species in Species::ALL {
        for seed in 0..2 {
            let held = Held::new(&photograph(), FACE, species, seed).unwrap();
            let (mut centre, mut width) = (Point::default(), 0.0);
            let times = [0.0, 0.9, 2.1, 3.7];
            for time_s in times {
                let mut frame = wall();
                held.paint(&mut frame, at, face_px, time_s);
                let left = middle(&frame, at, |[r, g, b]| r > g + 70 && r > b + 70);
                let right = middle(&frame, at, |[r, g, b]| b > r + 70 && b > g + 50);
                let now = Point { x: (left.x + right.x) / 2.0, y: (left.y + right.y) / 2.0 };
                let off = (now.x - at.x).hypot(now.y - at.y);
                assert!(off < 0.1 * face_px, "{species:?} {seed}: {off} px away at {time_s} s");
                width += (right.x - left.x).hypot(right.y - left.y) / times.len() as f32;
                centre = Point { x: centre.x + now.x / times.len() as f32, y: centre.y + now.y / times.len() as f32 };
            }
            assert!((width / face_px - 1.0).abs() < 0.05, "{species:?} {seed}: {width} px wide");
            assert!((centre.x - at.x).hypot(centre.y - at.y) < 0.06 * face_px, "{species:?} {seed}: {centre:?}");
        }
    }
}

#[test]
fn a_seed_is_a_clip_and_another_seed_another_one() {
    let at = Point { x: 320.0, y: 200.0 };
    for species in Species::ALL {
        let paint = |seed, time_s| {
            let mut frame = wall();
            Held::new(&photograph(), FACE, species, seed).unwrap().paint(&mut frame, at, 90.0, time_s);
            frame
        };
        assert_eq!(paint(5, 0.4), paint(5, 0.4));
        assert_ne!(paint(5, 0.4), paint(6, 0.4));
        assert_ne!(paint(5, 0.4), paint(5, 0.6), "a hand does not keep still");
    }
}

#[test]
fn the_rest_of_the_frame_is_left_alone() {
    // Small and on the right: nothing of it, of its hands or of its shadow comes to the left third or to the top.
    let at = Point { x: 470.0, y: 230.0 };
    for species in Species::ALL {
        for seed in 0..2 {
            let mut frame = wall();
            Held::new(&photograph(), FACE, species, seed).unwrap().paint(&mut frame, at, 60.0, 0.3);
            let touched = |x: u32, y: u32| *frame.get_pixel(x, y) != WALL;
            assert!(touched(470, 230), "{species:?}: nothing was painted");
            let stray = frame.enumerate_pixels().find(|(x, y, _)| (*x < 240 || *y < 60) && touched(*x, *y));
            assert!(stray.is_none(), "{species:?} {seed}: {stray:?}");
        }
    }
}

#[test]
fn what_is_partly_or_wholly_outside_is_left_out() {
    let figure = Figure::cut(&photograph(), FACE).unwrap();
    for species in Species::ALL {
        let held = Held::new(&photograph(), FACE, species, 1).unwrap();
        for (x, y) in [(-30.0, 200.0), (650.0, 470.0), (320.0, -80.0), (320.0, 5_000.0), (-9_000.0, 0.0)] {
            for face_px in [0.0, 3.0, 160.0] {
                held.paint(&mut wall(), Point { x, y }, face_px, 1.0);
                figure.place(&mut wall(), Point { x, y }, face_px);
            }
        }
        held.paint(&mut wall(), Point { x: f32::NAN, y: 0.0 }, 100.0, 1.0);
        held.paint(&mut RgbImage::new(1, 1), Point { x: 0.5, y: 0.5 }, 100.0, 1.0);
    }
}

#[test]
fn a_face_that_is_not_on_the_photograph_is_refused() {
    let beside = Rect { x: 400.0, ..FACE };
    let empty = Rect { w: 0.0, ..FACE };
    for face in [beside, empty] {
        assert!(Figure::cut(&photograph(), face).is_none());
        assert!(Species::ALL.iter().all(|species| Held::new(&photograph(), face, *species, 1).is_none()));
    }
    // A face at the very edge shows what there is.
    let edge = Rect { x: -30.0, y: -40.0, ..FACE };
    assert!(Held::new(&photograph(), edge, Species::Phone, 1).is_some());
}

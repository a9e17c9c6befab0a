//! Scenes in front of a camera of 640x480 pixels: people cut out of sample photographs, who stand in for live ones, and
//! photographs of them held up.

use crate::programs::sample;
use crate::site::FPS;
use gate_core::geometry::{Point, Rect};
use gate_stage::{Figure, Held, Species};
use image::imageops::blur;
use image::{Rgb, RgbImage};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// The camera's frame, pixels.
const WIDTH_PX: u32 = 640;
const HEIGHT_PX: u32 = 480;
/// The middle of the frame.
pub const MIDDLE: (f32, f32) = (320.0, 220.0);

/// A photograph of one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portrait {
    /// Barack Obama, the official portrait: the enrolment picture.
    Obama,
    /// The same man on another day.
    Obama2,
    /// And on a third.
    Obama3,
    /// Joe Biden.
    Biden,
    /// Eileen Collins.
    Collins,
}

impl Portrait {
    /// File, and the face's box in it as the detector has it: left, top, width, height.
    fn source(self) -> (&'static str, [f32; 4]) {
        match self {
            Portrait::Obama => ("obama.jpg", [371.0, 90.0, 240.0, 329.0]),
            Portrait::Obama2 => ("obama2.jpg", [202.0, 230.0, 275.0, 404.0]),
            Portrait::Obama3 => ("obama3.jpg", [643.0, 272.0, 266.0, 345.0]),
            Portrait::Biden => ("biden.jpg", [427.0, 177.0, 286.0, 397.0]),
            Portrait::Collins => ("astronaut.png", [178.0, 63.0, 90.0, 113.0]),
        }
    }

    /// The photograph, and the face's box in it. Read once.
    fn photograph(self) -> &'static (RgbImage, Rect) {
        static PHOTOGRAPHS: [OnceLock<(RgbImage, Rect)>; 5] = [const { OnceLock::new() }; 5];
        PHOTOGRAPHS[self as usize].get_or_init(|| {
            let (file, [x, y, w, h]) = self.source();
            (image::open(sample(file)).unwrap().into_rgb8(), Rect { x, y, w, h })
        })
    }

    /// The person cut out of it.
    fn figure(self) -> &'static Figure {
        static FIGURES: [OnceLock<Figure>; 5] = [const { OnceLock::new() }; 5];
        FIGURES[self as usize].get_or_init(|| {
            let (photograph, face) = self.photograph();
            Figure::cut(photograph, *face).unwrap()
        })
    }

    /// The photograph on paper or on a screen. Made once.
    fn held(self, species: Species) -> &'static Held {
        static HELD: [[OnceLock<Held>; 3]; 5] = [const { [const { OnceLock::new() }; 3] }; 5];
        HELD[self as usize][species as usize].get_or_init(|| {
            let (photograph, face) = self.photograph();
            Held::new(photograph, *face, species, 1).unwrap()
        })
    }
}

/// A person in one frame.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    portrait: Portrait,
    face_px: f32,
    at: (f32, f32),
    blur_px: f32,
    light: f32,
    held: Option<Species>,
    /// Whose eyes look through a hole in the photograph.
    behind: Option<Portrait>,
}

impl Look {
    /// A person in the middle, whose face is so many pixels wide.
    #[must_use]
    pub fn new(portrait: Portrait, face_px: f32) -> Self {
        Self { portrait, face_px, at: MIDDLE, blur_px: 0.0, light: 1.0, held: None, behind: None }
    }

    /// Puts the face's centre elsewhere.
    #[must_use]
    pub fn at(self, x: f32, y: f32) -> Self {
        Self { at: (x, y), ..self }
    }

    /// Out of focus: the standard deviation of the blur, in pixels of the frame.
    #[must_use]
    pub fn blurred(self, blur_px: f32) -> Self {
        Self { blur_px, ..self }
    }

    /// In so much of the photograph's own light.
    #[must_use]
    pub fn lit(self, light: f32) -> Self {
        Self { light, ..self }
    }

    /// Not the person but the photograph, held up on this.
    #[must_use]
    pub fn on(self, species: Species) -> Self {
        Self { held: Some(species), ..self }
    }

    /// The photograph has a hole for the eyes, and this person stands behind it, live.
    #[must_use]
    pub fn worn_by(self, behind: Portrait) -> Self {
        Self { behind: Some(behind), ..self }
    }

    fn paint(&self, frame: &mut RgbImage, time_s: f32) {
        let at = Point { x: self.at.0, y: self.at.1 };
        match self.held {
            None => self.portrait.figure().place(frame, at, self.face_px),
            Some(species) => self.portrait.held(species).paint(frame, at, self.face_px, time_s),
        }
        if let Some(behind) = self.behind {
            self.open_hole(frame, behind, at);
        }
        if self.blur_px > 0.0 {
            *frame = blur(frame, self.blur_px);
        }
        if self.light < 1.0 {
            frame.pixels_mut().flat_map(|pixel| &mut pixel.0).for_each(|v| *v = (f32::from(*v) * self.light) as u8);
        }
    }
}

impl Look {
    /// Shows what is behind the photograph in a slit across the eyes.
    fn open_hole(&self, frame: &mut RgbImage, behind: Portrait, at: Point) {
        let mut live = frame.clone();
        behind.figure().place(&mut live, at, self.face_px);
        let (wide, high) = (0.42 * self.face_px, 0.14 * self.face_px);
        let middle = at.y - 0.18 * self.face_px;
        for (x, y, pixel) in frame.enumerate_pixels_mut() {
            let (dx, dy) = ((x as f32 - at.x) / wide, (y as f32 - middle) / high);
            if dx * dx + dy * dy <= 1.0 {
                *pixel = *live.get_pixel(x, y);
            }
        }
    }
}

/// What happens in front of the camera, frame by frame.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    frames: Vec<Vec<Look>>,
}

impl Scene {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nobody is there for so long.
    #[must_use]
    pub fn nobody(self, ms: u64) -> Self {
        self.stay(ms, &[])
    }

    /// These people stand there for so long, swaying a little as people do.
    #[must_use]
    pub fn stay(mut self, ms: u64, people: &[Look]) -> Self {
        for number in 0..frames_in(ms) {
            let sway = (number as f32 * 0.5).sin() * 0.02;
            let swayed = people.iter().map(|look| look.at(look.at.0 + sway * look.face_px, look.at.1));
            self.frames.push(swayed.collect());
        }
        self
    }

    /// These people are there for so many frames, without a sway.
    #[must_use]
    pub fn frames(mut self, count: u64, people: &[Look]) -> Self {
        self.frames.extend((0..count).map(|_| people.to_vec()));
        self
    }

    /// The first of these slides in from the right until it covers the other.
    #[must_use]
    pub fn slide_over(mut self, ms: u64, over: Look, under: Look) -> Self {
        let count = frames_in(ms);
        for number in 0..count {
            let left = WIDTH_PX as f32 * (1.0 - number as f32 / count as f32);
            self.frames.push(vec![under, over.at(over.at.0 + left, over.at.1)]);
        }
        self
    }

    /// This person comes nearer: the face grows from `from_px` to its width.
    #[must_use]
    pub fn walk_up(mut self, ms: u64, from_px: f32, look: Look) -> Self {
        let count = frames_in(ms);
        for number in 0..count {
            let done = number as f32 / count as f32;
            self.frames.push(vec![Look { face_px: from_px * (look.face_px / from_px).powf(done), ..look }]);
        }
        self
    }

    /// This person goes out of the picture to the right.
    #[must_use]
    pub fn leave(mut self, ms: u64, look: Look) -> Self {
        let count = frames_in(ms);
        for number in 0..count {
            let done = number as f32 / count as f32;
            let x = look.at.0 + done * (WIDTH_PX as f32 + look.face_px - look.at.0);
            self.frames.push(vec![look.at(x, look.at.1)]);
        }
        self
    }

    /// What happens next.
    #[must_use]
    pub fn then(mut self, next: Scene) -> Self {
        self.frames.extend(next.frames);
        self
    }

    /// How long it takes.
    #[must_use]
    pub fn ms(&self) -> u64 {
        self.frames.len() as u64 * 1000 / FPS
    }

    /// The frames, in order.
    pub fn pictures(&self) -> impl Iterator<Item = RgbImage> + '_ {
        self.frames.iter().enumerate().map(|(number, people)| {
            let mut frame = RgbImage::from_fn(WIDTH_PX, HEIGHT_PX, |_, y| Rgb([150 - (y / 12) as u8; 3]));
            people.iter().for_each(|look| look.paint(&mut frame, number as f32 / FPS as f32));
            frame
        })
    }

    /// Writes the frames into a folder, in order.
    pub fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        for (number, frame) in self.pictures().enumerate() {
            frame.save(folder.join(format!("{number:04}.jpg"))).unwrap();
        }
    }
}

fn frames_in(ms: u64) -> u64 {
    (ms * FPS).div_ceil(1000)
}

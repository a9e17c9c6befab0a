//! One trial: somebody or something stands before the gate, the lamp plays, the camera looks.

use crate::camera::{Camera, Running};
use crate::chance::Chance;
use crate::head::Person;
use crate::scene::{FRAME_HEIGHT_PX, FRAME_WIDTH_PX, Scene, Setting, Species};
use gate_core::geometry::{Face, Point, Rect};
use gate_core::light::{Answer, Challenge, Code, LightPolicy, LightSample, Sampler};
use gate_core::picture::Rgb;

/// The first frames, from so long before the code begins, ms.
const BEFORE_MS: f32 = 140.0;
/// The challenge is over so long after the code began, ms.
const OVER_MS: f32 = 699.0;

/// What is held fixed; everything else is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// The lamp's light on the face as a part of the ambient light.
    pub lamp_ratio: f32,
    /// Frames a second.
    pub fps: f32,
}

/// One frame as the gate would have it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// RGB, `FRAME_WIDTH_PX` x `FRAME_HEIGHT_PX`.
    pub pixels: Vec<u8>,
    /// Where the detector finds the face, its own noise included.
    pub face: Face,
    /// The time that it carries, ms after the code began.
    pub at_ms: i32,
}

/// One trial with everything that was drawn for it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What was presented.
    pub species: Species,
    /// The code that the lamp played.
    pub code: Code,
    /// The code of a recording, and how late it is, ms.
    pub recorded: (Code, f32),
    /// Who.
    pub person: Person,
    /// Light and place.
    pub setting: Setting,
    /// The camera.
    pub camera: Camera,
    /// Sway: largest way in x and y, pixels; its period, ms; its phase.
    sway: [f32; 4],
    chance: Chance,
}

impl Trial {
    /// Draws a trial.
    #[must_use]
    pub fn draw(species: Species, conditions: Conditions, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let code = Code::draw(chance.bytes());
        let other = Code::draw(chance.bytes());
        let recorded = match species {
            Species::ScreenRelay => (code, chance.between(150.0, 300.0)),
            _ => (other, chance.between(0.0, 300.0)),
        };
        let person = Person::draw(&mut chance);
        let setting = Setting::draw(&mut chance, conditions.lamp_ratio);
        let camera = Camera::draw(&mut chance, conditions.fps);
        let sway = [
            chance.between(-4.0, 4.0),
            chance.between(-2.5, 2.5),
            chance.between(500.0, 3000.0),
            chance.between(0.0, 6.3),
        ];
        Self { species, code, recorded, person, setting, camera, sway, chance }
    }

    /// Every frame of the challenge.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        let mut chance = self.chance.clone();
        let scene = Scene::paint(self.species, &self.setting, &self.person, &mut chance);
        let mut running = Running::start(&self.camera, &scene, &mut chance);
        let period = 1000.0 / self.camera.fps;
        let mut due = -BEFORE_MS - self.camera.latency_ms - chance.between(0.0, period);
        let (recorded, late) = self.recorded;
        let mut frames = Vec::new();
        loop {
            let at = due + self.camera.jitter * period * chance.normal();
            let stamp = at + self.camera.latency_ms + 2.0 * chance.normal();
            if stamp >= OVER_MS {
                return frames;
            }
            let way = self.way(at);
            // A video shows 30 pictures a second, each for its whole time.
            let shown = |from: f32, to: f32| {
                let moment = ((0.5 * (from + to) - late) / 33.3).floor() * 33.3;
                recorded.lit_part(moment - 10.0, moment + 10.0)
            };
            let pixels = running.shoot(at, way, |from, to| self.code.lit_part(from, to), shown, &mut chance);
            if stamp > -BEFORE_MS {
                frames.push(Frame { pixels, face: found(&scene.face, way, &mut chance), at_ms: stamp.round() as i32 });
            }
            due += period;
        }
    }

    /// What the gate's sampler reads from the frames.
    #[must_use]
    pub fn samples(&self) -> Vec<LightSample> {
        let frames = self.frames();
        let Some(first) = frames.first() else { return Vec::new() };
        let mut sampler = Sampler::around(&first.face);
        let mut read = |frame: &Frame| {
            let picture = Rgb::new(&frame.pixels, FRAME_WIDTH_PX as u32, FRAME_HEIGHT_PX as u32)?;
            sampler.sample(&picture, &frame.face, frame.at_ms)
        };
        frames.iter().filter_map(&mut read).collect()
    }

    /// What the gate says to it.
    #[must_use]
    pub fn answer(&self, policy: &LightPolicy) -> Answer {
        let mut challenge = Challenge::begin(self.code);
        for sample in self.samples() {
            challenge.take(&sample);
        }
        challenge.finish(policy)
    }

    fn way(&self, at_ms: f32) -> [f32; 2] {
        let [x, y, period, phase] = self.sway;
        let swing = (std::f32::consts::TAU * at_ms / period + phase).sin();
        [x * swing, y * swing]
    }
}

/// A face where it is now, as a detector finds it: each landmark off by about half a percent of the face's width.
fn found(face: &Face, way: [f32; 2], chance: &mut Chance) -> Face {
    let off = 0.006 * face.rect.w;
    let landmarks = face
        .landmarks
        .map(|p| Point { x: p.x + way[0] + off * chance.normal(), y: p.y + way[1] + off * chance.normal() });
    let rect = Rect { x: face.rect.x + way[0], y: face.rect.y + way[1], ..face.rect };
    Face { rect, landmarks, score: face.score }
}

//! What stands before the camera, pixel by pixel: its light at rest, the lamp's, and a recording's.

use crate::chance::Chance;
use crate::head::{Person, dot, unit};
use gate_core::geometry::{Face, Point, Rect};

/// Width of a drawn frame, pixels. Small, to be quick: a face is 55 to 90 wide in it.
pub const FRAME_WIDTH_PX: usize = 192;
/// Height of a drawn frame, pixels.
pub const FRAME_HEIGHT_PX: usize = 144;

/// The nose tip's height over the plane of the ears, mm; distances count from here.
const TIP_MM: f32 = 110.0;
/// About which depth a head turns, mm over the plane of the ears.
const PIVOT_MM: f32 = 50.0;

/// What is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Species {
    /// A head.
    BonaFide,
    /// Matt paper, flat or nearly so.
    PrintFlat,
    /// Glossy paper, flat or nearly so: the lamp is mirrored in it, more or less sharply.
    PrintGlossy,
    /// Matt paper bent round an axis, radius 80 to 300 mm.
    PrintBent,
    /// A photograph on a phone or a tablet.
    ScreenPhoto,
    /// A video of the person, lit by a lamp of the same kind but another code.
    ScreenVideo,
    /// The person is lit by the true code somewhere else, and shown 150 to 300 ms later.
    ScreenRelay,
}

impl Species {
    /// All, bona fide first.
    pub const ALL: [Self; 7] = [
        Self::BonaFide,
        Self::PrintFlat,
        Self::PrintGlossy,
        Self::PrintBent,
        Self::ScreenPhoto,
        Self::ScreenVideo,
        Self::ScreenRelay,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BonaFide => "bona fide",
            Self::PrintFlat => "print, flat",
            Self::PrintGlossy => "print, glossy",
            Self::PrintBent => "print, bent",
            Self::ScreenPhoto => "screen, photo",
            Self::ScreenVideo => "screen, video",
            Self::ScreenRelay => "screen, relay",
        }
    }

    /// Whether it shines by itself.
    #[must_use]
    pub fn shines(self) -> bool {
        matches!(self, Self::ScreenPhoto | Self::ScreenVideo | Self::ScreenRelay)
    }
}

/// Where the light comes from and where everything stands.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The lamp's light on a surface that faces it at the face's distance, as a part of the ambient light there.
    pub lamp_ratio: f32,
    /// From lamp and camera to the nose tip, mm.
    pub distance_mm: f32,
    /// The lamp's place beside the camera, mm: to the right, down.
    pub lamp_mm: [f32; 2],
    /// Part of the lamp's light that comes back from walls, evenly.
    pub fill: f32,
    /// Part of the ambient light that comes from all around; the rest comes from `sun`.
    pub dome: f32,
    /// Where the dome is brightest.
    pub dome_towards: [f32; 3],
    /// Where the rest comes from.
    pub sun: [f32; 3],
    /// How far behind the face the background stands, mm.
    pub behind_mm: f32,
    /// Ambient light there, as a part of that at the face.
    pub behind_light: f32,
    /// Pixels for each mm.
    pub scale: f32,
    /// The head's or the sheet's turn: to the right, down, radians.
    pub turn: [f32; 2],
}

impl Setting {
    /// Draws a setting with this lamp.
    #[must_use]
    pub fn draw(chance: &mut Chance, lamp_ratio: f32) -> Self {
        let towards = |chance: &mut Chance, side: f32, low: f32, high: f32| {
            let (azimuth, height) = (chance.between(-side, side), chance.between(low, high));
            [azimuth.sin() * height.cos(), -height.sin(), azimuth.cos() * height.cos()]
        };
        Self {
            lamp_ratio,
            distance_mm: chance.between(450.0, 900.0),
            lamp_mm: [
                chance.between(30.0, 150.0) * if chance.happens(0.5) { 1.0 } else { -1.0 },
                chance.between(-120.0, 80.0),
            ],
            fill: chance.between(0.0, 0.15),
            dome: chance.between(0.3, 1.0),
            dome_towards: towards(chance, 1.5, 0.3, 1.5),
            sun: towards(chance, 1.4, -0.1, 1.1),
            behind_mm: chance.between_log(300.0, 4000.0),
            behind_light: chance.between_log(0.3, 3.0),
            scale: chance.between(0.4, 0.62),
            turn: [0.12 * chance.normal(), 0.1 * chance.normal()],
        }
    }

    /// Ambient light on a surface with this normal; about 1 on one that faces the camera.
    fn ambient(&self, normal: [f32; 3], openness: f32) -> f32 {
        let at = |n: [f32; 3], open: f32| {
            let dome = (0.6 + 0.4 * dot(n, self.dome_towards)) * open;
            let sun = ((dot(n, self.sun) + 0.1) / 1.1).max(0.0);
            self.dome * dome + (1.0 - self.dome) * sun
        };
        const FRONT: [[f32; 3]; 5] =
            [[0.0, 0.0, 1.0], [0.5, 0.0, 0.866], [-0.5, 0.0, 0.866], [0.0, 0.5, 0.866], [0.0, -0.5, 0.866]];
        let level = FRONT.iter().map(|n| at(*n, 1.0)).sum::<f32>() / FRONT.len() as f32;
        at(normal, openness) / level
    }

    /// Direction to the lamp, and its light there for a surface that faces it. `place` counts from the nose tip, mm.
    fn lamp(&self, place: [f32; 3]) -> ([f32; 3], f32) {
        let way = [self.lamp_mm[0] - place[0], self.lamp_mm[1] - place[1], self.distance_mm - place[2]];
        let level = self.lamp_ratio * self.distance_mm * self.distance_mm / dot(way, way);
        (unit(way), level)
    }

    /// The lamp's light on a surface; skin lets light through a little beyond its edge (`wrap`).
    fn lamp_on(&self, place: [f32; 3], normal: [f32; 3], wrap: f32) -> f32 {
        let (way, level) = self.lamp(place);
        let direct = ((dot(normal, way) + wrap) / (1.0 + wrap)).max(0.0);
        level * (1.0 - self.fill) * direct + self.lamp_ratio * self.fill
    }
}

/// Light that reaches the camera from one place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Light {
    /// While the lamp is off.
    pub rest: [f32; 3],
    /// What the lamp adds.
    pub lamp: [f32; 3],
    /// What a recording's lamp adds.
    pub video: [f32; 3],
    /// 1 where the foreground hides the background.
    pub cover: f32,
}

/// Everything, ready to be looked at.
pub(crate) struct Scene {
    /// What sways.
    pub front: Vec<Light>,
    /// What stays.
    pub back: Vec<Light>,
    /// The face while nothing sways.
    pub face: Face,
}

impl Scene {
    pub fn paint(species: Species, setting: &Setting, person: &Person, chance: &mut Chance) -> Self {
        let cloth = chance.between_log(0.05, 0.6);
        let portrait = Portrait { person, setting, cloth };
        let front: Vec<Light> = match species {
            Species::BonaFide => places(setting).map(|[x, y]| portrait.light(x, y).unwrap_or_default()).collect(),
            _ => {
                let sheet = Sheet::draw(species, person, setting, chance);
                places(setting).map(|[x, y]| sheet.light(x, y)).collect()
            }
        };
        let back = background(setting, chance);
        let turn = if species == Species::BonaFide { setting.turn } else { [0.0; 2] };
        Self { front, back, face: face(person, setting, turn) }
    }
}

/// The middle of each pixel in mm from the nose tip.
fn places(setting: &Setting) -> impl Iterator<Item = [f32; 2]> + use<> {
    let scale = setting.scale;
    (0..FRAME_WIDTH_PX * FRAME_HEIGHT_PX).map(move |i| {
        let (x, y) = ((i % FRAME_WIDTH_PX) as f32 + 0.5, (i / FRAME_WIDTH_PX) as f32 + 0.5);
        [(x - FRAME_WIDTH_PX as f32 * 0.5) / scale, (y - FRAME_HEIGHT_PX as f32 * 0.56) / scale]
    })
}

/// Where a detector would find the face.
fn face(person: &Person, setting: &Setting, turn: [f32; 2]) -> Face {
    let pixel = |x: f32, y: f32| Point {
        x: x * setting.scale + FRAME_WIDTH_PX as f32 * 0.5,
        y: y * setting.scale + FRAME_HEIGHT_PX as f32 * 0.56,
    };
    let landmarks = [[-31.5, -34.0], [31.5, -34.0], [0.0, 0.0], [-27.0, 30.0], [27.0, 30.0]].map(|[x, y]| {
        let away = person.height(x, y) - PIVOT_MM;
        pixel(x * turn[0].cos() + away * turn[0].sin(), y * turn[1].cos() + away * turn[1].sin())
    });
    let corner = pixel(-70.0, -85.0);
    Face {
        rect: Rect { x: corner.x, y: corner.y, w: 140.0 * setting.scale, h: 165.0 * setting.scale },
        landmarks,
        score: 0.9,
    }
}

/// A person in a setting, seen from the camera.
struct Portrait<'a> {
    person: &'a Person,
    setting: &'a Setting,
    cloth: f32,
}

impl Portrait<'_> {
    /// Light from head, neck or shoulders; `None` beside them.
    fn light(&self, x: f32, y: f32) -> Option<Light> {
        let ([yaw, pitch], mut on) = (self.setting.turn, [x, y]);
        if self.person.outline(x, y) > 1.6 {
            return self.beside(x, y);
        }
        // Where on the head this line of sight ends: turning moves high places most, so look again a few times.
        for _ in 0..3 {
            let away = self.person.height(on[0], on[1]) - PIVOT_MM;
            on = [(x - away * yaw.sin()) / yaw.cos(), (y - away * pitch.sin()) / pitch.cos()];
        }
        let [u, v] = on;
        if self.person.outline(u, v) < 0.985 {
            let n = turned(self.person.normal(u, v), self.setting.turn);
            let place = [x, y, self.person.height(u, v) - TIP_MM];
            return Some(self.lit(self.person.albedo(u, v), n, place, self.person.openness(u, v), 0.15));
        }
        self.beside(x, y)
    }

    /// Neck and shoulders.
    fn beside(&self, x: f32, y: f32) -> Option<Light> {
        let neck = x.abs() < 48.0 && y > 40.0;
        let shoulders = y > 95.0 + 0.25 * x.abs();
        if !(neck || shoulders) {
            return None;
        }
        let n = unit([x / if shoulders { 300.0 } else { 60.0 }, -0.2, 1.0]);
        let albedo = if shoulders { [self.cloth; 3] } else { self.person.albedo(0.0, -20.0) };
        Some(self.lit(albedo, n, [x, y, -140.0], 0.8, 0.0))
    }

    fn lit(&self, albedo: [f32; 3], normal: [f32; 3], place: [f32; 3], openness: f32, wrap: f32) -> Light {
        let (ambient, lamp) = (self.setting.ambient(normal, openness), self.setting.lamp_on(place, normal, wrap));
        Light { rest: albedo.map(|a| a * ambient), lamp: albedo.map(|a| a * lamp), video: [0.0; 3], cover: 1.0 }
    }
}

fn turned(n: [f32; 3], turn: [f32; 2]) -> [f32; 3] {
    let ([sy, cy], [sp, cp]) = ([turn[0].sin(), turn[0].cos()], [turn[1].sin(), turn[1].cos()]);
    let (x, z) = (n[0] * cy + n[2] * sy, n[2] * cy - n[0] * sy);
    [x, n[1] * cp + z * sp, z * cp - n[1] * sp]
}

/// A sheet with a portrait on it, held before the face's place: paper or glass.
struct Sheet<'a> {
    species: Species,
    setting: &'a Setting,
    person: &'a Person,
    /// How the person was lit when the picture was taken.
    taken: Setting,
    /// What stood behind them then.
    wall: f32,
    /// White's light in that picture.
    white: f32,
    half_mm: [f32; 2],
    slope: [f32; 2],
    /// Which way it is bent, and how: 1 / radius, mm.
    bend: ([f32; 2], f32),
    /// A mirror-like part: strength, sharpness.
    gloss: [f32; 2],
    /// Of paper: how contrast was printed. Of a screen: light of its white as a part of the ambient light.
    tone: f32,
    /// What glass scatters.
    scatter: f32,
    holder: Option<f32>,
}

impl<'a> Sheet<'a> {
    fn draw(species: Species, person: &'a Person, setting: &'a Setting, chance: &mut Chance) -> Self {
        let ratio = if species == Species::ScreenPhoto { 0.0 } else { chance.between_log(0.2, 1.5) };
        let mut taken = Setting::draw(chance, ratio);
        // The picture shows the face straight: a better attack, and its landmarks are where ours are.
        taken.turn = [0.0; 2];
        let radius = match species {
            Species::PrintBent => chance.between_log(80.0, 300.0) * if chance.happens(0.85) { 1.0 } else { -1.0 },
            _ => chance.between_log(1000.0, 10_000.0),
        };
        let along = chance.between(-0.3, 0.3) + if chance.happens(0.8) { 0.0 } else { 1.57 };
        let gloss = match species {
            Species::PrintGlossy => [0.04, chance.between_log(15.0, 1500.0)],
            Species::PrintFlat | Species::PrintBent => [chance.between(0.0, 0.015), chance.between_log(3.0, 15.0)],
            _ => [chance.between(0.01, 0.045), chance.between_log(200.0, 3000.0)],
        };
        let tone = if species.shines() { chance.between_log(0.4, 6.0) } else { chance.between(0.8, 1.4) };
        Self {
            species,
            setting,
            person,
            taken,
            wall: chance.between(0.05, 0.8),
            white: person.albedo(0.0, -60.0)[0].max(0.1) * chance.between(1.2, 2.2),
            half_mm: [chance.between(85.0, 170.0), chance.between(115.0, 190.0)],
            slope: [chance.between(-0.25, 0.25), chance.between(-0.25, 0.25)],
            bend: ([along.cos(), along.sin()], 1.0 / radius),
            gloss,
            tone,
            scatter: chance.between(0.003, 0.02),
            holder: chance.happens(0.7).then(|| chance.between_log(0.05, 0.6)),
        }
    }

    fn light(&self, x: f32, y: f32) -> Light {
        if x.abs() > self.half_mm[0] || y < -self.half_mm[1] || y > self.half_mm[1] - 20.0 {
            return self.behind(x, y);
        }
        let (axis, bend) = self.bend;
        let across = x * axis[0] + y * axis[1];
        let slope = [self.slope[0] - bend * across * axis[0], self.slope[1] - bend * across * axis[1]];
        let z = self.slope[0] * x + self.slope[1] * y - 0.5 * bend * across * across;
        let normal = unit([-slope[0], -slope[1], 1.0]);
        let place = [x, y, z];
        let (ambient, lamp) = (self.setting.ambient(normal, 1.0), self.setting.lamp_on(place, normal, 0.0));
        let mirrored = self.mirrored(place, normal);
        let [strength, _] = self.gloss;
        let portrait = Portrait { person: self.person, setting: &self.taken, cloth: 0.2 };
        let shown = portrait.light(x, y).unwrap_or(Light { rest: [self.wall; 3], ..Light::default() });
        let mut light = Light { cover: 1.0, ..Light::default() };
        for c in 0..3 {
            let (rest, video) = (shown.rest[c] / self.white, shown.lamp[c] / self.white);
            if self.species.shines() {
                light.rest[c] = self.tone * rest.min(1.0) + (self.scatter + strength) * ambient;
                light.video[c] = self.tone * ((rest + video).min(1.0) - rest.min(1.0));
                light.lamp[c] = self.scatter * lamp + mirrored;
            } else {
                let albedo = 0.03 + 0.75 * rest.min(1.0).powf(self.tone);
                light.rest[c] = (albedo + strength) * ambient;
                light.lamp[c] = albedo * lamp + mirrored;
            }
        }
        light
    }

    /// The lamp mirrored in the sheet (Blinn 1977, normalised).
    fn mirrored(&self, place: [f32; 3], normal: [f32; 3]) -> f32 {
        let [strength, sharpness] = self.gloss;
        let (way, level) = self.setting.lamp(place);
        let eye = unit([-place[0], -place[1], self.setting.distance_mm - place[2]]);
        let half = unit([way[0] + eye[0], way[1] + eye[1], way[2] + eye[2]]);
        strength * (sharpness + 8.0) / 8.0 * dot(normal, half).max(0.0).powf(sharpness) * level
    }

    /// Whoever holds it.
    fn behind(&self, x: f32, y: f32) -> Light {
        let Some(albedo) = self.holder.filter(|_| x.abs() < 210.0 - 0.3 * y && y > -90.0) else {
            return Light::default();
        };
        let normal = unit([x / 300.0, -0.1, 1.0]);
        let (ambient, lamp) = (self.setting.ambient(normal, 0.8), self.setting.lamp_on([x, y, -200.0], normal, 0.0));
        Light { rest: [albedo * ambient; 3], lamp: [albedo * lamp; 3], video: [0.0; 3], cover: 1.0 }
    }
}

/// The scene behind: blotches of light and dark, one distance.
fn background(setting: &Setting, chance: &mut Chance) -> Vec<Light> {
    let waves: [[f32; 4]; 5] = core::array::from_fn(|_| {
        [chance.between(-0.06, 0.06), chance.between(-0.06, 0.06), chance.between(0.0, 6.3), chance.between(0.0, 0.35)]
    });
    let base = chance.between_log(0.1, 0.6);
    let tint: [f32; 3] = core::array::from_fn(|_| chance.between(0.8, 1.2));
    let away = setting.distance_mm / (setting.distance_mm + setting.behind_mm);
    let lamp = setting.lamp_ratio * (away * away * 0.9 + setting.fill * 0.5);
    places(setting)
        .map(|[x, y]| {
            let wave: f32 = waves.iter().map(|[u, v, phase, part]| part * (u * x + v * y + phase).sin()).sum();
            let albedo = (base * (1.0 + wave)).max(0.02);
            Light {
                rest: tint.map(|t| t * albedo * setting.behind_light),
                lamp: tint.map(|t| t * albedo * lamp),
                video: [0.0; 3],
                cover: 0.0,
            }
        })
        .collect()
}

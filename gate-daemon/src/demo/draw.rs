//! Draws what the gate saw onto its frames, and frames onto a contact sheet.

use crate::trace::{FaceTrace, FrameTrace};
use embedded_graphics::mono_font::ascii::{FONT_9X15, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{Circle, PrimitiveStyle, PrimitiveStyleBuilder, Rectangle, StrokeAlignment};
use embedded_graphics::text::{Baseline, Text};
use image::{Rgb, RgbImage};
use std::convert::Infallible;

/// Green of an open gate.
pub const GREEN: Rgb888 = Rgb888::new(0x1e, 0xa4, 0x5c);
/// Red of a refusal.
pub const RED: Rgb888 = Rgb888::new(0xd6, 0x3a, 0x32);
/// Amber of "not yet".
pub const AMBER: Rgb888 = Rgb888::new(0xe0, 0x96, 0x1a);
const WHITE: Rgb888 = Rgb888::new(0xff, 0xff, 0xff);
const INK: Rgb888 = Rgb888::new(0x1b, 0x22, 0x2c);

/// A picture that can be drawn on.
pub struct Canvas(pub RgbImage);

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(Point { x, y }, colour) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
                && x < self.0.width()
                && y < self.0.height()
            {
                self.0.put_pixel(x, y, Rgb([colour.r(), colour.g(), colour.b()]));
            }
        }
        Ok(())
    }
}

impl Canvas {
    fn fill(&mut self, x: i32, y: i32, w: u32, h: u32, colour: Rgb888) {
        let Ok(()) =
            Rectangle::new(Point::new(x, y), Size::new(w, h)).into_styled(PrimitiveStyle::with_fill(colour)).draw(self);
    }

    fn text(&mut self, words: &str, x: i32, y: i32, font: &MonoFont<'_>, colour: Rgb888) {
        let style = MonoTextStyle::new(font, colour);
        let Ok(_) = Text::with_baseline(words, Point::new(x, y), style, Baseline::Top).draw(self);
    }

    /// Words on a coloured bar.
    fn label(&mut self, words: &str, x: i32, y: i32, colour: Rgb888) {
        let w = words.chars().count() as u32 * FONT_9X15.character_size.width + 8;
        let x = x.clamp(0, (self.0.width() as i32 - w as i32).max(0));
        let y = y.clamp(0, (self.0.height() as i32 - 18).max(0));
        self.fill(x, y, w, 18, colour);
        self.text(words, x + 4, y + 2, &FONT_9X15, WHITE);
    }
}

/// What the gate made of a face, in a few words and a colour.
pub fn verdict(face: &FaceTrace, frame: &FrameTrace) -> (String, Rgb888) {
    if let Some(poor) = &face.poor {
        return (poor.clone(), AMBER);
    }
    if frame.faces.len() > 1 {
        return ("SeveralFaces".into(), RED);
    }
    if face.attack {
        return ("PresentationAttack".into(), RED);
    }
    match (&face.nearest, face.d2) {
        (Some(id), Some(d2)) if d2 <= frame.tau => (format!("{id}  d2 {d2:.2} <= {:.2}", frame.tau), GREEN),
        (Some(_), Some(d2)) => (format!("nobody  d2 {d2:.2} > {:.2}", frame.tau), RED),
        _ => ("not encoded".into(), AMBER),
    }
}

/// The frame with boxes, landmarks, verdicts and the gate's state.
pub fn annotated(picture: RgbImage, frame: &FrameTrace) -> RgbImage {
    let mut canvas = Canvas(picture);
    for face in &frame.faces {
        let (words, colour) = verdict(face, frame);
        let [x, y, w, h] = face.rect.map(|v| v.round() as i32);
        let style = PrimitiveStyleBuilder::new()
            .stroke_color(colour)
            .stroke_width(3)
            .stroke_alignment(StrokeAlignment::Outside)
            .build();
        let Ok(()) = Rectangle::new(Point::new(x, y), Size::new(w.max(1) as u32, h.max(1) as u32))
            .into_styled(style)
            .draw(&mut canvas);
        let dot_px = (w / 18).clamp(2, 5) as u32;
        for [px, py] in face.landmarks {
            let dot = Circle::with_center(Point::new(px.round() as i32, py.round() as i32), dot_px);
            let Ok(()) = dot.into_styled(PrimitiveStyle::with_fill(WHITE)).draw(&mut canvas);
        }
        canvas.label(&words, x - 3, y + h + 6, colour);
    }
    let (words, colour) = if frame.unlocked { ("UNLOCKED", GREEN) } else { ("LOCKED", INK) };
    canvas.label(words, 8, 8, colour);
    canvas.label(&format!("{:5.2} s", frame.mono_ms as f32 / 1e3), canvas.0.width() as i32 - 80, 8, INK);
    canvas.0
}

/// One picture of the contact sheet.
pub struct Tile {
    /// An annotated frame.
    pub picture: RgbImage,
    /// What is to be seen.
    pub title: String,
    /// What came of it.
    pub outcome: String,
    /// Whether that was expected.
    pub right: bool,
}

/// All acts on one picture, three in a row.
pub fn contact_sheet(heading: &str, tiles: &[Tile]) -> RgbImage {
    const W: u32 = 400;
    const H: u32 = 300;
    const CAPTION: u32 = 48;
    const GAP: u32 = 16;
    const HEAD: u32 = 56;
    const ACROSS: u32 = 3;
    let rows = (tiles.len() as u32).div_ceil(ACROSS);
    let (width, height) = (ACROSS * (W + GAP) + GAP, HEAD + rows * (H + CAPTION + GAP) + GAP);
    let mut sheet = Canvas(RgbImage::from_pixel(width, height, Rgb([0xf6, 0xf7, 0xf9])));
    sheet.text(heading, GAP as i32, 20, &FONT_10X20, INK);
    for (i, tile) in tiles.iter().enumerate() {
        let (column, row) = (i as u32 % ACROSS, i as u32 / ACROSS);
        let (x, y) = (GAP + column * (W + GAP), HEAD + row * (H + CAPTION + GAP));
        let small = image::imageops::resize(&tile.picture, W, H, image::imageops::FilterType::Triangle);
        image::imageops::replace(&mut sheet.0, &small, i64::from(x), i64::from(y));
        let colour = if tile.right { GREEN } else { RED };
        sheet.fill(x as i32, (y + H) as i32, 6, CAPTION, colour);
        let fit =
            |words: &str| words.chars().take((W / FONT_9X15.character_size.width) as usize - 2).collect::<String>();
        sheet.text(&fit(&tile.title), x as i32 + 14, (y + H + 6) as i32, &FONT_9X15, INK);
        sheet.text(&fit(&tile.outcome), x as i32 + 14, (y + H + 26) as i32, &FONT_9X15, colour);
    }
    sheet.0
}

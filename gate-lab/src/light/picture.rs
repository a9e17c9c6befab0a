//! A head, a print and a screen as the gate sees them: one frame's face, the response map, the time course.

use anyhow::{Result, anyhow};
use gate_core::light::{AttackKind, Challenge, Code, GRID, LightPolicy, LightSample, Verdict};
use gate_render::{Conditions, FRAME_HEIGHT_PX, FRAME_WIDTH_PX, Species, Trial};
use plotters::coord::Shift;
use plotters::prelude::*;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (1080, 900);
const SHOWN: [Species; 4] = [Species::BonaFide, Species::PrintFlat, Species::PrintBent, Species::ScreenVideo];
const CONDITIONS: Conditions = Conditions { lamp_ratio: 0.5, fps: 15.0 };
const FONT: (&str, i32) = ("sans-serif", 14);
const LIT: RGBColor = RGBColor(255, 224, 130);
const FACE: RGBColor = RGBColor(200, 60, 40);
const BACKGROUND: RGBColor = RGBColor(60, 90, 160);

/// Draws it, as SVG.
pub fn draw(policy: &LightPolicy, seed: u64) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        paint(&area, policy, seed).map_err(|error| anyhow!("the picture cannot be drawn: {error}"))?;
        area.present().map_err(|error| anyhow!("the picture cannot be drawn: {error}"))?;
    }
    Ok(svg)
}

fn paint(area: &Area, policy: &LightPolicy, seed: u64) -> Result<()> {
    area.fill(&WHITE)?;
    let (title, rest) = area.split_vertically(44);
    let text = "Simulated challenges, lamp 50 % of the ambient light, 15 frames a second: a frame, the answer of each patch, the time course";
    title.draw(&Text::new(text, (14, 16), FONT))?;
    for (row, species) in rest.split_evenly((SHOWN.len(), 1)).iter().zip(SHOWN) {
        let trial = typical(species, policy, seed);
        let samples = trial.samples();
        let mut challenge = Challenge::begin(trial.code);
        samples.iter().for_each(|sample| challenge.take(sample));
        let answer = challenge.finish(policy);
        let (left, course) = row.split_horizontally(520);
        let (frame, map) = left.split_horizontally(270);
        paint_frame(&frame, &trial)?;
        let latency_ms = answer.evidence.latency_ms;
        paint_map(&map, &answer.evidence.pattern)?;
        let said = match answer.verdict {
            Verdict::BonaFide => "bona fide".to_owned(),
            other => format!("{other:?}"),
        };
        frame.draw(&Text::new(format!("{}: {said}", species.name()), (14, 4), FONT))?;
        let caption = format!("shape {:.2}, answer {:.2}", answer.evidence.shape, answer.evidence.answer);
        map.draw(&Text::new(caption, (14, 4), FONT))?;
        paint_course(&course, trial.code, if latency_ms.is_finite() { latency_ms } else { 0.0 }, &samples)?;
    }
    Ok(())
}

/// The first trial from this seed on whose verdict is what one expects of its species: a picture shows the usual case, the table
/// counts all.
fn typical(species: Species, policy: &LightPolicy, seed: u64) -> Trial {
    let trials = (seed..seed + 50).map(|seed| Trial::draw(species, CONDITIONS, seed));
    let wanted = |trial: &Trial| {
        let kind = if species.shines() { AttackKind::OutOfStep } else { AttackKind::FlatAnswer };
        let usual = if species == Species::BonaFide { Verdict::BonaFide } else { Verdict::Attack(kind) };
        trial.answer(policy).verdict == usual
    };
    trials.into_iter().find(wanted).unwrap_or_else(|| Trial::draw(species, CONDITIONS, seed))
}

/// A frame from the middle of the challenge, every other pixel.
fn paint_frame(area: &Area, trial: &Trial) -> Result<()> {
    let frames = trial.frames();
    let Some(frame) = frames.get(frames.len() / 2) else { return Ok(()) };
    for y in (0..FRAME_HEIGHT_PX).step_by(2) {
        for x in (0..FRAME_WIDTH_PX).step_by(2) {
            let i = (y * FRAME_WIDTH_PX + x) * 3;
            let colour = RGBColor(frame.pixels[i], frame.pixels[i + 1], frame.pixels[i + 2]);
            let (left, top) = (14 + x as i32 * 5 / 4, 26 + y as i32 * 5 / 4);
            area.draw(&Rectangle::new([(left, top), (left + 3, top + 3)], colour.filled()))?;
        }
    }
    Ok(())
}

/// The answer of each patch relative to the mean, dark to light, 0.4 to 1.6.
fn paint_map(area: &Area, pattern: &[f32]) -> Result<()> {
    const SIDE: i32 = 34;
    for (i, value) in pattern.iter().enumerate() {
        let (x, y) = ((i % GRID) as i32 * SIDE + 14, (i / GRID) as i32 * SIDE + 26);
        let part = ((value - 0.4) / 1.2).clamp(0.0, 1.0);
        let colour = if value.is_finite() {
            HSLColor(0.12, 0.6, f64::from(0.1 + 0.8 * part)).to_rgba()
        } else {
            WHITE.to_rgba()
        };
        area.draw(&Rectangle::new([(x, y), (x + SIDE - 2, y + SIDE - 2)], colour.filled()))?;
        if value.is_finite() {
            let ink = if part > 0.5 { BLACK } else { WHITE };
            let font = ("sans-serif", 11).into_font().color(&ink);
            area.draw(&Text::new(format!("{value:.2}"), (x + 5, y + 11), font))?;
        }
    }
    Ok(())
}

/// Mean luma of face and background over time, relative to their means; the code behind them, moved by the delay that was found.
fn paint_course(area: &Area, code: Code, latency_ms: f32, samples: &[LightSample]) -> Result<()> {
    let course = |of: &dyn Fn(&LightSample) -> f32| -> Vec<(f32, f32)> {
        let values: Vec<f32> = samples.iter().map(of).collect();
        let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
        samples.iter().zip(values).map(|(sample, value)| (sample.at_ms as f32, value / mean)).collect()
    };
    let luma = |patches: &[gate_core::light::Patch]| {
        let seen: Vec<f32> = patches.iter().map(|patch| patch.luma).filter(|luma| luma.is_finite()).collect();
        seen.iter().sum::<f32>() / seen.len().max(1) as f32
    };
    let (face, around) = (course(&|s| luma(&s.face)), course(&|s| luma(&s.background)));
    let ends = face.iter().chain(&around).map(|p| p.1).filter(|y| y.is_finite());
    let (low, high) = ends.fold((0.95f32, 1.05f32), |(low, high), y| (low.min(y), high.max(y)));
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(46)
        .build_cartesian_2d(-150f32..750.0, low..high)?;
    for slot in (0..code.duration_ms() / 50).filter(|slot| code.slot(*slot)) {
        let from = (slot * 50) as f32 + latency_ms;
        chart.draw_series([Rectangle::new([(from, low), (from + 50.0, high)], LIT.filled())])?;
    }
    chart.configure_mesh().disable_mesh().x_labels(6).y_labels(4).x_desc("ms after the code began").draw()?;
    for (points, colour, name) in [(around, BACKGROUND, "background"), (face, FACE, "face")] {
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|p| Circle::new(*p, 3, colour.filled())))?;
        if let Some(last) = points.last() {
            let label = Text::new(name, (6, -6), ("sans-serif", 11).into_font().color(&colour));
            chart.draw_series([EmptyElement::at(*last) + label])?;
        }
    }
    Ok(())
}

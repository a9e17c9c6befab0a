//! The loss curve: as a picture, and as JSON lines for who wants to draw another.

use crate::files::write_private;
use anyhow::{Context, Result, anyhow};
use gate_learn::Epoch;
use plotters::prelude::*;
use std::path::{Path, PathBuf};

const SIZE_PX: (u32, u32) = (760, 420);

/// Writes `<folder>/<name>.curve.svg` and `<name>.curve.jsonl`; gives their paths.
///
/// # Errors
/// When they cannot be drawn or written.
pub fn write(folder: &Path, name: &str, curve: &[Epoch], kept: usize) -> Result<[PathBuf; 2]> {
    let paths = ["svg", "jsonl"].map(|ending| folder.join(format!("{name}.curve.{ending}")));
    // JSON has no NaN; epoch 0 has trained nothing yet.
    let number = |x: f64| if x.is_finite() { serde_json::json!(x) } else { serde_json::Value::Null };
    let lines: String = curve
        .iter()
        .map(|e| {
            let line = serde_json::json!({
                "epoch": e.number, "train_loss": number(e.train_loss), "active": number(e.active),
                "held_out_loss": number(e.held_out_loss), "held_out_tar": number(e.held_out_tar), "kept": e.number == kept,
            });
            format!("{line}\n")
        })
        .collect();
    let drawn = svg(curve, kept).map_err(|error| anyhow!("the loss curve cannot be drawn: {error}"))?;
    for (path, text) in paths.iter().zip([drawn, lines]) {
        write_private(path, text.as_bytes()).with_context(|| path.display().to_string())?;
    }
    Ok(paths)
}

fn svg(curve: &[Epoch], kept: usize) -> Result<String, Box<dyn std::error::Error>> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE_PX).into_drawing_area();
        area.fill(&WHITE)?;
        let finite = |value: fn(&Epoch) -> f64| {
            curve.iter().map(move |e| (e.number as f64, value(e))).filter(|(_, y)| y.is_finite()).collect::<Vec<_>>()
        };
        let lines = [
            ("triplet loss, learned from", finite(|e| e.train_loss), BLUE),
            ("soft FNMR at FMR 1e-3, held out", finite(|e| e.held_out_loss), RED),
            ("triplets that taught", finite(|e| e.active), RGBColor(170, 170, 170)),
        ];
        let top = lines.iter().flat_map(|l| &l.1).map(|p| p.1).fold(1e-3, f64::max) * 1.05;
        let last = curve.last().map_or(1.0, |e| (e.number as f64).max(1.0));
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(32)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..last, 0.0..top)?;
        chart.configure_mesh().x_desc("epoch").light_line_style(WHITE).draw()?;
        for (label, points, colour) in lines {
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart
            .draw_series(LineSeries::new([(kept as f64, 0.0), (kept as f64, top)], GREEN))?
            .label("kept")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], GREEN));
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.2)).draw()?;
        area.present()?;
    }
    Ok(text)
}

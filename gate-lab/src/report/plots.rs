//! Plots as SVG. Colours are those of the page's style, so that they follow light and dark.

use crate::evaluate::{Evaluation, FPIRS};
use crate::words::{power, thousands};
use anyhow::{Result, anyhow};
use gate_stats::{DetPoint, Rate};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use std::ops::Range;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Stand-ins, replaced by the style's variables: a drawing library knows no CSS.
const INK: RGBColor = RGBColor(1, 1, 1);
const SOFT: RGBColor = RGBColor(2, 2, 2);
const GRID: RGBColor = RGBColor(3, 3, 3);
const GENUINE: RGBColor = RGBColor(4, 4, 4);
const IMPOSTOR: RGBColor = RGBColor(5, 5, 5);
const SERIES: [RGBColor; 3] = [RGBColor(6, 6, 6), RGBColor(7, 7, 7), RGBColor(8, 8, 8)];
const NAMES: [(&str, &str); 8] = [
    ("#010101", "var(--ink)"),
    ("#020202", "var(--soft)"),
    ("#030303", "var(--grid)"),
    ("#040404", "var(--genuine)"),
    ("#050505", "var(--impostor)"),
    ("#060606", "var(--s0)"),
    ("#070707", "var(--s1)"),
    ("#080808", "var(--s2)"),
];
const SIZE: (u32, u32) = (1000, 430);
const FONT: (&str, i32) = ("sans-serif", 14);
/// Rates of 0 have no place on a logarithmic axis; nothing is drawn below this.
const RATE_MIN: f64 = 1e-5;
/// Where the DET curve begins; nobody operates a gate beyond.
const FMR_MAX: f64 = 0.3;

/// FNMR against FMR; `None` when there is nothing to draw.
pub fn det(evaluation: &Evaluation) -> Result<Option<String>> {
    let curve: Vec<DetPoint> = gate_stats::det(&evaluation.comparisons, 20);
    let drawn = |p: &&DetPoint| p.fmr > 0.0 && p.fmr <= FMR_MAX && p.fnmr > 0.0;
    let line: Vec<(f64, f64)> = curve.iter().filter(drawn).map(|p| (p.fmr, p.fnmr)).collect();
    let points: Vec<(f64, Rate)> = evaluation.verification.iter().flatten().map(|p| (p.fmr, p.fnmr)).collect();
    let Some(least) = line.iter().map(|p| p.0).reduce(f64::min) else { return Ok(None) };
    let series = [("", line, points)];
    draw(|area| rates(area, (least, FMR_MAX), ("FMR", "FNMR"), &series)).map(Some)
}

/// FNIR against FPIR, a line for each gallery size; `None` when there is no line to draw.
pub fn identification(evaluation: &Evaluation) -> Result<Option<String>> {
    let names: Vec<String> = evaluation.galleries.iter().map(|g| format!("N = {}", thousands(g.size.into()))).collect();
    let mut series = Vec::new();
    for (gallery, name) in evaluation.galleries.iter().zip(&names) {
        let Ok(points) = &gallery.points else { continue };
        // A little apart, so that intervals do not lie on each other.
        let shift = 10f64.powf(0.015 * series.len() as f64);
        let points: Vec<(f64, Rate)> =
            FPIRS.iter().zip(points).filter_map(|(fpir, p)| Some((fpir * shift, p.as_ref().ok()?.fnir))).collect();
        let line = points.iter().filter(|(_, rate)| rate.rate > 0.0).map(|(fpir, rate)| (*fpir, rate.rate)).collect();
        series.push((name.as_str(), line, points));
    }
    // One rate alone is told better by the table.
    if series.iter().all(|(_, _, points)| points.len() < 2) {
        return Ok(None);
    }
    draw(|area| rates(area, (6e-4, 0.2), ("FPIR", "FNIR"), &series)).map(Some)
}

/// An axis with marks at given places only.
struct Axis(Range<f64>, Vec<f64>);

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let part = (value - self.0.start) / (self.0.end - self.0.start);
        limit.0 + (part * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.1.clone()
    }

    fn range(&self) -> Range<f64> {
        self.0.clone()
    }
}

/// A name, a line, and points with intervals.
type Series<'a> = (&'a str, Vec<(f64, f64)>, Vec<(f64, Rate)>);

/// One error rate against the other, both logarithmic.
fn rates(area: &Area, x: (f64, f64), names: (&str, &str), series: &[Series]) -> Result<()> {
    let ends = |rate: &Rate| [rate.low, rate.high];
    let all = || {
        series
            .iter()
            .flat_map(|(_, line, points)| line.iter().map(|p| p.1).chain(points.iter().flat_map(|p| ends(&p.1))))
    };
    let low = all().filter(|y| *y > 0.0).fold(1.0, f64::min).max(RATE_MIN) / 1.4;
    let high = (all().fold(0.0, f64::max) * 1.4).min(1.0);
    let logs = (low.log10(), high.max(low * 2.0).log10());
    let x_logs = (x.0.log10(), x.1.log10());
    let decades: Vec<f64> = (-12..=0).map(f64::from).filter(|d| *d >= x_logs.0 - 1e-9 && *d <= x_logs.1).collect();
    let steps: Vec<f64> = (-6..=0)
        .flat_map(|d| [1.0, 2.0, 5.0].map(|m| (m * 10f64.powi(d)).log10()))
        .filter(|y| *y >= logs.0 && *y <= logs.1)
        .collect();
    let (x_count, y_count) = (decades.len(), steps.len());
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d(Axis(x_logs.0..x_logs.1, decades), Axis(logs.0..logs.1, steps))?;
    chart
        .configure_mesh()
        .x_labels(x_count)
        .y_labels(y_count)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID)
        .label_style(FONT.into_font().color(&SOFT))
        .axis_desc_style(FONT.into_font().color(&INK))
        .x_label_formatter(&|x| decade(*x))
        .y_label_formatter(&|y| short_percent(10f64.powf(*y)))
        .x_desc(names.0)
        .y_desc(names.1)
        .draw()?;
    for (i, (name, line, points)) in series.iter().enumerate() {
        let colour = SERIES[i % SERIES.len()];
        chart.draw_series(LineSeries::new(line.iter().map(|(x, y)| (x.log10(), y.log10())), colour.stroke_width(2)))?;
        for (x, rate) in points {
            let (x, y) = (x.log10(), |rate: f64| rate.max(low).log10());
            let bar = vec![(x, y(rate.low)), (x, y(rate.high))];
            chart.draw_series([PathElement::new(bar, colour.mix(0.55).stroke_width(2))])?;
            if rate.rate > 0.0 {
                chart.draw_series([Circle::new((x, y(rate.rate)), 4, colour.filled())])?;
            }
        }
        if let Some((x, y)) = line.first().filter(|_| !name.is_empty()) {
            let place = EmptyElement::at((x.log10(), y.log10()))
                + Text::new((*name).to_owned(), (10, -7), FONT.into_font().color(&colour));
            chart.draw_series([place])?;
        }
    }
    Ok(())
}

/// Where genuine and impostor comparisons lie; `None` when there are none.
pub fn scores(evaluation: &Evaluation) -> Result<Option<String>> {
    let histograms = gate_stats::histograms(&evaluation.comparisons, 90);
    let total = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let (genuine, impostors) = (total(&histograms.genuine), total(&histograms.impostors));
    if genuine.max(impostors) == 0.0 {
        return Ok(None);
    }
    let floor = (0.5 / genuine.max(impostors)).max(1e-8).log10();
    let width = f64::from(histograms.to - histograms.from) / histograms.genuine.len() as f64;
    let (from, to) = (f64::from(histograms.from), f64::from(histograms.to));
    // Each bin as a step.
    let steps = |counts: &[u64], total: f64| -> Vec<(f64, f64)> {
        let height = |count: u64| if count == 0 { floor } else { (count as f64 / total).log10() };
        let left = |i: usize| from + width * i as f64;
        counts.iter().enumerate().flat_map(|(i, c)| [(left(i), height(*c)), (left(i + 1), height(*c))]).collect()
    };
    let marks: Vec<(f64, f64)> =
        evaluation.verification.iter().flatten().map(|p| (p.fmr, f64::from(p.threshold.d2))).collect();
    let kinds = [
        ("genuine", GENUINE, steps(&histograms.genuine, genuine)),
        ("impostor", IMPOSTOR, steps(&histograms.impostors, impostors)),
    ];
    draw(|area| {
        let decades: Vec<f64> = (-8..=0).map(f64::from).filter(|d| *d >= floor).collect();
        let count = decades.len();
        let mut chart = ChartBuilder::on(area)
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(70)
            .build_cartesian_2d(from..to, Axis(floor..0.55, decades))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(10)
            .y_labels(count)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GRID)
            .label_style(FONT.into_font().color(&SOFT))
            .axis_desc_style(FONT.into_font().color(&INK))
            .x_label_formatter(&|x| format!("{x:.1}"))
            .y_label_formatter(&|y| decade(*y))
            .x_desc("dissimilarity d2")
            .y_desc("part of comparisons")
            .draw()?;
        for (name, colour, steps) in &kinds {
            chart.draw_series(AreaSeries::new(steps.iter().copied(), floor, colour.mix(0.18)).border_style(*colour))?;
            let highest = steps.iter().copied().fold((0.0, f64::NEG_INFINITY), |a, b| if b.1 > a.1 { b } else { a });
            let label = Text::new(*name, (-24, -18), FONT.into_font().color(colour));
            chart.draw_series([EmptyElement::at(highest) + label])?;
        }
        for (i, (fmr, d2)) in marks.iter().enumerate() {
            let top = if i % 2 == 0 { 0.5 } else { 0.5 - 0.045 * (0.55 - floor) };
            chart.draw_series(DashedLineSeries::new(
                [(*d2, floor), (*d2, top - 0.04 * (0.55 - floor))],
                3,
                4,
                INK.mix(0.6).into(),
            ))?;
            let label = Text::new(power(*fmr), (-14, 0), ("sans-serif", 12).into_font().color(&INK));
            chart.draw_series([EmptyElement::at((*d2, top)) + label])?;
        }
        Ok(())
    })
    .map(Some)
}

/// Draws on an SVG picture that takes its colours and its font from the page.
fn draw(paint: impl FnOnce(&Area) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        paint(&area)?;
        area.present().map_err(|error| anyhow!("a plot cannot be drawn: {error}"))?;
    }
    for (colour, name) in NAMES {
        svg = svg.replace(colour, name);
    }
    let start = svg.find("<svg").unwrap_or(0);
    let (width, height) = SIZE;
    Ok(svg[start..].replace("font-family=\"sans-serif\"", "font-family=\"inherit\"").replacen(
        &format!("width=\"{width}\" height=\"{height}\" "),
        "role=\"img\" ",
        1,
    ))
}

/// A power of ten from its exponent: `1e-3`, `1`.
fn decade(exponent: f64) -> String {
    if exponent == 0.0 { "1".into() } else { power(10f64.powi(exponent.round() as i32)) }
}

/// `2 %`, `0.05 %`.
fn short_percent(rate: f64) -> String {
    let text = format!("{:.4}", rate * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_short() {
        assert_eq!((decade(-3.0).as_str(), decade(0.0).as_str()), ("1e-3", "1"));
        assert_eq!(["2 %", "0.05 %", "100 %"].map(str::to_owned), [0.02, 0.0005, 1.0].map(short_percent));
    }

    #[test]
    fn colours_become_the_pages_own() {
        let svg = draw(|area| Ok(area.draw(&Circle::new((5, 5), 3, GENUINE.filled()))?)).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("var(--genuine)") && !svg.contains("#040404"), "{svg}");
    }
}

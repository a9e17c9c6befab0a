//! The figures of `bench`, as a table or as JSON.

use super::frames::Clip;
use super::{BenchArgs, Measured, Results};
use gate_site::Site;
use serde_json::{Map, Value, json};
use std::time::Duration;

type Stage = fn(&Measured) -> Duration;

/// Each stage, and which of its frames count: those in which it ran.
const STAGES: [(&str, Stage); 10] = [
    ("detect", |m| m.timings.detect),
    ("align", |m| m.timings.align),
    ("encode", |m| m.timings.encode),
    ("search", |m| m.timings.search),
    ("liveness", |m| m.timings.liveness),
    ("decide", |m| m.timings.decide),
    ("compared", |m| if m.timings.encode.is_zero() { Duration::ZERO } else { m.whole }),
    ("networks", |m| if m.timings.encode.is_zero() { Duration::ZERO } else { m.timings.networks }),
    ("occupied", |m| if m.faces == 0 { Duration::ZERO } else { m.whole }),
    ("frame", |m| m.whole),
];

/// How some times are distributed, milliseconds.
struct Spread {
    count: usize,
    p50: f64,
    p99: f64,
    max: f64,
    mean: f64,
}

impl Spread {
    /// `None` of nothing.
    fn of(mut all_ms: Vec<f64>) -> Option<Self> {
        all_ms.sort_by(f64::total_cmp);
        let max = *all_ms.last()?;
        let at = |q: f64| all_ms[((all_ms.len() - 1) as f64 * q).round() as usize];
        let mean = all_ms.iter().sum::<f64>() / all_ms.len() as f64;
        Some(Self { count: all_ms.len(), p50: at(0.5), p99: at(0.99), max, mean })
    }

    fn json(&self) -> Value {
        let Self { count, p50, p99, max, mean } = self;
        json!({"count": count, "p50_ms": p50, "p99_ms": p99, "max_ms": max, "mean_ms": mean})
    }

    fn line(&self, name: &str) -> String {
        let Self { count, p50, p99, max, mean } = self;
        format!("{name:<14}{count:>7}{p50:>10.3}{p99:>10.3}{max:>10.3}{mean:>10.3}")
    }
}

/// Prints what was measured.
pub fn print(results: &Results, clip: &Clip, site: &Site, args: &BenchArgs, load: Duration) {
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let spread_of =
        |stage: Stage| Spread::of(results.frames.iter().map(|m| ms(stage(m))).filter(|took| *took > 0.0).collect());
    let stages: Vec<(&str, Spread)> =
        STAGES.iter().filter_map(|(name, stage)| Some((*name, spread_of(*stage)?))).collect();
    let openings = |of: fn(&super::Opening) -> f64| Spread::of(results.openings.iter().map(of).collect());
    let relay = [("exposure", openings(|o| o.from_exposure_ms)), ("first look", openings(|o| o.from_first_ms))];
    let memory = peak_memory_mb() - clip.megabytes();
    let options = site.vision_options().session;
    let size = clip.size();
    let (provider, threads, count) = (options.provider.name(), options.threads, results.frames.len());
    if args.json {
        let table = |rows: Vec<(&str, &Spread)>| -> Map<String, Value> {
            rows.into_iter().map(|(name, spread)| (name.replace(' ', "_"), spread.json())).collect()
        };
        let stages = table(stages.iter().map(|(name, spread)| (*name, spread)).collect());
        let relay = table(relay.iter().filter_map(|(name, spread)| Some((*name, spread.as_ref()?))).collect());
        let people = if args.equal_work { None } else { Some(args.people) };
        println!(
            "{:#}",
            json!({"frame_size": size, "frames": count, "frames_missed": results.missed, "people": people,
                   "equal_work": args.equal_work, "provider": provider, "threads": threads, "stages": stages,
                   "to_relay_from": relay, "load_ms": ms(load), "memory_peak_mb": memory})
        );
        return;
    }
    println!("{count} frames of {size}, {} people, {provider}, {threads} thread(s); milliseconds", args.people);
    println!("{:<14}{:>7}{:>10}{:>10}{:>10}{:>10}", "stage", "frames", "p50", "p99", "max", "mean");
    for (name, spread) in &stages {
        println!("{}", spread.line(name));
    }
    println!(
        "compared: a frame with an encoding; networks: what of it ONNX Runtime took; occupied: one that shows a face; frame: any"
    );
    for (name, spread) in &relay {
        if let Some(spread) = spread {
            println!("{}", spread.line(&format!("{name}..relay")));
        }
    }
    if !args.equal_work {
        println!(
            "exposure..relay: from the exposure of the frame that decided, first look..relay: of the first that was \
             compared, until the (simulated) relay was on; {} frames came too soon and were missed",
            results.missed
        );
    }
    println!("networks loaded in {:.0} ms; memory at most {memory:.0} MB, without these frames", ms(load));
}

/// The most memory that was resident so far, megabytes; 0 where /proc does not tell.
fn peak_memory_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kb = line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1024.0
}

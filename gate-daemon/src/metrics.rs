//! What the gate counts, for Prometheus and whoever else watches over it. No score, no name, no id.
//!
//! ```text
//!  loop ──adds to atomics, never waits──▶ Metrics ◀──reads, writes OpenMetrics text── scrape.rs, a thread of its own
//! ```

use crate::clock;
use crate::event_writer::LogHealth;
use crate::gate::Timings;
use gate_core::alarm::Alarm;
use gate_core::decision::Event;
use gate_core::gate::Fault;
use gate_core::reason::Reason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Every name begins with this.
const PREFIX: &str = "face_gate";
/// Upper ends of the latency histograms' buckets, milliseconds.
const BUCKETS_MS: [u64; 12] = [1, 2, 5, 10, 20, 35, 50, 75, 100, 200, 500, 1_000];
/// The stages whose time is measured. `frame` is the whole way.
const STAGES: [&str; 4] = ["detect", "encode", "liveness", "frame"];

/// A latency distribution without a lock.
#[derive(Debug, Default)]
struct Latency {
    /// One for each of [`BUCKETS_MS`], and what is slower than all of them.
    buckets: [AtomicU64; BUCKETS_MS.len() + 1],
    sum_us: AtomicU64,
}

impl Latency {
    fn take(&self, took: Duration) {
        let place = BUCKETS_MS.iter().position(|end| took <= Duration::from_millis(*end)).unwrap_or(BUCKETS_MS.len());
        self.buckets[place].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let ends = BUCKETS_MS.iter().map(|ms| *ms as f64 / 1e3).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = ends.zip(&self.buckets).map(|(end, count)| (end, count.load(Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum_us.load(Relaxed) as f64 / 1e6, count, &buckets, None)
    }
}

/// The counters and gauges.
#[derive(Debug)]
pub struct Metrics {
    began: Instant,
    provider: &'static str,
    log: Arc<LogHealth>,
    frames: AtomicU64,
    unreadable: AtomicU64,
    faces: AtomicU64,
    granted: AtomicU64,
    refused: [AtomicU64; Reason::COUNT],
    lockouts: AtomicU64,
    locked_out: AtomicU64,
    /// In the order of [`Alarm::ALL`]: how often each was raised, and whether it stands.
    alarms: [(AtomicU64, AtomicBool); Alarm::ALL.len()],
    faults: [AtomicBool; Fault::ALL.len()],
    stages: [Latency; STAGES.len()],
    camera_up: AtomicBool,
    camera_lost: AtomicU64,
    relay_on: AtomicBool,
    pulses: AtomicU64,
    people: AtomicU64,
    /// When the people in force were last found to be those of the store, milliseconds from `began`.
    people_confirmed_ms: AtomicU64,
    watchdog_feeds: AtomicU64,
    config_kept: AtomicBool,
    clock_behind: AtomicBool,
    clock_unsynchronised: AtomicBool,
    clock_steps: AtomicU64,
    /// Milliseconds from `began`.
    last_frame_ms: AtomicU64,
}

impl Metrics {
    /// Everything at zero.
    pub fn new(provider: &'static str, log: Arc<LogHealth>) -> Self {
        Self {
            began: Instant::now(),
            provider,
            log,
            frames: AtomicU64::default(),
            unreadable: AtomicU64::default(),
            faces: AtomicU64::default(),
            granted: AtomicU64::default(),
            refused: Default::default(),
            lockouts: AtomicU64::default(),
            locked_out: AtomicU64::default(),
            alarms: Default::default(),
            faults: Default::default(),
            stages: Default::default(),
            camera_up: AtomicBool::default(),
            camera_lost: AtomicU64::default(),
            relay_on: AtomicBool::default(),
            pulses: AtomicU64::default(),
            people: AtomicU64::default(),
            people_confirmed_ms: AtomicU64::default(),
            watchdog_feeds: AtomicU64::default(),
            config_kept: AtomicBool::default(),
            clock_behind: AtomicBool::default(),
            clock_unsynchronised: AtomicBool::default(),
            clock_steps: AtomicU64::default(),
            last_frame_ms: AtomicU64::default(),
        }
    }

    /// A frame went the whole way.
    pub fn frame(&self, faces: usize, timings: &Timings) {
        self.frames.fetch_add(1, Relaxed);
        self.faces.fetch_add(faces as u64, Relaxed);
        self.camera_up.store(true, Relaxed);
        self.last_frame_ms.store(self.now_ms(), Relaxed);
        // The networks are in the others.
        let Timings { detect, align, encode, search, liveness, decide, networks: _ } = *timings;
        let whole = detect + align + encode + search + liveness + decide;
        // A stage that was not needed took no time: that is no measurement of it.
        let of = |network: Duration, took: Duration| (network > Duration::ZERO).then_some(took);
        let took = [Some(detect), of(encode, align + encode), of(liveness, liveness), Some(whole)];
        for (stage, took) in self.stages.iter().zip(took) {
            took.into_iter().for_each(|took| stage.take(took));
        }
    }

    /// A frame could not be read.
    pub fn unreadable_frame(&self) {
        self.unreadable.fetch_add(1, Relaxed);
    }

    /// The camera came or went.
    pub fn camera(&self, up: bool) {
        self.camera_up.store(up, Relaxed);
        self.camera_lost.fetch_add(u64::from(!up), Relaxed);
    }

    /// Something was decided.
    pub fn decided(&self, event: &Event) {
        match *event {
            Event::Granted { .. } => {
                self.granted.fetch_add(1, Relaxed);
            }
            Event::Refused { reason, .. } => {
                // Both arrays are in declaration order.
                self.refused[reason as usize].fetch_add(1, Relaxed);
            }
            Event::Relay { on } => {
                self.relay_on.store(on, Relaxed);
                self.pulses.fetch_add(u64::from(on), Relaxed);
            }
            Event::Lockout { present: true, .. } => {
                self.locked_out.fetch_add(1, Relaxed);
                self.lockouts.fetch_add(1, Relaxed);
            }
            Event::Lockout { present: false, .. } => {
                self.locked_out.fetch_sub(1, Relaxed);
            }
            Event::Alarm { cause, present } => {
                let (raised, stands) = &self.alarms[cause as usize];
                raised.fetch_add(u64::from(present), Relaxed);
                stands.store(present, Relaxed);
            }
            Event::Fault { fault, present } => self.faults[fault as usize].store(present, Relaxed),
        }
    }

    /// So many people can be recognised.
    pub fn people(&self, people: usize) {
        self.people.store(people as u64, Relaxed);
    }

    /// The people in force were last found to be those of the store so long ago.
    pub fn people_age(&self, age: Duration) {
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.people_confirmed_ms.store(self.now_ms().saturating_sub(age_ms), Relaxed);
    }

    /// The service manager was told that the loop is alive.
    pub fn watchdog_fed(&self) {
        self.watchdog_feeds.fetch_add(1, Relaxed);
    }

    /// A configuration was reread, and `kept` = the old one stays in force.
    pub fn config(&self, kept: bool) {
        self.config_kept.store(kept, Relaxed);
    }

    /// How the wall clock is; `None` where the kernel may not be asked whether a time source disciplines it.
    pub fn clock(&self, is_behind: bool, is_synchronised: Option<bool>) {
        self.clock_behind.store(is_behind, Relaxed);
        self.clock_unsynchronised.store(is_synchronised == Some(false), Relaxed);
    }

    /// Counts a step of the wall clock, if it was one.
    pub fn clock_stepped(&self, stepped: bool) {
        self.clock_steps.fetch_add(u64::from(stepped), Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn encode_decisions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Decisions. One for each refusal that was told, with its reason.";
        let mut decisions = encoder.encode_descriptor("decisions", help, None, MetricType::Counter)?;
        let reasons = Reason::ALL.iter().zip(&self.refused).map(|(reason, count)| ("refused", reason.name(), count));
        for (outcome, reason, count) in [("granted", "", &self.granted)].into_iter().chain(reasons) {
            let labels = [("outcome", outcome), ("reason", reason)];
            let mut one = decisions.encode_family(&labels)?;
            one.encode_counter::<NoLabelSet, _, u64>(&count.load(Relaxed), None)?;
        }
        Ok(())
    }

    fn encode_by_name(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut faults = encoder.encode_descriptor(
            "fault",
            "1 = it is present and keeps the gate locked; clock: for people whose admission ends only.",
            None,
            MetricType::Gauge,
        )?;
        for (fault, present) in Fault::ALL.iter().zip(&self.faults) {
            faults.encode_family(&[("fault", fault.name())])?.encode_gauge(&i64::from(present.load(Relaxed)))?;
        }
        let behind = i64::from(self.clock_behind.load(Relaxed));
        faults.encode_family(&[("fault", clock::FAULT)])?.encode_gauge(&behind)?;
        let help = "1 = somebody attacks the gate or tampers with it.";
        let mut alarms = encoder.encode_descriptor("alarm", help, None, MetricType::Gauge)?;
        for (alarm, (_, stands)) in Alarm::ALL.iter().zip(&self.alarms) {
            alarms.encode_family(&[("cause", alarm.name())])?.encode_gauge(&i64::from(stands.load(Relaxed)))?;
        }
        let mut alarms = encoder.encode_descriptor("alarms", "Alarms raised.", None, MetricType::Counter)?;
        for (alarm, (raised, _)) in Alarm::ALL.iter().zip(&self.alarms) {
            let cause = [("cause", alarm.name())];
            let mut one = alarms.encode_family(&cause)?;
            one.encode_counter::<NoLabelSet, _, u64>(&raised.load(Relaxed), None)?;
        }
        let help = "How long a stage of one frame took, where it was needed; frame = the whole way.";
        let mut stages = encoder.encode_descriptor("stage_seconds", help, None, MetricType::Histogram)?;
        for (name, stage) in STAGES.iter().zip(&self.stages) {
            stage.encode(stages.encode_family(&[("stage", *name)])?)?;
        }
        let help = "This program, and where its networks run.";
        encoder
            .encode_descriptor("build", help, None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION")), ("provider", self.provider)])
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let dropped = self.log.dropped();
        let counters = [
            ("frames", "Frames that went the whole way.", self.frames.load(Relaxed)),
            ("frames_unreadable", "Frames that could not be read.", self.unreadable.load(Relaxed)),
            ("faces", "Faces found, each in each frame.", self.faces.load(Relaxed)),
            (
                "lockouts",
                "Times that attempts with a person's face locked that person out.",
                self.lockouts.load(Relaxed),
            ),
            ("camera_lost", "Times that the camera was lost.", self.camera_lost.load(Relaxed)),
            ("pulses", "Times that the relay was switched on.", self.pulses.load(Relaxed)),
            ("watchdog_feeds", "Times that systemd heard that the loop is alive.", self.watchdog_feeds.load(Relaxed)),
            ("clock_steps", "Times that the wall clock was set.", self.clock_steps.load(Relaxed)),
            ("events_dropped", "Events that are missing from the event log.", dropped),
        ];
        for (name, help, value) in counters {
            let mut counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            counter.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        let age_ms = self.now_ms().saturating_sub(self.last_frame_ms.load(Relaxed));
        let gallery_ms = self.now_ms().saturating_sub(self.people_confirmed_ms.load(Relaxed));
        let gauges = [
            ("camera_up", "1 = frames come.", f64::from(u8::from(self.camera_up.load(Relaxed)))),
            ("relay_on", "1 = unlocked.", f64::from(u8::from(self.relay_on.load(Relaxed)))),
            ("locked_out", "People who are locked out now.", self.locked_out.load(Relaxed) as f64),
            ("people", "People who can be recognised.", self.people.load(Relaxed) as f64),
            (
                "gallery_age_seconds",
                "Time since the people in force were last found to be those of the store.",
                gallery_ms as f64 / 1e3,
            ),
            ("last_frame_age_seconds", "Time since the last frame, or since the start.", age_ms as f64 / 1e3),
            ("event_log_failing", "1 = events cannot be written.", f64::from(u8::from(self.log.is_failing()))),
            (
                "config_kept",
                "1 = the newest configuration is bad.",
                f64::from(u8::from(self.config_kept.load(Relaxed))),
            ),
            (
                "clock_behind",
                "1 = the wall clock shows a time that has passed for sure.",
                f64::from(u8::from(self.clock_behind.load(Relaxed))),
            ),
            (
                "clock_unsynchronised",
                "1 = no time source disciplines the wall clock.",
                f64::from(u8::from(self.clock_unsynchronised.load(Relaxed))),
            ),
        ];
        for (name, help, value) in gauges {
            encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        self.encode_decisions(&mut encoder)?;
        self.encode_by_name(&mut encoder)
    }
}

/// What is served: every metric under its whole name.
pub fn registry(metrics: Arc<Metrics>) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(metrics));
    registry
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use gate_core::track::TrackId;

    fn text(metrics: &Arc<Metrics>) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry(Arc::clone(metrics))).unwrap();
        text
    }

    #[test]
    fn what_is_counted_stands_in_the_text() {
        let metrics = Arc::new(Metrics::new("cpu", Arc::default()));
        let ms = Duration::from_millis;
        metrics
            .frame(2, &Timings { detect: ms(9), align: ms(1), encode: ms(8), liveness: ms(2), ..Timings::default() });
        metrics.frame(0, &Timings { detect: ms(2_000), ..Timings::default() });
        for reason in [Reason::NoFace, Reason::Suspended, Reason::Suspended] {
            metrics.decided(&Event::Refused { reason, track: TrackId(1), person: None });
        }
        metrics.decided(&Event::Relay { on: true });
        metrics.decided(&Event::Fault { fault: Fault::Light, present: true });
        metrics.decided(&Event::Alarm { cause: Alarm::Tamper, present: true });
        metrics.camera(false);
        std::thread::sleep(ms(20));
        metrics.people_age(ms(0));
        metrics.clock(true, Some(false));
        metrics.clock_stepped(true);
        let text = text(&metrics);
        for line in [
            "face_gate_frames_total 2",
            "face_gate_faces_total 2",
            "face_gate_decisions_total{outcome=\"granted\",reason=\"\"} 0",
            "face_gate_decisions_total{outcome=\"refused\",reason=\"NoFace\"} 1",
            "face_gate_decisions_total{outcome=\"refused\",reason=\"Suspended\"} 2",
            "face_gate_relay_on 1.0",
            "face_gate_camera_up 0.0",
            "face_gate_camera_lost_total 1",
            "face_gate_fault{fault=\"light\"} 1",
            "face_gate_fault{fault=\"camera\"} 0",
            "face_gate_alarm{cause=\"tamper\"} 1",
            "face_gate_alarm{cause=\"attack\"} 0",
            "face_gate_alarms_total{cause=\"tamper\"} 1",
            "face_gate_fault{fault=\"clock\"} 1",
            "face_gate_clock_behind 1.0",
            "face_gate_clock_unsynchronised 1.0",
            "face_gate_clock_steps_total 1",
            "face_gate_stage_seconds_bucket{le=\"0.01\",stage=\"detect\"} 1",
            "face_gate_stage_seconds_bucket{le=\"+Inf\",stage=\"detect\"} 2",
            "face_gate_stage_seconds_count{stage=\"encode\"} 1",
            "face_gate_stage_seconds_sum{stage=\"frame\"} 2.02",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in {text}");
        }
        let age = text.lines().find_map(|l| l.strip_prefix("face_gate_gallery_age_seconds ")).unwrap();
        assert!(age.parse::<f64>().unwrap() < 10.0, "{text}");
        assert!(text.contains("face_gate_build_info{version=\""), "{text}");
    }
}

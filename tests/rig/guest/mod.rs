//! The guest's side: plugs the hardware in, installs the package, runs every test, tells each outcome in a line.

pub mod camera;
pub mod camera_changed;
pub mod door;
pub mod ended;
pub mod faults;
pub mod gate;
pub mod line;
pub mod package;
pub mod sandbox;
pub mod store;

use crate::host::is_wanted;
use camera::Camera;
use gate::{journal, sh, wait_ready};
use line::{LINE, Wire};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use toml::{Table, toml};

/// What host and guest share, as the guest sees it.
pub const SHARED: &str = "/mnt";
/// The camera's node.
pub const NODE: &str = "/dev/video10";
/// The pulse that the rig configures.
pub const PULSE_MS: u64 = 600;
/// The longest pulse that the rig allows: the shipped default.
pub const PULSE_MAX_MS: u64 = 10_000;

/// One test: returns what it has measured.
pub type Test = (&'static str, fn(&mut Rig) -> String);

/// On the kernel's command line: which guest this is.
pub const NUMBER: &str = "rig.guest=";
/// The same: which of its tests is the first after the package's.
pub const FROM: &str = "rig.from=";

/// Two guests share the tests, so that one works while the other waits. In this order: the package comes first and goes last;
/// in between each test leaves the gate as it found it.
pub const TESTS: [&[Test]; 2] = [
    &[
        INSTALLS,
        ("enrolled_person_opens_for_one_pulse", door::opens),
        ("enrolled_person_opens_by_nokhwa", door::opens_by_nokhwa),
        ("nobody_stranger_and_photographs_never_open", door::never_opens),
        ("enrolled_while_running_opens", door::enrolled_while_running),
        ("suspended_and_expired_are_refused", door::suspended_and_expired),
        ("killed_at_random_moments_is_locked_and_back", ended::killed),
        ("hung_in_a_pulse_is_ended_by_the_watchdog", ended::hung),
        ("out_of_memory_is_locked_and_back", ended::out_of_memory),
        ("runtime_missing_or_damaged_stays_locked", ended::runtime_damaged),
        ("model_damaged_stays_locked", ended::model_damaged),
        ("configuration_broken_in_a_pulse_is_locked", ended::configuration_broken),
        ("clock_stepped_moves_validity_and_no_pulse", store::clock_stepped),
        ("sandbox_holds_what_it_promises", sandbox::holds),
        ("pulse_as_long_as_its_maximum_is_no_fault", door::pulse_of_the_maximum),
        ("reload_keeps_frames_and_refuses_bad_configuration", door::reload),
        ("metrics_and_status_tell_what_happens", door::metrics_and_status),
        EVERY_OPENING,
    ],
    &[
        INSTALLS,
        ("camera_absent_at_start_then_plugged", faults::absent_then_plugged),
        ("camera_unplugged_and_back", faults::unplugged),
        ("driver_unbound_and_bound_while_it_streams", faults::unbound),
        ("camera_stalls_without_an_error", faults::stalls),
        ("camera_changes_its_format", faults::changes_format),
        ("garbage_never_opens", faults::garbage),
        ("another_camera_is_never_opened", camera_changed::another_camera),
        ("a_recording_that_begins_again_never_opens", camera_changed::recording),
        ("disk_full_opens_and_tells", store::disk_full),
        ("read_only_disk_is_survived", store::read_only),
        ("store_damaged_is_locked_until_it_is_whole", store::damaged),
        ("upgrade_keeps_people_and_configuration", package::upgrades),
        EVERY_OPENING,
        ("remove_keeps_and_purge_forgets", package::removed_and_purged),
    ],
];

/// First in each guest.
const INSTALLS: Test = ("package_installs_and_the_gate_starts", package::installs);
/// Of each guest's line.
const EVERY_OPENING: Test = ("every_opening_had_its_grant", door::every_opening_was_granted);

/// The hardware around the gate.
pub struct Rig {
    /// What the gate sees.
    pub camera: Camera,
    /// What the gate drives.
    pub wire: Wire,
    /// The configuration of most tests.
    pub base: Table,
    /// Whether the running gate has another configuration.
    reconfigured: bool,
    /// Random moments differ from run to run; the seed is printed.
    pub random: Random,
}

/// A seeded source of moments (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Bytes without sense.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Rig {
    fn plug_in(seed: u64) -> Self {
        let modules =
            ["videobuf2-common", "videobuf2-v4l2", "videobuf2-memops", "videobuf2-vmalloc", "videobuf2-dma-contig"];
        for module in modules.iter().chain(&["font", "v4l2-tpg", "vivid", "gpio-sim"]) {
            sh(&format!("insmod {SHARED}/modules/{module}.ko")).done();
        }
        load_loopback();
        let wire = Wire::connect();
        let mut base = toml! {
            [camera]
            fps = 15
            [relay]
            driver = "gpiocdev"
            [policy]
            regrant_after_ms = 3000
            [liveness]
            attacks_max = 0
            [store]
            key_file = "/etc/credstore/face-gate.key"
        };
        let mut set = |section: &str, key: &str, value: toml::Value| {
            let table = base.entry(section).or_insert_with(|| Table::new().into()).as_table_mut().unwrap();
            table.insert(key.to_owned(), value);
        };
        set("camera", "source", format!("v4l:{NODE}").into());
        set("relay", "chip", wire.chip.to_str().unwrap().into());
        set("relay", "line", i64::from(LINE).into());
        set("relay", "pulse_ms", (PULSE_MS as i64).into());
        set("relay", "pulse_max_ms", (PULSE_MAX_MS as i64).into());
        set("events", "file", gate::EVENTS.into());
        let camera = Camera::new(Path::new(NODE), &Path::new(SHARED).join("clips"));
        Self { camera, wire, base, reconfigured: false, random: Random(seed) }
    }

    /// Starts the gate anew with these keys over the rig's configuration; the next test gets the usual ones again.
    pub fn start_with(&mut self, keys: Table) {
        self.reconfigured = true;
        gate::configure(&self.base, keys);
        let old = gate::pid();
        gate::systemctl("restart").done();
        wait_ready(old);
    }

    /// The usual configuration, the gate running, the camera there, nobody in view.
    fn usual(&mut self) {
        // What a test that failed has left.
        gate::sh("while mountpoint -q /var/lib/face-gate; do umount /var/lib/face-gate; done");
        self.camera.plug_if_out();
        self.camera.nobody();
        if self.reconfigured || gate::property("ActiveState") != "active" {
            self.start_with(Table::new());
            self.reconfigured = false;
        }
    }

    /// Insists that Ana is let in, from the moment she comes into view until the gate is locked again.
    #[track_caller]
    pub fn ana_comes_in(&self) -> door::Visit {
        door::visit(self, "ana")
    }
}

/// The loopback camera: it is there for readers only while somebody writes, as a camera is while it is plugged in.
pub fn load_loopback() {
    load_loopbacks(&[(NODE, "door")]);
}

/// Several of them: each one's node, and the name it gives itself.
pub fn load_loopbacks(cameras: &[(&str, &str)]) {
    let list = |of: fn(&(&str, &str)) -> String| cameras.iter().map(of).collect::<Vec<_>>().join(",");
    let numbers = list(|(node, _)| node.trim_start_matches("/dev/video").to_owned());
    let (labels, caps) = (list(|(_, label)| (*label).to_owned()), list(|_| "1".to_owned()));
    let count = cameras.len();
    sh(&format!(
        "insmod {SHARED}/modules/v4l2loopback.ko devices={count} video_nr={numbers} exclusive_caps={caps} \
         card_label={labels}"
    ))
    .done();
    gate::wait("the cameras' nodes", || cameras.iter().all(|(node, _)| Path::new(node).exists()));
    gate::sh("udevadm settle").done();
}

/// A file of the shared folder.
pub fn shared(name: &str) -> PathBuf {
    Path::new(SHARED).join(name)
}

/// Runs this guest's tests that `wanted.txt` names, all of them if it is empty.
pub fn run() -> ExitCode {
    let wanted = std::fs::read_to_string(shared("wanted.txt")).unwrap_or_default();
    let wanted: Vec<String> = wanted.lines().map(str::to_owned).collect();
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    println!("RIG seed {seed}");
    std::panic::set_hook(Box::new(|_| {}));
    let mut rig = match catch_unwind(|| Rig::plug_in(u64::from(seed))) {
        Ok(rig) => rig,
        Err(why) => {
            println!("RIG FAIL 0.00 hardware — {}", words(why.as_ref()));
            println!("RIG end");
            return ExitCode::FAILURE;
        }
    };
    let mut all_well = true;
    let from = said(FROM);
    for (number, (name, test)) in TESTS[said(NUMBER)].iter().enumerate() {
        // Without the package there is nothing to test.
        if number > 0 && (number < from || !is_wanted(&wanted, name)) {
            continue;
        }
        println!("RIG try {name}");
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if number > 0 {
                rig.usual();
            }
            test(&mut rig)
        }));
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(facts) => println!("RIG ok {seconds:.2} {name} — {facts}"),
            Err(why) => {
                all_well = false;
                rig.reconfigured = true;
                println!("RIG FAIL {seconds:.2} {name} — {}", words(why.as_ref()));
                for line in journal(12).lines() {
                    println!("    journal: {line}");
                }
            }
        }
        if number == 0 && !all_well {
            break;
        }
    }
    let openings = rig.wire.openings(0);
    let longest = rig.wire.pulses().into_iter().max().unwrap_or_default();
    println!("RIG wire {openings} {}", longest.as_millis());
    println!("RIG end");
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A number on the kernel's command line.
fn said(what: &str) -> usize {
    let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    line.split_whitespace().find_map(|word| word.strip_prefix(what)?.parse().ok()).unwrap_or(0)
}

/// A panic's words, in one line.
fn words(why: &(dyn Any + Send)) -> String {
    let text = why.downcast_ref::<String>().cloned().or_else(|| why.downcast_ref::<&str>().map(|s| (*s).to_owned()));
    text.unwrap_or_default().replace('\n', " | ")
}

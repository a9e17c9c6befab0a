//! `check`, the doctor: everything the gate needs, a line each, and what to do about what fails and next.
//!
//! Beside a running gate it touches nothing that the gate uses: its line is not opened, and a camera that is busy is in use.

use crate::events::rfc3339;
use crate::noted;
use crate::walk::{Found, next};
use anyhow::{Context, Result, bail};
use gate_config::{FpirUnmet, LivenessMode};
use gate_hal::{
    CameraSpec, Clock, Frame, OutputSpec, SystemClock, board, describe_camera, is_synchronised, open, open_output,
};
use gate_site::Site;
use gate_vision::Vision;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long the camera may take to its first frame.
const FIRST_FRAME: Duration = Duration::from_secs(5);

/// One finding.
struct Finding {
    what: &'static str,
    outcome: Result<String>,
}

/// Checks everything; `false` when something fails.
///
/// # Errors
/// When standard output is closed.
pub fn check(config: Option<&Path>, store: Option<&Path>, as_json: bool) -> Result<bool> {
    let mut findings = vec![Finding { what: "board", outcome: Ok(board()) }];
    let running = noted::running();
    let mut found = Found { running: running.is_some(), ..Found::default() };
    match Site::load(config, store) {
        Ok(site) => {
            let file = site.file.as_ref().map_or_else(|| "built-in defaults".into(), |f| f.display().to_string());
            findings.push(Finding { what: "config", outcome: Ok(file) });
            findings.extend(check_site(&site, running.as_ref(), &mut found.people));
            look_around(&site, &mut found);
        }
        Err(e) => findings.push(Finding { what: "config", outcome: Err(e.into()) }),
    }
    found.failed = findings.iter().filter(|f| f.outcome.is_err()).map(|f| f.what).collect();
    tell(&findings, &next(&found), as_json);
    Ok(found.failed.is_empty())
}

fn tell(findings: &[Finding], next: &[String], as_json: bool) {
    let sound = findings.iter().all(|f| f.outcome.is_ok());
    if as_json {
        let all: Vec<_> = findings
            .iter()
            .map(|f| match &f.outcome {
                Ok(found) => json!({"what": f.what, "ok": true, "found": found}),
                Err(e) => json!({"what": f.what, "ok": false, "error": format!("{e:#}")}),
            })
            .collect();
        println!("{:#}", json!({"ok": sound, "checks": all, "next": next}));
        return;
    }
    for finding in findings {
        match &finding.outcome {
            Ok(found) => println!("ok    {:<8} {}", finding.what, gate_cli::line(found)),
            Err(e) => println!("FAIL  {:<8} {e:#}", finding.what),
        }
    }
    println!("{}", if sound { "all is well: the gate can run" } else { "the gate cannot run like this" });
    println!("\nwhat to do next:");
    for (number, step) in next.iter().enumerate() {
        println!("{:>3}. {step}", number + 1);
    }
}

/// What the next steps depend on, beside what fails.
fn look_around(site: &Site, found: &mut Found) {
    let config = &site.config;
    found.file.clone_from(&site.file);
    found.simulated = matches!(site.relay_spec(), Ok(OutputSpec::Simulated { .. }));
    found.replay = matches!(site.camera_spec(), Ok(CameraSpec::Replay(_)));
    found.lamps = config.lamps.green_line.is_some() || config.lamps.red_line.is_some();
    found.open_to_pictures = config.liveness.mode == LivenessMode::Off;
    found.unpinned = config.camera.identity.is_none() && is_usb_camera(site);
    found.store = site.store_dir().join("people.db").exists();
}

/// Whether the configured camera is a USB camera that is there.
fn is_usb_camera(site: &Site) -> bool {
    match site.camera_spec() {
        Ok(CameraSpec::Nokhwa(node) | CameraSpec::V4l(node)) => {
            describe_camera(&node).is_ok_and(|camera| camera.identity.is_usb())
        }
        _ => false,
    }
}

fn check_site(site: &Site, running: Option<&(u32, OutputSpec)>, people: &mut Option<usize>) -> Vec<Finding> {
    let mut vision = site.vision();
    let runtime = match &vision {
        Ok(v) => Ok(format!("{}, {}", v.runtime_path().display(), site.vision_options().session.provider.name())),
        Err(e) => Err(anyhow::anyhow!("{e}")),
    };
    let models = match &mut vision {
        Ok(v) => check_models(site, v),
        Err(_) => Err(anyhow::anyhow!("not tried, since the networks could not be loaded")),
    };
    let liveness = match &vision {
        Ok(v) => check_liveness(site, v),
        Err(_) => Err(anyhow::anyhow!("not tried, since the networks could not be loaded")),
    };
    let store = check_store(site, vision.as_ref().ok(), people);
    let clock = check_clock(site);
    let camera = check_camera(site).or_else(|e| match running {
        Some((pid, _)) if is_busy(&e) => {
            Ok(format!("{}, in use by the running gate (process {pid})", site.config.camera.source))
        }
        _ => Err(e),
    });
    vec![
        Finding { what: "runtime", outcome: runtime },
        Finding { what: "models", outcome: models },
        Finding { what: "liveness", outcome: liveness },
        Finding { what: "store", outcome: store },
        Finding { what: "clock", outcome: clock },
        Finding { what: "camera", outcome: camera },
        Finding { what: "relay", outcome: check_relay(site, running) },
    ]
}

/// Whether the system says that somebody else has it (EBUSY), and not that this user may not. Of the makers only some keep
/// the error's number, all of them its words.
fn is_busy(error: &anyhow::Error) -> bool {
    format!("{error:#}").to_lowercase().contains("resource busy")
}

fn check_models(site: &Site, vision: &mut Vision) -> Result<String> {
    let grey = vec![127u8; 320 * 256 * 3];
    let picture = gate_core::picture::Rgb::new(&grey, 320, 256).context("an empty picture")?;
    vision.detect(picture)?;
    site.vision_options().check_weights(None)?;
    let config = &site.config.vision;
    let card = vision.encoder().card();
    let licence = if card.research_only { ", RESEARCH ONLY" } else { "" };
    Ok(format!(
        "{} finds faces, {} encodes ({}{licence}); hashes as on their cards",
        config.detector, card.name, card.licence
    ))
}

fn check_liveness(site: &Site, vision: &Vision) -> Result<String> {
    let section = &site.config.liveness;
    let by_frames = match (site.liveness(vision)?, &section.calibration) {
        (None, _) => "the frames are not asked".to_owned(),
        (Some(network), None) => format!("{} by its card, not calibrated for this site", network.card().name),
        (Some(_), Some(file)) => format!("this site's classifier, {}", file.display()),
    };
    Ok(match section.mode {
        LivenessMode::Off => "OFF: a photograph of an enrolled person opens the gate".into(),
        LivenessMode::Passive => by_frames,
        LivenessMode::Active => "the lamp of [light] is asked".into(),
        LivenessMode::Both => format!("{by_frames}; and the lamp of [light]"),
    })
}

fn check_store(site: &Site, vision: Option<&Vision>, people: &mut Option<usize>) -> Result<String> {
    let store = site.open_store_read_only()?;
    let report = store.check()?;
    *people = Some(report.people);
    if let Some(why) = &report.rolled_back {
        bail!("{why}");
    }
    if !report.is_sound() {
        bail!(
            "{} is not sound: {:?}, damaged people: {:?}, people whose old rows came back: {:?}; enrol them \
             again, or put a backup back with `enroll-tool restore`",
            site.store_dir().display(),
            report.structure,
            report.damaged,
            report.erased
        );
    }
    let mut found =
        format!("{}, {} people, {} references", site.store_dir().display(), report.people, report.references);
    if let Some(vision) = vision {
        let encoder = vision.encoder().card();
        let members = site.members(&store, encoder, &site.comparer(encoder)?)?;
        if report.unconfirmed > 0 {
            found += &format!(", {} of them with a picture not confirmed", report.unconfirmed);
        }
        if members.people_count() < report.people {
            found += &format!(", only {} of them by this encoder", members.people_count());
        }
        found += &format!("; {} ({})", members.tau().explain(), members.comparer().measured_on());
        if !members.tau().target_met() && site.config.policy.fpir_unmet == FpirUnmet::Refuse {
            bail!("{found}. [policy] fpir_unmet = \"refuse\": the gate will not open");
        }
    }
    Ok(found)
}

/// Whether the clock, by which admissions end, can be right.
fn check_clock(site: &Site) -> Result<String> {
    let known = site.known_times(site.open_store_read_only().ok().as_ref());
    let clock = known.check(SystemClock::new().wall_ms());
    let now = rfc3339(clock.wall_ms);
    if let Some((known_ms, how)) = known.newest().filter(|_| clock.is_behind()) {
        bail!(
            "{now} is {} s before {}, when {how}: nobody whose admission ends is let in. Set the clock (`timedatectl`). If \
             it is right and was wrong before: `enroll-tool clock --accept`",
            clock.behind_ms() / 1_000,
            rfc3339(known_ms)
        );
    }
    Ok(match is_synchronised() {
        Some(true) => format!("{now}, synchronised"),
        Some(false) => format!(
            "{now}, NOT synchronised: no time source disciplines it, and admissions end by it; see `timedatectl \
             timesync-status`, or give the board a clock battery"
        ),
        None => format!("{now}; the kernel does not say whether a time source disciplines it"),
    })
}

fn check_camera(site: &Site) -> Result<String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let spec = site.camera_spec()?;
    let mut camera = open(&spec, &site.camera_options()?, &clock)?;
    let mut frame = Frame::empty();
    camera.next_frame(&mut frame, FIRST_FRAME)?;
    let pinned = match (camera.identity(), &site.config.camera.identity) {
        (Some(identity), Some(_)) => format!("; pinned, {identity}"),
        (Some(identity), None) if identity.is_usb() => {
            "; NOT PINNED: any camera that is plugged in here is trusted; run gate-daemon devices --pin".to_owned()
        }
        _ => String::new(),
    };
    let luma = frame.rgb.iter().map(|b| u64::from(*b)).sum::<u64>() / frame.rgb.len().max(1) as u64;
    Ok(format!(
        "{}; a frame of {}x{}, mean brightness {luma} of 255{pinned}",
        camera.describe(),
        frame.width_px,
        frame.height_px
    ))
}

fn check_relay(site: &Site, running: Option<&(u32, OutputSpec)>) -> Result<String> {
    let spec = site.relay_spec()?;
    if let Some((pid, _)) = running.filter(|(_, driven)| *driven == spec) {
        // Opening it would lock it, in the middle of a pulse perhaps.
        return Ok(format!("{}, in use by the running gate (process {pid})", describe(&spec)));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let relay = open_output(&spec, "relay", Arc::clone(&clock))?;
    let mut found = format!("{}, locked; try it with the wire off: gate-daemon relay pulse", relay.describe());
    if running.is_some() {
        found += "; the running gate drives another line until it is restarted";
    }
    let light = site.light_spec()?.map(|spec| ("light", spec));
    let alarm = site.alarm_spec()?.map(|spec| ("alarm", spec));
    for (name, spec) in site.lamp_specs()?.into_iter().chain(light).chain(alarm) {
        let what = if name == "alarm" { "alarm".to_owned() } else { format!("{name} lamp") };
        match open_output(&spec, name, Arc::clone(&clock)).map_err(anyhow::Error::from) {
            Ok(output) => found += &format!("; {what} {}", output.describe()),
            Err(e) if running.is_some() && is_busy(&e) => found += &format!("; {what} in use by the running gate"),
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

fn describe(spec: &OutputSpec) -> String {
    match spec {
        OutputSpec::Simulated { .. } => "simulated".into(),
        OutputSpec::Gpiocdev { chip, line, .. } => format!("{} line {line}", chip.display()),
        OutputSpec::Rppal { line, .. } => format!("BCM line {line}"),
    }
}

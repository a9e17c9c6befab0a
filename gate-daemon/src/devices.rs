//! `devices`: what this machine has, and which camera the gate shall trust.

use crate::pin;
use anyhow::Result;
use gate_hal::{board, describe_camera, list_cameras, list_gpio_chips};
use gate_site::{Site, SiteError};
use serde_json::json;
use std::path::Path;

#[derive(clap::Args)]
pub struct DevicesArgs {
    /// One JSON document instead of lines.
    #[arg(long, conflicts_with_all = ["pin", "usbguard"])]
    json: bool,
    /// Print which camera is behind [camera] source, as [camera] identity: the gate then opens no other.
    #[arg(long)]
    pin: bool,
    /// Write it into the configuration; comments stay. Then: systemctl reload gate-daemon.
    #[arg(long, requires = "pin")]
    write: bool,
    /// Print USBGuard's rules that allow that camera and no keyboard.
    #[arg(long, conflicts_with = "pin")]
    usbguard: bool,
}

impl DevicesArgs {
    /// Whether a file is written.
    pub fn writes(&self) -> bool {
        self.write
    }
}

/// Lists cameras and GPIO chips, or pins the camera.
///
/// # Errors
/// When standard output is closed; when there is no camera to pin.
pub fn devices(args: &DevicesArgs, load: impl FnOnce() -> Result<Site, SiteError>) -> Result<()> {
    match (args.pin, args.usbguard) {
        (true, _) => pin::pin(&load()?, args.write),
        (_, true) => pin::usbguard(&load()?),
        _ => list(args.json),
    }
}

/// Which camera is at a node; `None` where the kernel does not tell.
fn identity(node: &Path) -> Option<String> {
    describe_camera(node).ok().map(|camera| camera.identity.to_string())
}

fn list(as_json: bool) -> Result<()> {
    let (cameras, chips) = (list_cameras(), list_gpio_chips());
    if as_json {
        let cameras: Vec<_> = cameras
            .iter()
            .map(|c| json!({"path": c.path, "name": c.name, "driver": c.driver, "formats": c.formats, "identity": identity(&c.path)}))
            .collect();
        let chips: Vec<_> = chips.iter().map(|c| json!({"path": c.path, "label": c.label, "lines": c.lines})).collect();
        println!("{:#}", json!({"board": board(), "cameras": cameras, "gpio_chips": chips}));
        return Ok(());
    }
    println!("board    {}", board());
    if cameras.is_empty() {
        println!(
            "cameras  none: is it plugged in? on a Pi, is it enabled? may this user read /dev/video* (group video)?"
        );
    }
    for camera in &cameras {
        println!("camera   {}  {} ({})", gate_cli::path(&camera.path), gate_cli::line(&camera.name), camera.driver);
        if let Some(identity) = identity(&camera.path) {
            println!("           {}", gate_cli::line(&identity.to_string()));
        }
        if camera.formats.is_empty() {
            println!("           formats unknown: it may not be opened by this user (group video), or is in use");
        }
        for format in &camera.formats {
            println!("           {}", gate_cli::line(&format.to_string()));
        }
    }
    if chips.is_empty() {
        println!("gpio     none: this machine has no GPIO chip, or its driver is not loaded");
    }
    for chip in &chips {
        println!("gpio     {}  {} ({} lines)", gate_cli::path(&chip.path), gate_cli::line(&chip.label), chip.lines);
    }
    Ok(())
}

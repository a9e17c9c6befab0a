//! `devices`: what this machine has.

use anyhow::Result;
use gate_hal::{board, list_cameras, list_gpio_chips};
use serde_json::json;

/// Lists cameras and GPIO chips.
///
/// # Errors
/// When standard output is closed.
pub fn devices(as_json: bool) -> Result<()> {
    let (cameras, chips) = (list_cameras(), list_gpio_chips());
    if as_json {
        let cameras: Vec<_> = cameras
            .iter()
            .map(|c| json!({"path": c.path, "name": c.name, "driver": c.driver, "formats": c.formats}))
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
        println!("camera   {}  {} ({})", camera.path.display(), camera.name, camera.driver);
        if camera.formats.is_empty() {
            println!("           formats unknown: it may not be opened by this user (group video), or is in use");
        }
        for format in &camera.formats {
            println!("           {format}");
        }
    }
    if chips.is_empty() {
        println!("gpio     none: this machine has no GPIO chip, or its driver is not loaded");
    }
    for chip in &chips {
        println!("gpio     {}  {} ({} lines)", chip.path.display(), chip.label, chip.lines);
    }
    Ok(())
}

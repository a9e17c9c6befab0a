//! `setup`: fetches what is missing, proves that what is there works, and makes it fast on this machine.

use anyhow::{Context, Result, bail};
use gate_core::geometry::CHIP_PX;
use gate_site::Site;
use gate_vision::align::CHIP_BYTES;
use gate_vision::{Provider, Vision};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fetches, checks hashes, runs both networks once, and optimises all for this machine.
///
/// # Errors
/// When something is missing and cannot be fetched, or does not work.
pub fn setup(site: &Site, from: Option<&Path>) -> Result<()> {
    let models = &site.config.vision.models;
    match fetch_script(models) {
        Some(script) => fetch(&script, from)?,
        None if from.is_some() => bail!("fetch.py is not beside {}: reinstall the package", models.display()),
        None => println!("nothing to fetch: this is an installed gate, its files come with the package"),
    }
    let mut vision = load(site)?;
    site.vision_options().check_weights(site.liveness_network())?;
    println!("runtime  {}", vision.runtime_path().display());
    for (name, what) in [(&site.config.vision.detector, "finds faces"), (&site.config.vision.encoder, "encodes")] {
        println!("model    {name}: {what}; hash as on its card");
    }
    let grey = vec![127u8; CHIP_BYTES];
    let side = CHIP_PX as u32;
    let picture = gate_core::picture::Rgb::new(&grey, side, side).context("an empty picture")?;
    let faces = vision.detect(picture)?.len();
    println!(
        "tried    both networks run on {}; {faces} faces on a grey card",
        site.vision_options().session.provider.name()
    );
    Ok(())
}

/// Loads the networks, each kept first in the form that this machine's CPU runs, so that every later start is quick.
fn load(site: &Site) -> Result<Vision> {
    let options = site.vision_options();
    if options.session.provider != Provider::Cpu {
        println!("fast     nothing to do: {} makes its own form of the networks", options.session.provider.name());
        return Ok(site.vision()?);
    }
    Ok(Vision::optimise_and_load(&options, site.liveness_network(), |name, made| match made {
        Some(made) => {
            let megabytes = made.bytes as f64 / 1e6;
            println!("fast     {name}: {megabytes:.1} MB made for this machine, equal to {:.0e}", made.difference);
        }
        None => println!("fast     {name}: made for this machine before"),
    })?)
}

/// The script that fetches, in a checkout or where the package puts it.
fn fetch_script(models: &Path) -> Option<PathBuf> {
    [models.join("../scripts/fetch.py"), PathBuf::from("/usr/share/face-gate/fetch.py")]
        .into_iter()
        .find(|p| p.is_file())
}

fn fetch(script: &Path, from: Option<&Path>) -> Result<()> {
    gate_guard::trusted::check(script)?;
    let mut command = Command::new("python3");
    command.arg(script).args(["--kind", "runtime,model"]);
    if let Some(from) = from {
        command.arg("--from").arg(from);
    }
    let status = command.status().context("python3 cannot be started: apt install python3")?;
    if !status.success() {
        bail!("fetching ended with {status}; what is complete was kept, run it again");
    }
    Ok(())
}

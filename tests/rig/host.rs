//! The host's side: makes the guest, boots it, reads what it tells.

use crate::boot::{Told, guest};
use crate::clips;
use crate::cuts;
use crate::guest::TESTS;
use crate::machine::make_disk;
use crate::report;
use anyhow::{Context, Result, ensure};
use gate_tests::programs::{models, root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What the command line asks for.
pub struct Wishes {
    /// The package; without it the newest in target/debian.
    pub deb: Option<PathBuf>,
    /// How often the power is cut.
    pub cuts: usize,
    /// Only tests whose names contain one of these.
    pub only: Vec<String>,
}

/// What both kinds of machines are made of.
pub struct Workshop {
    /// Where everything is made.
    pub dir: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The folder that the guests see.
    pub shared: PathBuf,
    /// The guest's files, before anything of ours is in them.
    pub root: PathBuf,
    /// The disk of the guests that have systemd; each keeps its changes to itself.
    pub disk: PathBuf,
    /// The package.
    pub deb: PathBuf,
}

/// Everything; `false` when a test has failed.
pub fn run(wishes: &Wishes) -> Result<bool> {
    let start = Instant::now();
    let shop = Workshop::open(wishes)?;
    let numbers: Vec<usize> = (0..TESTS.len()).filter(|number| has_work(&wishes.only, *number)).collect();
    if !numbers.is_empty() {
        make_disk(&shop.root, &shop.disk, 1_536)?;
    }
    println!("rig: made ready in {:.1} s", start.elapsed().as_secs_f32());
    let (guests, cut) = std::thread::scope(|scope| {
        let cuts = (wishes.cuts > 0 && is_wanted(&wishes.only, cuts::NAME))
            .then(|| scope.spawn(|| cuts::run(&shop, wishes.cuts)));
        let shop = &shop;
        let guests: Vec<_> = numbers.iter().map(|number| scope.spawn(move || guest(shop, *number))).collect();
        let guests: Vec<_> = guests.into_iter().map(|thread| thread.join().expect("the thread of a guest")).collect();
        (guests, cuts.map(|thread| thread.join().expect("the thread of the cuts")))
    });
    let mut all = Told::default();
    for told in guests {
        all.add(told?);
    }
    let Told { mut outcomes, openings, longest_ms, silences } = all;
    outcomes.extend(cut.transpose()?);
    let failed = outcomes.iter().filter(|outcome| !outcome.ok).count();
    let summary = format!(
        "{} of {} tests held, {:.0} s in all, on a real kernel with v4l2loopback, vivid and gpio-sim. The relay's lines \
         went on {openings} times, for {longest_ms} ms at the longest.{}",
        outcomes.len() - failed,
        outcomes.len(),
        start.elapsed().as_secs_f32(),
        silences.concat()
    );
    println!("rig: {summary}");
    let page = shop.dir.join("report.html");
    report::write(&page, &outcomes, &summary)?;
    println!("rig: {}", page.display());
    Ok(failed == 0)
}

/// Whether a guest has anything to do. Every guest installs the package; for that alone the first will do.
fn has_work(only: &[String], number: usize) -> bool {
    TESTS[number].iter().skip(usize::from(number > 0)).any(|(name, _)| is_wanted(only, name))
}

/// Whether a test is asked for; without a wish all are.
pub fn is_wanted(only: &[String], name: &str) -> bool {
    only.is_empty() || only.iter().any(|word| name.contains(word.as_str()))
}

impl Workshop {
    fn open(wishes: &Wishes) -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "a guest's files have many owners: run as root (sudo make rig)");
        let dir = root().join("target/rig");
        let shared = dir.join("shared");
        fs::create_dir_all(&shared)?;
        let deb = wishes.deb.clone().map_or_else(newest_deb, Ok)?;
        let (kernel, root, disk) = (dir.join("kernel/linux-uml"), dir.join("root"), dir.join("guest.img"));
        let shop = Self { kernel, root, disk, shared, deb, dir };
        script("kernel.sh", &shop.dir.join("kernel"))?;
        script("root.sh", &shop.root)?;
        shop.fill_shared()?;
        fs::write(shop.shared.join("wanted.txt"), wishes.only.join("\n"))?;
        Ok(shop)
    }

    /// Puts in the folder what the guests need.
    fn fill_shared(&self) -> Result<()> {
        let shared = &self.shared;
        copy(&std::env::current_exe()?, &shared.join("gate-rig"))?;
        clips::render(&shared.join("clips"))?;
        for (from, to) in [(self.dir.join("kernel/modules"), "modules"), (models().join("cache/samples"), "samples")] {
            let to = shared.join(to);
            fs::create_dir_all(&to)?;
            for file in fs::read_dir(&from).with_context(|| from.display().to_string())?.flatten() {
                copy(&file.path(), &to.join(file.file_name()))?;
            }
        }
        repacked(&self.deb, &shared.join("face-gate.deb"), "")?;
        repacked(&self.deb, &shared.join("face-gate-newer.deb"), "+rig")
    }
}

/// Copies a file unless it is there already, as it is.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let is_same = |a: fs::Metadata, b: fs::Metadata| {
        a.len() == b.len() && a.modified().ok().zip(b.modified().ok()).is_some_and(|(a, b)| a <= b)
    };
    if fs::metadata(from).ok().zip(fs::metadata(to).ok()).is_some_and(|(a, b)| is_same(a, b)) {
        return Ok(());
    }
    let _ = fs::remove_file(to);
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn script(name: &str, folder: &Path) -> Result<()> {
    let path = root().join("tests/rig").join(name);
    let status = Command::new(&path).arg(folder).status().with_context(|| path.display().to_string())?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}

fn newest_deb() -> Result<PathBuf> {
    let folder = root().join("target/debian");
    let debs = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    debs.filter(|path| path.to_string_lossy().ends_with("_amd64.deb"))
        .max_by_key(|path| fs::metadata(path).and_then(|m| m.modified()).ok())
        .with_context(|| format!("no package in {}: make deb", folder.display()))
}

/// The same package with something after its version, and without compression: the guests would unpack it four times.
fn repacked(deb: &Path, to: &Path, version: &str) -> Result<()> {
    // It bears the time of what it was made from: an older package is another one, too.
    let made = |file: &Path| fs::metadata(file).and_then(|m| m.modified()).ok();
    if made(to) == made(deb) {
        return Ok(());
    }
    let work = to.with_extension("files");
    let steps = "set -e; rm -rf \"$2\"; dpkg-deb -R \"$1\" \"$2\"; sed -i \"s/^Version: .*/&$4/\" \"$2/DEBIAN/control\"; \
                 dpkg-deb -Znone -b \"$2\" \"$3\" >/dev/null; touch -r \"$1\" \"$3\"; \
                 rm -r \"$2\"";
    let status = Command::new("sh").args(["-c", steps, "sh"]).args([deb, work.as_path(), to]).arg(version).status()?;
    ensure!(status.success(), "{} could not be packed anew", deb.display());
    Ok(())
}

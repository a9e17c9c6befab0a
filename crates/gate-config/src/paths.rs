//! Relative paths mean the file's own folder, whoever starts the program from wherever.

use std::path::{Path, PathBuf};

use crate::Config;

/// Where a package puts the model cards.
const INSTALLED: &str = "/usr/share/face-gate";

impl Config {
    /// Makes every path of a file that lies in `folder` independent of the working folder's whereabouts.
    pub(crate) fn resolve(&mut self, folder: &Path) {
        self.folder = folder.to_owned();
        if let Some(path) = self.camera.source.strip_prefix("replay:") {
            self.camera.source = format!("replay:{}", folder.join(path).display());
        }
        if let Some(path) = self.metrics.listen.as_deref().and_then(|listen| listen.strip_prefix("unix:")) {
            self.metrics.listen = Some(format!("unix:{}", folder.join(path).display()));
        }
        let paths = [
            &mut self.relay.trace,
            &mut self.vision.runtime,
            &mut self.policy.calibration,
            &mut self.liveness.calibration,
            &mut self.store.key_file,
            &mut self.events.file,
        ];
        for path in paths.into_iter().flatten().filter(|path| path.as_os_str() != "-") {
            *path = folder.join(&*path);
        }
        self.relay.chip = folder.join(&self.relay.chip);
        self.store.dir = folder.join(&self.store.dir);
        self.vision.models = models(folder, &self.vision.models);
    }
}

/// The first place that has the cards: beside the file, above it (a checkout's `config/`), installed, working folder.
fn models(folder: &Path, named: &Path) -> PathBuf {
    let beside = folder.join(named);
    let above = folder.parent().unwrap_or(folder).join(named);
    let places = [&beside, &above, &Path::new(INSTALLED).join(named), &named.to_owned()];
    places.into_iter().find(|place| place.is_dir()).unwrap_or(&beside).clone()
}

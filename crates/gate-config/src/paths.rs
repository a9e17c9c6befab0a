//! Relative paths mean the file's own folder, whoever starts the program from wherever.

use std::path::{Path, PathBuf};

use crate::Config;

/// Where a package puts the model cards.
const INSTALLED: &str = "/usr/share/face-gate";

impl Config {
    /// Makes every path of a file that lies in `folder` independent of the working folder's whereabouts. `None`: there is
    /// no file.
    pub(crate) fn resolve(&mut self, file_folder: Option<&Path>) {
        let folder = file_folder.unwrap_or(Path::new(""));
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
        self.vision.models = models(file_folder, &self.vision.models, gate_guard::trusted::acts_for_root());
    }
}

/// The first place that has the cards: beside the file, above it (a checkout's `config/`), installed, working folder.
/// Not the working folder for root, who may have been led there: a card names what is run.
fn models(folder: Option<&Path>, named: &Path, for_root: bool) -> PathBuf {
    let installed = Path::new(INSTALLED).join(named);
    let mut places = Vec::new();
    if let Some(folder) = folder {
        places.push(folder.join(named));
        places.push(folder.parent().unwrap_or(folder).join(named));
    }
    places.push(installed);
    if !for_root {
        places.push(named.to_owned());
    }
    let found = places.iter().position(|place| place.is_dir()).unwrap_or(0);
    places.swap_remove(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_models_are_never_those_of_the_working_folder() {
        // The working folder of this test is the crate's, which has a `src`.
        let (named, installed) = (Path::new("src"), Path::new(INSTALLED).join("src"));
        assert!(named.is_dir() && !installed.exists());
        assert_eq!(models(None, named, false), named);
        assert_eq!(models(None, named, true), installed);
        // Beside a file that is named, whoever names it: what lies there is examined when it is read.
        assert_eq!(models(Some(Path::new("")), named, true), named);
        assert_eq!(models(Some(Path::new("tests")), named, true), named);
        let none = Path::new("none");
        assert_eq!(
            models(Some(Path::new("tests")), none, true),
            Path::new("tests/none"),
            "the place to say it is missing"
        );
    }
}

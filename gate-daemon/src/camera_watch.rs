//! What a change of the camera's state means for the gate: which fault, whether somebody tampers, and when a fault that
//! staff must clear is cleared.
//!
//! ```text
//!            another camera                    reload                  first frame of the pinned one
//!   sound ───────────────────▶ camera_changed ────────▶ looked at anew ───────────────────────────▶ sound
//!                                    ▲                        │ another one, or none
//!                                    └────────────────────────┘
//! ```
//! Only root can reload the gate. So somebody who may open the machine has seen that the right camera is back, or has
//! pinned the new one.

use gate_core::gate::Fault;
use gate_hal::{CameraIdentity, CameraState};

/// What the daemon knows about its camera beyond the last frame.
#[derive(Debug, Default)]
pub struct CameraWatch {
    /// A reload has asked to look at the camera anew.
    pardon: bool,
    /// Whether the last state was a doubt about its frames.
    doubted: bool,
    /// Whether it was said that nothing is pinned.
    warned: bool,
}

/// What follows from a state.
#[derive(Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The state's name in the event log; `None` when it was told already.
    pub name: Option<&'static str>,
    /// What it is, or what is wrong.
    pub detail: &'a str,
    /// What keeps the gate locked from now on.
    pub faults: &'static [Fault],
    /// Somebody interferes with the camera.
    pub tampered: bool,
    /// The pinned camera is there, and staff have asked for it.
    pub pardoned: bool,
}

impl CameraWatch {
    /// A reload while a changed camera keeps the gate locked: the next state decides.
    pub fn look_anew(&mut self) {
        self.pardon = true;
    }

    /// Whether to say now that any USB camera is trusted.
    pub fn is_unpinned(&mut self, state: &CameraState, pinned: Option<&CameraIdentity>) -> bool {
        let CameraState::Opened { identity: Some(identity), .. } = state else { return false };
        identity.is_usb() && pinned.is_none() && !std::mem::replace(&mut self.warned, true)
    }

    /// Takes a state in.
    pub fn take<'a>(&mut self, state: &'a CameraState) -> Change<'a> {
        let doubted = matches!(state, CameraState::Suspect { .. });
        let is_old = std::mem::replace(&mut self.doubted, doubted) && doubted;
        let pardon = std::mem::take(&mut self.pardon);
        let (name, detail, faults, tampered): (_, &str, &[Fault], _) = match state {
            CameraState::Opened { describe, .. } => ("opened", describe, &[], false),
            CameraState::Lost { why, unplugged } => ("lost", why, &[Fault::Camera], *unplugged),
            CameraState::Changed { why } => ("changed", why, &[Fault::Camera, Fault::CameraChanged], true),
            CameraState::Suspect { why } => ("suspect", why, &[Fault::Camera], true),
        };
        let pardoned = pardon && matches!(state, CameraState::Opened { .. });
        Change { name: (!is_old).then_some(name), detail, faults, tampered, pardoned }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn opened(identity: Option<&str>) -> CameraState {
        CameraState::Opened { describe: "a camera".into(), identity: identity.map(|text| text.parse().unwrap()) }
    }

    fn lost(unplugged: bool) -> CameraState {
        CameraState::Lost { why: "no frames".into(), unplugged }
    }

    fn changed() -> CameraState {
        CameraState::Changed { why: "another one".into() }
    }

    fn suspect() -> CameraState {
        CameraState::Suspect { why: "a recording".into() }
    }

    #[test]
    fn an_unplugged_camera_is_tampering_and_a_silent_one_is_not() {
        let mut watch = CameraWatch::default();
        let (silent, unplugged) = (lost(false), lost(true));
        assert!(!watch.take(&silent).tampered);
        let change = watch.take(&unplugged);
        assert!(change.tampered);
        assert_eq!((change.name, change.faults), (Some("lost"), &[Fault::Camera][..]));
    }

    #[test]
    fn a_changed_camera_is_pardoned_only_by_a_reload_while_the_pinned_one_is_there() {
        let mut watch = CameraWatch::default();
        let change = changed();
        let change = watch.take(&change);
        assert!(change.tampered && change.faults.contains(&Fault::CameraChanged));
        // The right one is back, and nobody has looked.
        assert!(!watch.take(&opened(None)).pardoned);
        // Somebody reloads while it is away, silent or another one.
        for state in [changed(), lost(false), lost(true), suspect()] {
            watch.look_anew();
            assert!(!watch.take(&state).pardoned);
            assert!(!watch.take(&opened(None)).pardoned, "the reload is used up: {state:?}");
        }
        watch.look_anew();
        assert!(watch.take(&opened(None)).pardoned);
        assert!(!watch.take(&opened(None)).pardoned);
    }

    #[test]
    fn a_doubt_that_goes_on_is_one_event_and_keeps_the_alarm() {
        let mut watch = CameraWatch::default();
        let doubt = suspect();
        assert_eq!(watch.take(&doubt).name, Some("suspect"));
        let again = watch.take(&doubt);
        assert!(again.name.is_none() && again.tampered);
        watch.take(&opened(None));
        assert_eq!(watch.take(&doubt).name, Some("suspect"));
    }

    #[test]
    fn a_usb_camera_that_is_not_pinned_is_warned_of_once() {
        let mut watch = CameraWatch::default();
        let usb = opened(Some("usb:046d:0825:A@x/1"));
        let pinned = "usb:046d:0825:A@x/1".parse().unwrap();
        assert!(!watch.is_unpinned(&lost(false), None) && !watch.is_unpinned(&opened(None), None));
        assert!(!watch.is_unpinned(&opened(Some("device:csi@platform/csi")), None), "nobody unplugs that one");
        assert!(!watch.is_unpinned(&usb, Some(&pinned)));
        assert!(watch.is_unpinned(&usb, None));
        assert!(!watch.is_unpinned(&usb, None), "once");
    }
}

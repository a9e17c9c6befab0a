//! Whether the pictures of a person show that person alone.
//!
//! A picture that is handed in can be a blend of two people, and then both match it. So it counts as confirmed only when the
//! person stood before a camera, live, and the live face agrees with it much more closely than the gate asks for.
//!
//! ```text
//!  who                    what is there                     confirmed
//!  somebody new           pictures                          no
//!                         a live face                       yes
//!                         pictures and a live face          yes where all agree, else refused
//!  somebody enrolled      further pictures                  as before where all agree with all references, else no
//!                         a live face                       as before, or yes where it agrees with all references
//! ```

use crate::desk::Desk;
use crate::enrol::{Enroller, Reference};
use crate::refusal::refuse;
use anyhow::Result;
use gate_hal::CameraSpec;
use gate_store::Person;
use gate_vision::Comparer;

/// The false match rate at which the live face must agree with a picture.
///
/// See docs/ACCURACY.md for how many blends and how many honest people pass at it.
pub const AGREE_FMR: f64 = 1e-6;

/// The largest d² at which two pictures agree.
#[must_use]
pub fn agree_d2(comparer: &Comparer) -> f32 {
    comparer.impostors().threshold(AGREE_FMR, 1).tau
}

/// The largest d² of two frames of one face in one take: half of that, since light and camera are the same.
#[must_use]
pub fn take_d2(comparer: &Comparer) -> f32 {
    agree_d2(comparer) / 2.0
}

/// What was taken to enrol somebody with.
pub struct Taken {
    /// References made from pictures.
    pub pictures: Vec<Reference>,
    /// The one that a camera took.
    pub camera: Option<Seen>,
}

/// A reference that a camera took.
pub struct Seen {
    /// The reference.
    pub reference: Reference,
    /// Whether the camera was a real one and the face live.
    pub is_live: bool,
}

impl Taken {
    /// The live face.
    fn live(&self) -> Option<&Reference> {
        self.camera.as_ref().filter(|seen| seen.is_live).map(|seen| &seen.reference)
    }

    /// All references, the camera's last.
    #[must_use]
    pub fn references(self) -> Vec<Reference> {
        let mut references = self.pictures;
        references.extend(self.camera.map(|seen| seen.reference));
        references
    }
}

/// Whether a person is confirmed with what was taken; see the table above. `before`: the person, if enrolled.
///
/// # Errors
/// The refusal of a picture that does not agree with the live face.
pub fn judge(enroller: &Enroller, taken: &Taken, before: Option<&Person>) -> Result<bool> {
    let agree = |a: &Reference, b: &Reference| enroller.agree(a, b);
    let was_confirmed = before.is_some_and(|person| person.confirmed);
    let Some(live) = taken.live() else {
        let of_camera = taken.camera.as_ref().map(|seen| &seen.reference);
        let mut new = taken.pictures.iter().chain(of_camera);
        return Ok(was_confirmed && new.all(|reference| before.is_some_and(|p| enroller.agrees_with_all(p, reference))));
    };

    if let Some(picture) = taken.pictures.iter().find(|picture| !agree(picture, live)) {
        return Err(refuse(format!(
            "{}: does not show the person before the camera clearly enough: it may be old, retouched, or a blend of two \
             people. Give another picture, or enrol by the camera alone",
            picture.source
        )));
    }
    Ok(was_confirmed || before.is_none_or(|person| enroller.agrees_with_all(person, live)))
}

/// Whether what a camera shows may confirm anybody: a recording may only where the gate itself runs on one.
///
/// # Errors
/// When the configured camera's name is of no known form.
pub fn counts(desk: &Desk, spec: &CameraSpec) -> Result<bool> {
    let is_recording = |spec: &CameraSpec| matches!(spec, CameraSpec::Replay(_));
    Ok(!is_recording(spec) || is_recording(&desk.site.camera_spec()?))
}

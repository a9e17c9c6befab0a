//! Enrolling: from pictures to references, with everything that is checked before anything is stored.

use crate::args::Add;
use crate::camera;
use crate::clock;
use crate::confirm::{self, Seen, Taken};
use crate::desk::{Desk, count};
use crate::face::{self, QualityJson};
use crate::inputs;
use crate::known::Known;
use crate::life::Life;
use crate::refusal::{Exit, refuse, refuse_face};
use crate::scores::Scores;
use crate::when::{When, Zone};
use anyhow::Result;
use gate_core::picture::Rgb;
use gate_core::policy::QualityPolicy;
use gate_core::quality::Quality;
use gate_core::reason::Reason;
use gate_hal::CameraSpec;
use gate_site::Site;
use gate_store::{Admission, MAX_REFERENCES, NewPerson, NewReference, Person, Store, StoreError};
use gate_vision::{Comparer, Portrait, Vision};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A reference that may be stored.
pub struct Reference {
    /// Where it came from, for messages.
    pub source: String,
    /// The encoder's output.
    pub vector: Vec<f32>,
    /// What was measured.
    pub quality: Quality,
    /// The face's picture, if it is to be kept.
    pub picture: Option<Vec<u8>>,
}

impl Reference {
    /// As the store takes it.
    #[must_use]
    pub fn to_store<'a>(&'a self, encoder_sha256: &'a str) -> NewReference<'a> {
        NewReference { encoder_sha256, vector: &self.vector, picture: self.picture.as_deref() }
    }
}

/// Turns pictures into references and refuses what must not be one.
pub struct Enroller {
    site: Site,
    vision: Vision,
    comparer: Arc<Comparer>,
    known: Known,
    policy: QualityPolicy,
    keep_picture: bool,
    allow_duplicate: bool,
    scores: Scores,
}

impl Enroller {
    /// Loads the networks and everybody who is enrolled.
    ///
    /// # Errors
    /// When either cannot be had.
    pub fn new(desk: &Desk, store: &Store, keep_picture: bool, allow_duplicate: bool) -> Result<Self> {
        let site = desk.site.clone();
        let vision = site.vision()?;
        let encoder = vision.encoder().card();
        let comparer = site.comparer(encoder)?;
        let members = site.members(store, encoder, &comparer)?;
        let policy = site.config.enrol_quality();
        let keep_picture = keep_picture || site.config.enrol.keep_picture;
        Ok(Self {
            known: Known::new(&members),
            scores: desk.scores,
            site,
            comparer,
            vision,
            policy,
            keep_picture,
            allow_duplicate,
        })
    }

    /// The encoder's hash, which goes with every reference.
    #[must_use]
    pub fn encoder_sha256(&self) -> String {
        self.vision.encoder().card().encoder_sha256()
    }

    /// What an enrolment picture must be like.
    #[must_use]
    pub fn policy(&self) -> &QualityPolicy {
        &self.policy
    }

    /// How many references are known.
    #[must_use]
    pub fn known(&self) -> usize {
        self.known.references()
    }

    /// Makes what was accepted known to later checks.
    pub fn remember(&mut self, id: &str, references: &[Reference]) {
        self.known.push(id, references.iter().map(|reference| reference.vector.as_slice()));
    }

    /// The reference in a picture file.
    ///
    /// # Errors
    /// A refusal with advice, or a fault of the networks.
    pub fn file(&mut self, path: &Path) -> Result<Reference> {
        let photo = face::read(path)?;
        let portraits = self.vision.portraits(&photo)?;
        let source = path.display().to_string();
        let portrait = face::choose(&portraits, &self.policy, self.site.config.policy.bystander_ratio);
        let portrait = portrait.map_err(|reason| {
            let quality = portraits.first().map(|portrait| &portrait.quality);
            refuse_face(reason, format!("{source}: {}", face::advice(reason, quality, &self.policy)))
        })?;
        let Some(picture) = photo.view() else { return Err(refuse(format!("{source}: an empty picture"))) };
        self.reference(picture, portrait, source)
    }

    /// The faces of a camera's frame, largest first.
    ///
    /// # Errors
    /// A fault of the networks.
    pub fn portraits(&mut self, frame: Rgb<'_>) -> Result<Vec<Portrait>> {
        let faces = self.vision.detect(frame)?;
        Ok(faces.iter().filter_map(|face| gate_vision::portrait(frame, face)).collect())
    }

    /// A face of a frame, looked at closer.
    ///
    /// # Errors
    /// A fault of the networks.
    pub fn look_closer(&mut self, frame: Rgb<'_>, portrait: Portrait) -> Result<Portrait> {
        Ok(gate_vision::portrait(frame, &self.vision.look_closer(frame, &portrait.face)?).unwrap_or(portrait))
    }

    /// The face to enrol among those of a frame, or why there is none.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn choose<'a>(&self, portraits: &'a [Portrait]) -> Result<&'a Portrait, Reason> {
        face::choose(portraits, &self.policy, self.site.config.policy.bystander_ratio)
    }

    /// Encodes a face that was chosen and looked at closer.
    ///
    /// # Errors
    /// A refusal when too little of it can be made out, or a fault of the networks.
    pub fn reference(&mut self, picture: Rgb<'_>, portrait: &Portrait, source: String) -> Result<Reference> {
        let Some(vector) = self.vector(portrait)? else {
            return Err(refuse_face(Reason::Unclear, format!("{source}: {}", Reason::Unclear.advice())));
        };
        self.reference_of(picture, portrait, vector, source)
    }

    /// The vector of a face that was looked at closer; `None` when too little of it can be made out.
    ///
    /// # Errors
    /// A fault of the networks.
    pub fn vector(&mut self, portrait: &Portrait) -> Result<Option<Vec<f32>>> {
        Ok(self.vision.encode_clear(&portrait.chip)?.map(<[f32]>::to_vec))
    }

    /// The reference that a face's vector makes.
    ///
    /// # Errors
    /// When the picture is to be kept and cannot be encoded.
    pub fn reference_of(
        &self,
        picture: Rgb<'_>,
        portrait: &Portrait,
        vector: Vec<f32>,
        source: String,
    ) -> Result<Reference> {
        let kept = self.keep_picture.then(|| face::kept_picture(picture, &portrait.face.rect)).transpose()?;
        Ok(Reference { source, vector, quality: portrait.quality, picture: kept })
    }

    /// What tells a live face from a picture before this camera; `None` where the site does not ask.
    ///
    /// # Errors
    /// When the network cannot be loaded.
    pub fn life(&self, spec: &CameraSpec) -> Result<Option<Life>> {
        let is_own_camera = *spec == self.site.camera_spec()?;
        let liveness = self.site.enrol_liveness(&self.vision, is_own_camera)?;
        Ok(liveness.map(|liveness| Life::new(liveness, self.site.config.liveness.bpcer_target)))
    }

    /// Whether two vectors are of one face seen twice in a few seconds.
    #[must_use]
    pub fn same_take(&self, a: &[f32], b: &[f32]) -> bool {
        self.comparer.dissimilarity(a, b) <= confirm::take_d2(&self.comparer)
    }

    /// Whether two references agree as closely as a confirmation asks for.
    #[must_use]
    pub fn agree(&self, a: &Reference, b: &Reference) -> bool {
        self.comparer.dissimilarity(&a.vector, &b.vector) <= confirm::agree_d2(&self.comparer)
    }

    /// Whether a reference agrees with every reference of an enrolled person, and all of them can be compared.
    #[must_use]
    pub fn agrees_with_all(&self, person: &Person, reference: &Reference) -> bool {
        let furthest = self.known.furthest_own(&person.id, &reference.vector);
        furthest.is_some_and(|(d2, n)| n == person.references.len() && d2 <= confirm::agree_d2(&self.comparer))
    }

    /// Refuses a reference that is not of the same person as `others`.
    ///
    /// # Errors
    /// The refusal.
    pub fn same_person(&self, reference: &Reference, others: &[Reference]) -> Result<()> {
        let tau = self.site.tau(&self.comparer, 1).d2;
        let unlike = others.iter().find(|other| self.comparer.dissimilarity(&other.vector, &reference.vector) > tau);
        let Some(other) = unlike else { return Ok(()) };
        Err(refuse(format!(
            "{}: not the same person as on {}: give pictures of one person only",
            reference.source, other.source
        )))
    }

    /// Refuses a further reference that is not of the person `id`.
    ///
    /// # Errors
    /// The refusal.
    pub fn same_as_enrolled(&self, id: &str, reference: &Reference) -> Result<()> {
        // Somebody enrolled with another encoder only cannot be compared: this is how they come back.
        let Some((d2, references)) = self.known.nearest_own(id, &reference.vector) else { return Ok(()) };
        let tau = self.site.tau(&self.comparer, references).d2;
        if d2 <= tau {
            return Ok(());
        }
        Err(refuse(format!(
            "{}: does not show `{id}` as enrolled{}: is it the right person? If it is, remove \
             `{id}` and enrol anew with this picture",
            reference.source,
            self.scores.text(d2, tau)
        )))
    }

    /// Refuses somebody who looks like another person who is enrolled. `references`: how many there will be.
    ///
    /// # Errors
    /// The refusal, which names the other.
    pub fn nobody_else(&self, id: &str, reference: &Reference, references: usize) -> Result<()> {
        let tau = self.site.tau(&self.comparer, references).d2;
        let others = self.known.others_within(id, &reference.vector, tau);
        let Some((other, d2)) = others.first().copied() else { return Ok(()) };
        let names: Vec<String> = others.iter().map(|(other, _)| format!("`{other}`")).collect();
        let names = names.join(" and ");

        if self.allow_duplicate {
            tracing::warn!("{}: looks like {names}; the gate may find them too close to call", reference.source);
            return Ok(());
        }
        if others.len() > 1 {
            return Err(refuse(format!(
                "{}: looks like {names}, who are enrolled{}: a blend of two people does. Ask the person before the camera, \
                 or allow it with --allow-duplicate if these are different people, as triplets are",
                reference.source,
                self.scores.text(d2, tau)
            )));
        }
        Err(refuse(format!(
            "{}: already enrolled as {names}{}: add a reference there with `--id {other} --more`, or allow it with \
             --allow-duplicate if these are two people, as twins are",
            reference.source,
            self.scores.text(d2, tau)
        )))
    }
}

/// What validity the command line gives; what it does not mention stays as in `before`.
///
/// # Errors
/// When it would end before it begins.
pub fn admission(zone: &Zone, before: &Admission, from: Option<When>, until: Option<When>) -> Result<Admission> {
    let after = Admission {
        suspended: before.suspended,
        from: from.map_or_else(|| Ok(before.from.clone()), |from| from.begins(zone))?,
        until: until.map_or_else(|| Ok(before.until.clone()), |until| until.ends(zone))?,
    };
    let access = after.access();
    let never = access.valid_from_ms.zip(access.valid_until_ms).is_some_and(|(from, until)| from >= until);
    match (&after.from, &after.until) {
        (Some(from), Some(until)) if never => Err(refuse(format!(
            "the admission would end ({}) before it begins ({}): correct --valid-from or --valid-until",
            zone.last_day(until),
            zone.first_day(from)
        ))),
        _ => Ok(after),
    }
}

/// `add --json`.
#[derive(Serialize)]
struct Added<'a> {
    person: &'a str,
    references: usize,
    added: usize,
    picture_confirmed: bool,
    quality: Vec<QualityJson>,
}

/// Enrols one person, or adds references to one.
///
/// # Errors
/// A refusal with advice, or a fault. Nothing is stored then.
pub fn add(desk: &Desk, add: &Add) -> Result<Exit> {
    let zone = desk.zone();
    let admission = admission(&zone, Admission::ALWAYS, add.valid_from, add.valid_until)?;
    inputs::hold(desk, &add.photos)?;
    let mut store = desk.store()?;
    let before = person_before(&store, add, &admission)?;
    let mut enroller = Enroller::new(desk, &store, add.keep_picture, add.allow_duplicate)?;

    let taken = take(desk, add, &mut enroller)?;
    let confirmed = confirm::judge(&enroller, &taken, before.as_ref());
    let taken = taken.references();
    let planned = enroller.known() + taken.len();
    for (i, reference) in taken.iter().enumerate() {
        enroller.same_person(reference, &taken[..i])?;
        if add.more {
            enroller.same_as_enrolled(&add.id, reference)?;
        }
        enroller.nobody_else(&add.id, reference, planned)?;
    }
    // After these: another person altogether is the clearer reason.
    let confirmed = confirmed?;

    let sha256 = enroller.encoder_sha256();
    let references: Vec<NewReference<'_>> = taken.iter().map(|reference| reference.to_store(&sha256)).collect();
    // Cut short in between, the person is not confirmed.
    if before.is_some_and(|person| person.confirmed) && !confirmed {
        store.set_confirmed(&add.id, false)?;
    }
    if add.more {
        for reference in &references {
            store.add_reference(&add.id, reference)?;
        }
    } else {
        store.add_person(&new_person(add, &admission), &references)?;
    }
    if confirmed {
        store.set_confirmed(&add.id, true)?;
    }

    let total = store.person(&add.id)?.references.len();
    let quality = taken.iter().map(|reference| QualityJson::new(&reference.quality, enroller.policy())).collect();
    let mut text = match &add.name {
        Some(name) => {
            let standing = zone.standing(&admission, clock::now(desk, &store));
            let name = gate_cli::line(name);
            format!("enrolled {} ({name}) with {}; {standing}", add.id, count(total, "reference", "references"))
        }
        None => format!("{} now has {}", add.id, count(total, "reference", "references")),
    };
    if !confirmed {
        text.push_str(&format!(
            "\npicture not confirmed: nothing proves that it shows this person alone; `enroll-tool add --id {} --more \
             --camera` does",
            add.id
        ));
    }
    let added = taken.len();
    let json = Added { person: &add.id, references: total, added, picture_confirmed: confirmed, quality };
    desk.answer(&text, &json)?;
    Ok(Exit::Done)
}

fn new_person<'a>(add: &'a Add, admission: &'a Admission) -> NewPerson<'a> {
    NewPerson { id: &add.id, name: add.name.as_deref().unwrap_or_default(), admission }
}

/// The person, if enrolled. Refuses, before anything costly, what the store would refuse after it.
fn person_before(store: &Store, add: &Add, admission: &Admission) -> Result<Option<Person>> {
    let new = add.photos.len() + usize::from(add.camera.is_some());
    let room = |have: usize| match have + new {
        total if total > MAX_REFERENCES => Err(StoreError::TooManyReferences { id: add.id.clone() }),
        _ => Ok(()),
    };
    if add.more {
        let person = store.person(&add.id)?;
        room(person.references.len())?;
        return Ok(Some(person));
    }
    new_person(add, admission).check()?;
    match store.person(&add.id) {
        Err(StoreError::UnknownPerson { .. }) => {
            room(0)?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
        Ok(person) => Err(refuse(format!(
            "`{}` is enrolled already ({}): choose another id, or add a reference to this person with --more in place \
             of --name",
            person.id, person.name
        ))),
    }
}

/// The pictures first: what is wrong with them needs nobody before the camera.
fn take(desk: &Desk, add: &Add, enroller: &mut Enroller) -> Result<Taken> {
    let pictures = add.photos.iter().map(|photo| enroller.file(photo)).collect::<Result<_>>()?;
    let Some(spec) = &add.camera else { return Ok(Taken { pictures, camera: None }) };
    let spec: CameraSpec = match spec.as_str() {
        "" => desk.site.camera_spec()?,
        spec => spec.parse().map_err(|error| refuse(format!("--camera: {error}")))?,
    };

    let timeout = Duration::from_secs(u64::from(add.timeout));
    let life = enroller.life(&spec)?;
    let asked = life.is_some();
    let reference = camera::capture(&spec, &desk.site.camera_options()?, enroller, life, timeout)?;
    let is_live = asked && confirm::counts(desk, &spec)?;
    if !is_live {
        let why = if asked { "the camera is a recording" } else { "[liveness] mode is off" };
        tracing::warn!("{why}: this confirms nobody's picture");
    }
    Ok(Taken { pictures, camera: Some(Seen { reference, is_live }) })
}

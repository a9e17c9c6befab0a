//! The command line, and the help that teaches it.

use crate::when::When;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const ABOUT: &str = "\
Enrols people at the face gate from one picture each, and looks after them: list, renew, suspend, erase, and ask who a \
picture shows. The gate notices every change within a second; nothing is restarted.";

const LEARN: &str = "\
A first day:
  enroll-tool init                                              make the key and an empty store
  enroll-tool add --id ana --name \"Ana Silva\" ana.jpg           enrol from one picture
  enroll-tool identify visitor.jpg                              who is this?
  enroll-tool set ana --valid-until 2026-12-31                  admit until the end of that day
  enroll-tool remove ana                                        erase for good

Exit codes:
  0  done; a match; everything taken
  1  no match (identify: a picture on which nobody was recognised); import: some were refused
  2  bad use or bad input: the message says what to do
  3  a fault of the system: store, key, models, runtime, camera, disk

With --scores: d2 is the dissimilarity of two faces, from 0 (the same picture) to 4. tau is the largest d2 that counts \
as a match; it follows from [policy] fpir_target and the number of references compared.";

/// Everything on the command line.
#[derive(Debug, Parser)]
#[command(name = "enroll-tool", version, about = ABOUT, after_help = LEARN, max_term_width = 110)]
pub struct Cli {
    /// The configuration; without it /etc/face-gate/gate.toml if there is one, else the defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Another store than [store] dir
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Answer in JSON on standard output (one object; identify: one line per picture)
    #[arg(long, global = true)]
    pub json: bool,
    /// For engineers: say how near each comparison was (d2, tau, the detector's score)
    ///
    /// Whoever sees how near a picture comes can change it until it matches. Staff need yes or no.
    #[arg(long, global = true, hide_short_help = true)]
    pub scores: bool,
    /// Say more on standard error; -vv even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the site key and an empty store
    #[command(
        long_about = "Make the site key and an empty store. A key that is there already is used. Nothing is overwritten.",
        after_help = "Example:\n  sudo enroll-tool init\n\nThe key opens every reference in the store. Back it up apart \
                      from the store: whoever has\nboth can read everything; without the key nobody can, ever."
    )]
    Init,
    /// Enrol a person from one picture, or add a reference
    #[command(after_help = ADD_HELP)]
    Add(Add),
    /// Enrol many people from a folder or a CSV file
    #[command(after_help = IMPORT_HELP)]
    Import(Import),
    /// Show everybody enrolled
    #[command(after_help = "Example:\n  enroll-tool list\n  enroll-tool list --json | jq -r '.[].id'")]
    List,
    /// Show one person
    #[command(after_help = "Example:\n  enroll-tool show ana")]
    Show(Id),
    /// Change a person's name or admission
    #[command(after_help = "Example:\n  enroll-tool set ana --valid-from 2026-01-01 --valid-until 2026-12-31\n  \
                            enroll-tool set ana --valid-until none\n  enroll-tool set ana --name \"Ana Silva-Costa\"")]
    Set(Set),
    /// Refuse a person for the time being
    #[command(after_help = "Example:\n  enroll-tool suspend ana")]
    Suspend(Id),
    /// Admit a suspended person again
    #[command(after_help = "Example:\n  enroll-tool resume ana")]
    Resume(Id),
    /// Erase a person for good
    #[command(
        long_about = "Erase a person for good: name, references, pictures, and the key that sealed them, so that what \
                      older copies of the database still hold is noise.",
        after_help = "Example:\n  enroll-tool remove ana\n  enroll-tool remove ana --yes        (does not ask)"
    )]
    Remove(Remove),
    /// Is this picture that person? (1:1)
    #[command(
        long_about = "Compare the largest face of a picture with every reference of one person, as if that identity \
                      were claimed at the gate (1:1 verification). tau is for as many comparisons as the person has \
                      references. Exit code 0: match, 1: no match.",
        after_help = "Example:\n  enroll-tool verify --id ana visitor.jpg\n  enroll-tool verify --id ana visitor.jpg --json\n  \
                      {\"person\":\"ana\",\"match\":true}"
    )]
    Verify(Verify),
    /// Who is on these pictures? (1:N)
    #[command(
        long_about = "Search everybody enrolled for every face of each picture (1:N identification). A person is named \
                      only when d2 <= tau and the runner-up is further away by [policy] margin_d2. Exit code 0: on \
                      every picture somebody was recognised; 1: on some picture nobody; 2: some picture could not be \
                      read (the others are answered all the same).",
        after_help = "Example:\n  enroll-tool identify visitor.jpg\n  enroll-tool identify --json day/*.jpg > day.jsonl"
    )]
    Identify(Identify),
    /// Do two pictures show the same person?
    #[command(
        long_about = "Compare the largest face of one picture with the largest of another, without the store. tau is \
                      for one comparison. Exit code 0: the same person, 1: two people.",
        after_help = "Example:\n  enroll-tool compare passport.jpg visitor.jpg"
    )]
    Compare(Compare),
    /// Examine the store from end to end
    #[command(after_help = "Example:\n  enroll-tool check\n\nExit code 3 when anything is damaged.")]
    Check,
    /// Put a backup of the store back, or accept older files that lie there already
    #[command(long_about = RESTORE_ABOUT, after_help = RESTORE_HELP)]
    Restore(Restore),
    /// Show the clock by which admissions end, or take it at its word
    #[command(
        long_about = "Show the clock by which admissions end, and the newest moments that have passed for sure: when the \
                      program was made, when the store was last changed, what the gate has noted. While the clock shows \
                      an earlier time, nobody whose admission ends is let in. Exit code 1 then.",
        after_help = "Example:\n  enroll-tool clock\n  enroll-tool clock --accept     the clock is right, and was wrong (ahead) before"
    )]
    Clock(Clock),
    /// Write man pages and shell completions, for the package
    #[command(hide = true)]
    Manual(gate_manual::ManualArgs),
}

const RESTORE_ABOUT: &str = "\
Put a backup of the store back: show what that would undo, ask, and do it without letting anybody in whom the present store \
refuses. Suspended people stay suspended, of two end dates the earlier counts, and erased people do not come back. Whoever \
was changed after the backup, in a way that nobody can know any more, comes back suspended.";

const RESTORE_HELP: &str = "\
Examples:
  enroll-tool restore /mnt/backup/people.db      a backup of the database, beside today's people.keys
  enroll-tool restore /mnt/backup                a folder: its people.keys is used where the store has lost its own
  enroll-tool restore --accept                   take the files that lie in the store's folder already

Exit codes: 0 restored, or nothing to accept; 2 not confirmed, or no backup of this store; 3 a fault of the system.";

const ADD_HELP: &str = "\
Examples:
  enroll-tool add --id ana --name \"Ana Silva\" ana.jpg
  enroll-tool add --id ana --name \"Ana Silva\" --valid-until 2026-12-31 ana.jpg
  enroll-tool add --id ana --name \"Ana Silva\" --camera          look into the gate's camera
  enroll-tool add --id ana --name \"Ana Silva\" --camera ana.jpg  both: the live face confirms the picture
  enroll-tool add --id ana --more --camera                      confirm somebody who is enrolled
  enroll-tool add --id ana --more ana-with-glasses.jpg          a further reference

A picture alone does not prove whom it shows: a blend of two people matches both. With --camera the person looks into a \
camera, must be live, and must agree closely with the picture; without it the person is enrolled as \"picture not confirmed\".

One good picture is enough: face to the camera, even light, in focus, at least [enrol] min_face_px wide. Further \
references help with glasses, beards and hats. JPEG, PNG, WebP, BMP or GIF; pictures turned by a phone are turned upright.
A camera that the gate itself is using is busy: stop the gate meanwhile, or use another camera.";

const IMPORT_HELP: &str = "\
Examples:
  enroll-tool import photos/
  enroll-tool import people.csv --report refused.csv

A folder: one sub-folder per person, its name the id, with pictures in it; or pictures whose file names are the ids \
(ana.jpg). The id is taken for the name, too; `enroll-tool set ID --name` gives a better one.
A CSV file: a heading `id,name,photo` with or without `,valid_from,valid_until`, then a line per picture; `photo` is \
relative to the file; several lines with the same id are several references of one person.

Ids that are enrolled already are skipped: after an interruption, run it again. Exit code 0: all taken, 1: some refused.";

/// Enrol a person.
#[derive(Debug, Args)]
pub struct Add {
    /// The person's id: letters, digits and . _ @ - ; it shows in events and logs
    #[arg(long)]
    pub id: String,
    /// The person's name, for people to read; kept sealed
    #[arg(long, required_unless_present = "more", conflicts_with = "more")]
    pub name: Option<String>,
    /// Add a further reference to somebody who is enrolled
    #[arg(long)]
    pub more: bool,
    /// Pictures of this one person; each becomes a reference
    #[arg(value_name = "PHOTO", required_unless_present = "camera")]
    pub photos: Vec<PathBuf>,
    /// Take a live picture with the configured camera, or with this one: --camera=nokhwa:1; it confirms every PHOTO
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub camera: Option<String>,
    /// How long the person has in front of the camera
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "camera", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub timeout: u32,
    /// Admit from then on: 2026-01-31 (start of that day, in [enrol] time_zone or the system's) or 2026-01-31T08:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = When::parse, conflicts_with = "more")]
    pub valid_from: Option<When>,
    /// Admit until then: 2026-12-31 (end of that day, in [enrol] time_zone or the system's) or 2026-12-31T17:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = When::parse, conflicts_with = "more")]
    pub valid_until: Option<When>,
    /// Enrol somebody who looks like a person who is enrolled already: twins
    #[arg(long)]
    pub allow_duplicate: bool,
    /// Keep the face's picture, sealed, for a later change of the encoder; [enrol] keep_picture does it for all
    #[arg(long)]
    pub keep_picture: bool,
}

/// Enrol many people.
#[derive(Debug, Args)]
pub struct Import {
    /// A folder of pictures, or a CSV file
    #[arg(value_name = "FOLDER|CSV")]
    pub source: PathBuf,
    /// Write each refusal to this CSV file as well: file, id, reason, advice
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Do not refuse people who look like somebody who is enrolled already
    #[arg(long)]
    pub allow_duplicate: bool,
    /// Keep the faces' pictures, sealed
    #[arg(long)]
    pub keep_picture: bool,
}

/// Whom.
#[derive(Debug, Args)]
pub struct Id {
    /// The person's id
    pub id: String,
}

/// Change a person.
#[derive(Debug, Args)]
pub struct Set {
    /// The person's id
    pub id: String,
    /// A new name
    #[arg(long)]
    pub name: Option<String>,
    /// Admit from then on: 2026-01-31, 2026-01-31T08:00:00Z, or none
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub valid_from: Option<When>,
    /// Admit until then: 2026-12-31 (end of that day), 2026-12-31T17:00:00Z, or none
    #[arg(long, value_name = "WHEN", value_parser = When::parse)]
    pub valid_until: Option<When>,
}

/// Erase a person.
#[derive(Debug, Args)]
pub struct Remove {
    /// The person's id
    pub id: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// Put a backup back.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup: a people.db, or a folder with one
    #[arg(value_name = "FOLDER|DB", required_unless_present = "accept", conflicts_with = "accept")]
    pub backup: Option<PathBuf>,
    /// Accept the files that lie in the store's folder: after older ones were put there by hand, or the anchor was lost
    #[arg(long)]
    pub accept: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// The clock.
#[derive(Debug, Args)]
pub struct Clock {
    /// The clock is right: forget later times, which were noted while it was ahead
    #[arg(long)]
    pub accept: bool,
    /// Do not ask
    #[arg(long, short, requires = "accept")]
    pub yes: bool,
}

/// One to one.
#[derive(Debug, Args)]
pub struct Verify {
    /// The claimed identity
    #[arg(long)]
    pub id: String,
    /// The picture
    #[arg(value_name = "PHOTO")]
    pub photo: PathBuf,
}

/// One to many.
#[derive(Debug, Args)]
pub struct Identify {
    /// The pictures
    #[arg(value_name = "PHOTO", required = true)]
    pub photos: Vec<PathBuf>,
}

/// Two pictures.
#[derive(Debug, Args)]
pub struct Compare {
    /// One picture
    pub a: PathBuf,
    /// The other
    pub b: PathBuf,
}

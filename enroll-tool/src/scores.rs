//! Who gets to see a score: engineers who ask for it.
//!
//! Whoever sees how near a picture comes can change it step by step until it matches. Staff need yes or no.

/// Whether scores may be shown. Every score that this program tells anybody passes here.
#[derive(Clone, Copy, Debug)]
pub struct Scores(bool);

impl Scores {
    /// With `--scores`, they may.
    #[must_use]
    pub const fn shown(shown: bool) -> Self {
        Self(shown)
    }

    /// A score for JSON.
    #[must_use]
    pub fn of(self, score: f32) -> Option<f32> {
        self.0.then_some(score)
    }

    /// A dissimilarity and its limit, behind a sentence.
    #[must_use]
    pub fn text(self, d2: f32, tau: f32) -> String {
        if self.0 { format!(" (d2 {d2:.3}, tau {tau:.3})") } else { String::new() }
    }
}

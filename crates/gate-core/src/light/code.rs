//! The code that the lamp plays: 13 slots of 50 ms, on or off, drawn anew for each challenge.
//!
//! ```text
//!  slot   0  1  2  3  4  5  6  7  8  9 10 11 12
//!  lamp   █  .  .  █  █  .  █  .  .  █  █  .  █  then off          650 ms
//! ```
//! A camera at 15 frames a second sees about ten of these slots. Slots shorter than a frame are no loss: the frames' own
//! times say which slots were seen, and whoever plays a recording does not know which.

/// Slots in a code.
pub const SLOTS: u32 = 13;
/// Length of a slot, milliseconds: longer than the usual exposure, so that most frames see the lamp on or off, not both.
pub const SLOT_MS: u32 = 50;
/// How many codes there are: one in so many is guessed. See [`Code::is_sound`]; a test counts them.
pub const CODES: u32 = 1658;

/// Longest run of equal slots. Longer ones leave time for the camera's automatic exposure to settle, and carry little.
const RUN_MAX: u32 = 3;
/// Least number of changes within the code.
const CHANGES_MIN: u32 = 6;
/// A code moved by 3 slots (150 ms) or more may agree with itself in at most so many slots: else a relayed answer, which comes
/// late, could pass for one in step.
const AGREEING_MAX: u32 = 9;

/// One code. The lamp is off before it begins and after it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(u16);

impl Code {
    /// The code that eight random bytes choose, each of the [`CODES`] equally likely (to 1 in 2⁵⁰).
    ///
    /// The bytes must come from the system's random source, fresh for each challenge.
    #[must_use]
    pub fn draw(random: [u8; 8]) -> Self {
        let wanted = (u64::from_le_bytes(random) % u64::from(CODES)) as usize;
        // There are CODES of them, so this one is there; the other arm is never taken.
        Self::all().nth(wanted).unwrap_or(Self(0b0_1110_0100_0110))
    }

    /// All codes, each once, in a fixed order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..1u16 << SLOTS).map(Self).filter(|code| code.is_sound())
    }

    /// The code with these slots, slot 0 in the lowest bit; `None` when it is not one of the [`CODES`].
    #[must_use]
    pub fn from_bits(bits: u16) -> Option<Self> {
        Some(Self(bits)).filter(Self::is_sound)
    }

    /// The slots, slot 0 in the lowest bit.
    #[must_use]
    pub fn bits(&self) -> u16 {
        self.0
    }

    /// Balanced (on in 6 or 7 slots), lively (6 changes or more, no run above 3 slots), and unlike itself when late.
    fn is_sound(&self) -> bool {
        let (mut changes, mut run, mut longest) = (0, 1, 1);
        for slot in 1..SLOTS {
            if self.slot(slot) == self.slot(slot - 1) {
                run += 1;
                longest = longest.max(run);
            } else {
                changes += 1;
                run = 1;
            }
        }
        let mask = (1u16 << SLOTS) - 1;
        let agreeing = |shift: u32| (!(self.0 ^ (self.0 << shift)) & mask).count_ones();
        u32::from(self.0) < 1 << SLOTS
            && matches!(self.0.count_ones(), 6 | 7)
            && changes >= CHANGES_MIN
            && longest <= RUN_MAX
            && (3..=9).all(|shift| agreeing(shift) <= AGREEING_MAX)
    }

    /// Whether the lamp is on in this slot; off beyond the last.
    #[must_use]
    pub fn slot(&self, slot: u32) -> bool {
        slot < SLOTS && self.0 >> slot & 1 == 1
    }

    /// Whether the lamp is to be on, `at_ms` after the code began.
    #[must_use]
    pub fn lamp_on(&self, at_ms: u32) -> bool {
        self.slot(at_ms / SLOT_MS)
    }

    /// When the lamp changes next, milliseconds after the code began, always later than `at_ms`; `None` when it stays off.
    #[must_use]
    pub fn next_change_ms(&self, at_ms: u32) -> Option<u32> {
        let now = at_ms / SLOT_MS;
        (now..SLOTS).find(|slot| self.slot(*slot) != self.slot(slot + 1)).map(|slot| (slot + 1) * SLOT_MS)
    }

    /// How long the code lasts, milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> u32 {
        SLOTS * SLOT_MS
    }

    /// Part of the time from `from_ms` to `to_ms` (after the code began) in which the lamp is on, 0..=1.
    ///
    /// 0 when a time is not finite or the span is empty.
    #[must_use]
    pub fn lit_part(&self, from_ms: f32, to_ms: f32) -> f32 {
        if !(to_ms > from_ms && from_ms.is_finite() && to_ms.is_finite()) {
            return 0.0;
        }
        let lit: f32 = (0..SLOTS)
            .filter(|slot| self.slot(*slot))
            .map(|slot| {
                let begin = (slot * SLOT_MS) as f32;
                (to_ms.min(begin + SLOT_MS as f32) - from_ms.max(begin)).max(0.0)
            })
            .sum();
        lit / (to_ms - from_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn there_are_as_many_codes_as_stated_and_none_is_dull() {
        assert_eq!(Code::all().count() as u32, CODES);
        for code in Code::all() {
            assert_eq!(Code::from_bits(code.bits()), Some(code));
            assert!((300..=350).contains(&(code.bits().count_ones() * SLOT_MS)));
        }
        for dull in [0, 0x1fff, 0b1_0101_0101_0101, 0b0_0000_0111_1111, u16::MAX] {
            assert_eq!(Code::from_bits(dull), None, "{dull:b}");
        }
        assert!(Code::draw([0; 8]).duration_ms() <= 700);
    }

    #[test]
    fn every_code_is_drawn_equally_often() {
        let mut drawn = std::collections::HashMap::new();
        for i in 0..u64::from(CODES) * 3 {
            *drawn.entry(Code::draw(i.to_le_bytes()).bits()).or_insert(0) += 1;
        }
        assert!(drawn.len() as u32 == CODES && drawn.values().all(|times| *times == 3));
    }

    proptest! {
        #[test]
        fn following_the_changes_plays_the_code(random in any::<[u8; 8]>()) {
            let code = Code::draw(random);
            let (mut at, mut on, mut changes) = (0, code.lamp_on(0), 0);
            while let Some(next) = code.next_change_ms(at) {
                prop_assert!(next > at && next <= code.duration_ms());
                prop_assert!((at..next).all(|ms| code.lamp_on(ms) == on), "nothing changes in between");
                (at, on, changes) = (next, !on, changes + 1);
                prop_assert_eq!(code.lamp_on(at), on);
            }
            prop_assert!(!on && changes >= CHANGES_MIN, "it ends with the lamp off");
            prop_assert!(!code.lamp_on(code.duration_ms()));
        }

        #[test]
        fn the_lit_part_is_what_a_sum_over_milliseconds_gives(random in any::<[u8; 8]>(), from in -100i32..800, long in 1i32..120) {
            let code = Code::draw(random);
            let lit = (from..from + long).filter(|ms| *ms >= 0 && code.lamp_on(*ms as u32)).count();
            let got = code.lit_part(from as f32, (from + long) as f32);
            prop_assert!((got - lit as f32 / long as f32).abs() < 1e-4, "{got}");
        }
    }
}

//! Alarms: somebody attacks the gate, and staff should look. An alarm never opens the gate and never keeps it shut.
//!
//! Each cause has its own time: its alarm stands until the policy's `alarm_ms` have passed since it was last raised.
//! The alarm's output is on while any of them stands.

/// Why an alarm is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alarm {
    /// Somebody tries to get in with pictures, or again and again.
    Attack,
    /// Somebody interferes with the camera or with what it delivers.
    Tamper,
}

impl Alarm {
    /// Every cause.
    pub const ALL: [Alarm; 2] = [Alarm::Attack, Alarm::Tamper];

    /// The cause's name in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Alarm::Attack => "attack",
            Alarm::Tamper => "tamper",
        }
    }
}

/// The alarms that stand, and until when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarms {
    /// In the order of [`Alarm::ALL`]; monotonic milliseconds.
    until_ms: [Option<u64>; Alarm::ALL.len()],
}

impl Alarms {
    /// Raises an alarm, or lets one that stands last longer; never shorter. Says whether it is new.
    pub(crate) fn raise(&mut self, cause: Alarm, until_ms: u64) -> bool {
        let end = &mut self.until_ms[cause as usize];
        let news = end.is_none();
        *end = Some(end.map_or(until_ms, |before| before.max(until_ms)));
        news
    }

    /// Ends the alarms whose time is over and returns their causes.
    pub(crate) fn expire(&mut self, now_ms: u64) -> impl Iterator<Item = Alarm> {
        self.end(move |until_ms| now_ms >= until_ms)
    }

    /// Ends every alarm and returns the causes.
    pub(crate) fn stop(&mut self) -> impl Iterator<Item = Alarm> {
        self.end(|_| true)
    }

    fn end(&mut self, is_over: impl Fn(u64) -> bool) -> impl Iterator<Item = Alarm> {
        Alarm::ALL
            .into_iter()
            .filter(move |cause| self.until_ms[*cause as usize].take_if(|end| is_over(*end)).is_some())
    }

    /// Whether this alarm stands.
    pub(crate) fn has(&self, cause: Alarm) -> bool {
        self.until_ms[cause as usize].is_some()
    }

    /// Whether any alarm stands.
    pub(crate) fn any(&self) -> bool {
        Alarm::ALL.into_iter().any(|cause| self.has(cause))
    }

    /// When the next alarm ends.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.until_ms.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn an_alarm_stands_from_its_first_cause_until_its_time_after_the_last() {
        let mut alarms = Alarms::default();
        assert!(!alarms.any() && alarms.deadline_ms().is_none());
        assert!(alarms.raise(Alarm::Tamper, 100));
        assert!(!alarms.raise(Alarm::Tamper, 250), "one that stands is not new");
        assert!(!alarms.raise(Alarm::Tamper, 150), "nor made shorter");
        assert_eq!(alarms.deadline_ms(), Some(250));
        assert_eq!(alarms.expire(249).count(), 0);
        assert_eq!(alarms.expire(250).collect::<Vec<_>>(), [Alarm::Tamper]);
        assert!(!alarms.any() && alarms.deadline_ms().is_none());
    }

    #[test]
    fn each_cause_has_its_own_time() {
        let mut alarms = Alarms::default();
        assert!(alarms.raise(Alarm::Attack, 100) && alarms.raise(Alarm::Tamper, 200));
        assert_eq!(alarms.expire(100).collect::<Vec<_>>(), [Alarm::Attack]);
        assert!(alarms.any() && alarms.has(Alarm::Tamper) && !alarms.has(Alarm::Attack));
        assert!(alarms.raise(Alarm::Attack, u64::MAX));
        assert_eq!(alarms.stop().collect::<Vec<_>>(), Alarm::ALL);
        assert!(!alarms.any());
    }
}

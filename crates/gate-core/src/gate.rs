//! The gate as a state machine with the relay as its output.
//!
//! ```text
//!              ready                   grant
//!    Boot ───────────────▶ Locked ◀──────────────▶ Unlocked(until)
//!      │                    ▲  │      pulse over       │
//!      │ fault              │  │ fault                 │ fault
//!      ▼        last fault  │  ▼                       │
//!    Faulted ───────────────┘ Faulted ◀────────────────┘
//!             is cleared
//! ```
//!
//! `stop` leads from everywhere back to Boot (or Faulted, while a fault stands).
//! The relay is on in `Unlocked` and nowhere else. A fault that comes while the gate is unlocked locks it at once.

/// What can be wrong with the machine. Each keeps the gate locked until it is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No frames: the camera is missing, unplugged or wedged.
    Camera,
    /// A network cannot be run.
    Model,
    /// The relay's line cannot be driven.
    Relay,
    /// People and references cannot be read.
    Store,
    /// The risk that the owner stated cannot be kept with so many people, and the policy says not to open then.
    Risk,
    /// The lamp that asks faces for an answer cannot be driven.
    Light,
    /// Another camera than the pinned one was there. Frames do not clear it: somebody must look.
    CameraChanged,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Fault; 7] =
        [Fault::Camera, Fault::Model, Fault::Relay, Fault::Store, Fault::Risk, Fault::Light, Fault::CameraChanged];

    /// The fault's name in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Camera => "camera",
            Fault::Model => "model",
            Fault::Relay => "relay",
            Fault::Store => "store",
            Fault::Risk => "risk",
            Fault::Light => "light",
            Fault::CameraChanged => "camera_changed",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The gate's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing was seen yet; locked.
    Boot,
    /// Ready and locked.
    Locked,
    /// The relay is on until this monotonic millisecond.
    Unlocked {
        /// End of the pulse.
        until_ms: u64,
    },
    /// Something is wrong; locked.
    Faulted,
}

/// The state machine. Every method is total: any call in any state is allowed and bounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gate {
    state: State,
    faults: u8,
    pulse_ms: u32,
    /// When the pulse was granted, until its line is known to be on.
    granted_ms: Option<u64>,
}

impl Gate {
    /// A gate in `Boot`. `pulse_ms` is cut to `pulse_max_ms`.
    #[must_use]
    pub fn new(pulse_ms: u32, pulse_max_ms: u32) -> Self {
        Self { state: State::Boot, faults: 0, pulse_ms: pulse_ms.min(pulse_max_ms), granted_ms: None }
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the relay is to be on: in `Unlocked` only.
    #[must_use]
    pub fn relay_on(&self) -> bool {
        matches!(self.state, State::Unlocked { .. })
    }

    /// Whether this fault is present.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.faults & fault.bit() != 0
    }

    /// Another pulse from the next grant on; one that is open ends as it would have. `pulse_ms` is cut to `pulse_max_ms`.
    pub fn set_pulse(&mut self, pulse_ms: u32, pulse_max_ms: u32) {
        self.pulse_ms = pulse_ms.min(pulse_max_ms);
    }

    /// The machine works: leave `Boot`.
    pub fn ready(&mut self) {
        if self.state == State::Boot {
            self.state = State::Locked;
        }
    }

    /// The machine is about to stop: lock, and stay so until it is ready again.
    pub fn stop(&mut self) {
        self.state = if self.faults == 0 { State::Boot } else { State::Faulted };
    }

    /// Time has come to `now_ms`: end the pulse when it is due.
    pub fn tick(&mut self, now_ms: u64) {
        if let State::Unlocked { until_ms } = self.state
            && now_ms >= until_ms
        {
            self.state = State::Locked;
        }
    }

    /// Opens, if the gate is `Locked`; says whether it did. A pulse is never joined to the next, nor lengthened but by
    /// [`Self::line_is_on`].
    pub fn grant(&mut self, now_ms: u64) -> bool {
        if self.state != State::Locked {
            return false;
        }
        self.state = State::Unlocked { until_ms: now_ms.saturating_add(u64::from(self.pulse_ms)) };
        self.granted_ms = Some(now_ms);
        true
    }

    /// The line is on from `now_ms`: the pulse counts from here, and not from the frame that was decided on, which a slow
    /// machine has looked at for a good part of it. Once for each pulse.
    pub fn line_is_on(&mut self, now_ms: u64) {
        if let State::Unlocked { until_ms } = &mut self.state
            && let Some(granted_ms) = self.granted_ms.take()
        {
            *until_ms = until_ms.saturating_add(now_ms.saturating_sub(granted_ms));
        }
    }

    /// Something is wrong: lock. Says whether this is news.
    pub fn fault(&mut self, fault: Fault) -> bool {
        let news = !self.has(fault);
        self.faults |= fault.bit();
        self.state = State::Faulted;
        news
    }

    /// This is in order again: with the last fault gone the gate is ready. Says whether this is news.
    pub fn clear(&mut self, fault: Fault) -> bool {
        let news = self.has(fault);
        self.faults &= !fault.bit();
        if self.faults == 0 && self.state == State::Faulted {
            self.state = State::Locked;
        }
        news
    }

    /// When [`Gate::tick`] must be called at the latest, monotonic milliseconds; `None` = nothing is due.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        match self.state {
            State::Unlocked { until_ms } => Some(until_ms),
            State::Boot | State::Locked | State::Faulted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::vec;
    use std::vec::Vec;

    #[derive(Clone, Copy, Debug)]
    enum Input {
        Ready,
        Stop,
        Tick,
        Grant,
        LineIsOn,
        Fault(Fault),
        Clear(Fault),
        SetPulse,
    }

    fn inputs() -> Vec<Input> {
        let mut all = vec![Input::Ready, Input::Stop, Input::Tick, Input::Grant, Input::LineIsOn, Input::SetPulse];
        for fault in Fault::ALL {
            all.extend([Input::Fault(fault), Input::Clear(fault)]);
        }
        all
    }

    /// Walks every state that can be reached within eight milliseconds, by every input, and checks each step.
    #[test]
    fn every_reachable_state_and_input_keeps_the_promises() {
        const PULSE_MS: u32 = 3;
        const PULSE_MAX_MS: u32 = 4;
        let mut seen = HashSet::new();
        let mut queue = vec![(Gate::new(PULSE_MS, PULSE_MAX_MS), 0u64)];
        let mut steps = 0;
        while let Some((before, now)) = queue.pop() {
            if now > 8 || !seen.insert((before.clone(), now)) {
                continue;
            }
            for input in inputs() {
                for wait in 0..=2u64 {
                    let now = now + wait;
                    let mut after = before.clone();
                    match input {
                        Input::Ready => after.ready(),
                        Input::Stop => {
                            after.stop();
                            assert!(!after.relay_on(), "a machine that stops leaves the gate locked");
                        }
                        Input::Tick => after.tick(now),
                        Input::Grant => {
                            let opened = after.grant(now);
                            assert_eq!(opened, before.state() == State::Locked);
                            let pulse_ms = u64::from(before.pulse_ms);
                            assert!(!opened || after.deadline_ms() == Some(now + pulse_ms));
                            assert!(before.pulse_ms <= PULSE_MAX_MS, "no pulse is longer than its maximum");
                        }
                        Input::LineIsOn => after.line_is_on(now),
                        Input::Fault(fault) => {
                            after.fault(fault);
                            assert_eq!(after.state(), State::Faulted, "every fault ends locked");
                        }
                        Input::Clear(fault) => {
                            after.clear(fault);
                        }
                        Input::SetPulse => {
                            after.set_pulse(5, PULSE_MAX_MS);
                            assert_eq!(after.state(), before.state(), "an open pulse ends as it would have");
                        }
                    }
                    steps += 1;
                    assert_eq!(after.relay_on(), matches!(after.state(), State::Unlocked { .. }));
                    if after.relay_on() && !before.relay_on() {
                        assert!(matches!(input, Input::Grant), "{before:?} -{input:?}-> {after:?}");
                        assert_eq!(before.faults, 0, "a faulted gate never opens");
                        assert_ne!(before.state(), State::Boot, "a gate that has seen nothing never opens");
                    }
                    if let (State::Unlocked { until_ms: was }, State::Unlocked { until_ms: is }) =
                        (before.state(), after.state())
                    {
                        let late = match (input, before.granted_ms) {
                            (Input::LineIsOn, Some(granted_ms)) => now - granted_ms,
                            _ => 0,
                        };
                        assert_eq!(
                            is,
                            was + late,
                            "a pulse counts from its line's being on, and is never lengthened after that"
                        );
                    }
                    assert_eq!(
                        after.state() == State::Faulted,
                        after.faults != 0,
                        "faulted exactly while a fault stands"
                    );
                    queue.push((after, now));
                }
            }
        }
        assert!(seen.len() > 150 && steps > 5_000, "walked {} states, {steps} steps", seen.len());
    }

    #[test]
    fn a_pulse_counts_from_its_lines_being_on() {
        let mut gate = Gate::new(500, 10_000);
        gate.ready();
        assert!(gate.grant(1_000));
        gate.line_is_on(1_230);
        gate.line_is_on(1_600);
        gate.tick(1_729);
        assert!(gate.relay_on(), "500 ms after it went on, not after the frame");
        gate.tick(1_730);
        assert!(!gate.relay_on());
        gate.line_is_on(1_740);
        assert!(!gate.relay_on(), "a line opens nothing");
    }

    #[test]
    fn the_pulse_is_cut_to_its_maximum() {
        let mut gate = Gate::new(60_000, 10_000);
        gate.ready();
        assert!(gate.grant(5));
        assert_eq!(gate.deadline_ms(), Some(10_005));
    }
}

//! Plays a code on the lamp that asks faces, on its own thread: a frame that takes long must not bend the code.
//!
//! ```text
//!  decided: play(code) ──channel──▶ thread: lamp on and off by its own clock ──▶ line
//!                                     └── trouble, if the line cannot be driven, hangs, or the thread has ended
//! ```

use crate::guarded::guarded;
use crate::{Heart, Heartbeat, Output, OutputError, heartbeat};
use gate_core::light::Code;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a lamp that could not be driven is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A driver that is not back by then hangs.
const DRIVE_MAX: Duration = Duration::from_secs(1);

/// The lamp, dark until a code is played and after it.
pub struct LightPlayer {
    codes: Sender<Option<Code>>,
    trouble: Arc<Mutex<Option<String>>>,
    alive: Heartbeat,
}

impl LightPlayer {
    /// Takes the lamp over.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(lamp: Box<dyn Output>) -> std::io::Result<Self> {
        let (codes, orders) = channel();
        let trouble = Arc::new(Mutex::new(None));
        let told = Arc::clone(&trouble);
        let (heart, alive) = heartbeat("light", DRIVE_MAX);
        std::thread::Builder::new().name("light".into()).spawn(move || run(lamp, &orders, &told, heart))?;
        Ok(Self { codes, trouble, alive })
    }

    /// Plays a code from now on, whatever was played before; `None` puts the lamp out.
    pub fn play(&self, code: Option<Code>) {
        // A thread that has ended is told by its heartbeat.
        let _ = self.codes.send(code);
    }

    /// Why the lamp cannot be driven, if it cannot.
    pub fn trouble(&self) -> Option<String> {
        let told = || self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.alive.trouble().or_else(told)
    }
}

fn run(mut lamp: Box<dyn Output>, orders: &Receiver<Option<Code>>, told: &Mutex<Option<String>>, heart: Heart) {
    heart.rest();
    let mut playing: Option<(Code, Instant)> = None;
    let mut is_on = false;
    let mut failed = false;
    loop {
        let at_ms = playing.map_or(0, |(_, began)| began.elapsed().as_millis() as u32);
        let on = playing.is_some_and(|(code, _)| code.lamp_on(at_ms));
        if on != is_on || failed {
            heart.beat();
            let driven = guarded(|| lamp.set(on))
                .unwrap_or_else(|why| Err(OutputError::Drive { at: "the light's line".to_owned(), on, why }));
            heart.rest();
            match driven {
                Ok(()) => {
                    (is_on, failed) = (on, false);
                    tell(told, None);
                }
                Err(e) => {
                    failed = true;
                    tell(told, Some(e.to_string()));
                }
            }
        }
        let change = playing.and_then(|(code, began)| Some((code.next_change_ms(at_ms)?, began)));
        let order = match change {
            _ if failed => orders.recv_timeout(RETRY),
            Some((next_ms, began)) => {
                let due = Duration::from_millis(next_ms.into());
                orders.recv_timeout(due.saturating_sub(began.elapsed()))
            }
            None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match order {
            Ok(code) => playing = code.map(|code| (code, Instant::now())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // Nobody is left to hear of a failure; a dropped line falls back by itself.
    let _ = guarded(|| lamp.set(false));
    heart.retire();
}

fn tell(told: &Mutex<Option<String>>, trouble: Option<String>) {
    *told.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OutputError;
    use crate::wedged::{Deadly, output_into_a_pipe};

    struct Fake {
        seen: Arc<Mutex<Vec<(Instant, bool)>>>,
        broken: bool,
    }

    impl Output for Fake {
        fn describe(&self) -> String {
            "fake".into()
        }

        fn set(&mut self, on: bool) -> Result<(), OutputError> {
            if self.broken {
                return Err(OutputError::Drive { at: "fake".into(), on, why: "broken".into() });
            }
            self.seen.lock().unwrap().push((Instant::now(), on));
            Ok(())
        }
    }

    fn wait_until(what: impl Fn() -> bool) {
        let began = Instant::now();
        while !what() {
            assert!(began.elapsed() < Duration::from_secs(20), "it never came");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_whole_code_is_played_and_the_lamp_is_dark_afterwards() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let player = LightPlayer::start(Box::new(Fake { seen: Arc::clone(&seen), broken: false })).unwrap();
        let code = Code::draw([5; 8]);
        // Each change of the code is one of the lamp, in order, and it ends dark.
        let mut wanted = Vec::new();
        let (mut at, mut on) = (0, false);
        loop {
            if code.lamp_on(at) != on {
                on = !on;
                wanted.push(on);
            }
            match code.next_change_ms(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        player.play(Some(code));
        wait_until(|| seen.lock().unwrap().len() >= wanted.len());
        let played: Vec<bool> = seen.lock().unwrap().iter().map(|(_, on)| *on).collect();
        assert_eq!(played, wanted);
        assert_eq!(played.last(), Some(&false));
        assert_eq!(player.trouble(), None);
    }

    #[test]
    fn a_lamp_that_cannot_be_driven_is_told() {
        let player = LightPlayer::start(Box::new(Fake { seen: Arc::default(), broken: true })).unwrap();
        player.play(Some(Code::draw([5; 8])));
        wait_until(|| player.trouble().is_some());
    }

    #[test]
    fn a_lamp_that_hangs_and_a_thread_that_has_ended_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let (lamp, mut pipe) = output_into_a_pipe(folder.path(), "light");
        let player = LightPlayer::start(lamp).unwrap();
        pipe.fill();
        player.play(Some(Code::draw([5; 8])));
        wait_until(|| player.trouble().is_some_and(|why| why.contains("`light` has been stuck")));
        pipe.drain();
        wait_until(|| player.trouble().is_none());

        let player = LightPlayer::start(Box::new(Deadly)).unwrap();
        player.play(Some(Code::draw([5; 8])));
        wait_until(|| player.trouble().is_some_and(|why| why.contains("`light` has ended")));
    }
}

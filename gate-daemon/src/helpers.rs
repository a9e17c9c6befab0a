//! Helper threads whose trouble keeps nobody outside: the event log's and the metrics'. It is logged and stands in the
//! status line. People, camera, relay and light are faults instead, each raised where its state is read.

use gate_hal::Heartbeat;

/// The threads, and whether the trouble of each is in the log already.
#[derive(Debug, Default)]
pub struct Helpers {
    watched: Vec<(Heartbeat, bool)>,
}

impl Helpers {
    /// Watches these.
    pub fn new(threads: impl IntoIterator<Item = Heartbeat>) -> Self {
        Self { watched: threads.into_iter().map(|thread| (thread, false)).collect() }
    }

    /// Logs each trouble when it comes and when it goes; returns all that stand now.
    pub fn look(&mut self) -> Vec<String> {
        let mut troubles = Vec::new();
        for (thread, logged) in &mut self.watched {
            match thread.trouble() {
                Some(trouble) => {
                    if !std::mem::replace(logged, true) {
                        tracing::error!("{trouble}; the gate works on without it, restart it when nobody is there");
                    }
                    troubles.push(trouble);
                }
                None if std::mem::take(logged) => tracing::info!(?thread, "the thread works again"),
                None => {}
            }
        }
        troubles
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate_hal::heartbeat;
    use std::thread::sleep;
    use std::time::Duration;

    #[test]
    fn trouble_stands_as_long_as_it_lasts() {
        let limit = Duration::from_millis(20);
        let ((events, one), (metrics, two)) = (heartbeat("events", limit), heartbeat("metrics", limit));
        let mut helpers = Helpers::new([one, two]);
        assert!(helpers.look().is_empty());
        metrics.rest();
        sleep(limit * 2);
        let troubles = helpers.look();
        assert!(troubles.len() == 1 && troubles[0].contains("`events` has been stuck"), "{troubles:?}");
        events.beat();
        assert!(helpers.look().is_empty());
        drop((events, metrics));
        assert_eq!(helpers.look().len(), 2, "threads that have ended");
    }
}

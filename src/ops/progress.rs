//! Progress: whether the pipeline moves, as the watchdog's evidence.
//!
//! Owns the rule that decides when the service manager's watchdog is fed: only while the engine and the store have
//! both turned since the last look. Pure: the counts go in, the verdict comes out.

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Turns of the engine's loop.
    pub engine: u64,
    /// Turns of the store's loop.
    pub store: u64,
    /// The store takes nothing more, by policy, for want of disk or because of a fault: then the engine waits, rightly.
    pub store_refuses: bool,
}

/// Remembers the last look.
#[derive(Debug, Default)]
pub struct Progress {
    last: Turns,
}

impl Progress {
    /// Whether the pipeline has moved since the last look that said so.
    pub fn moved(&mut self, now: Turns) -> bool {
        let store = now.store != self.last.store;
        let engine = now.engine != self.last.engine || now.store_refuses;
        let moved = store && engine;
        if moved {
            self.last = now;
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_store_or_engine_is_no_progress() {
        let mut progress = Progress::default();
        assert!(progress.moved(Turns { engine: 1, store: 1, store_refuses: false }));
        assert!(!progress.moved(Turns { engine: 2, store: 1, store_refuses: false }), "store stands still");
        assert!(!progress.moved(Turns { engine: 1, store: 2, store_refuses: false }), "engine stands still");
        assert!(progress.moved(Turns { engine: 2, store: 2, store_refuses: false }));
    }

    #[test]
    fn an_engine_that_waits_for_the_store_is_not_stuck() {
        let mut progress = Progress::default();
        assert!(progress.moved(Turns { engine: 1, store: 1, store_refuses: false }));
        assert!(progress.moved(Turns { engine: 1, store: 2, store_refuses: true }));
        assert!(
            !progress.moved(Turns { engine: 1, store: 2, store_refuses: true }),
            "the store must turn all the same"
        );
    }
}

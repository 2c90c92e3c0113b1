//! The way of requests to the writer thread: an unbounded queue with one receiver.
//!
//! Owns sleeping and waking. A receiver that finds nothing goes to sleep at once, and a sender wakes it only when it
//! sleeps: on a small board turning and yielding for a while before every sleep, as general channels do, would cost
//! more than the requests. A receiver that wants to be woken less sleeps through what is not urgent. What bounds the
//! queue is the senders' business.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A new queue.
pub(super) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { items: VecDeque::new(), senders: 1, is_open: true, has_urgent: false, sleep: Sleep::Awake };
    let shared = Arc::new(Shared { state: Mutex::new(state), arrived: Condvar::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// Why there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// Nothing came in time.
    Yet,
    /// All senders are gone.
    Ever,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    senders: usize,
    /// The receiver is there.
    is_open: bool,
    /// An urgent item came since the queue was last empty.
    has_urgent: bool,
    sleep: Sleep,
}

/// How the receiver sleeps; `Awake` too when somebody has woken it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleep {
    Awake,
    /// Anything wakes it.
    Light,
    /// Only an urgent item, or the end, wakes it.
    Deep,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<'_, State<T>>) {
        let sleep = std::mem::replace(&mut state.sleep, Sleep::Awake);
        drop(state);
        if sleep != Sleep::Awake {
            self.arrived.notify_one();
        }
    }
}

/// A sender's end.
#[derive(Debug)]
pub(super) struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Adds an item; false when the receiver is gone.
    pub(super) fn send(&self, item: T, is_urgent: bool) -> bool {
        let mut state = self.0.lock();
        if !state.is_open {
            return false;
        }
        state.items.push_back(item);
        state.has_urgent |= is_urgent;
        if is_urgent || state.sleep == Sleep::Light {
            self.0.wake(state);
        }
        true
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        if state.senders == 0 {
            self.0.wake(state);
        }
    }
}

/// The receiver's end. What is in the queue when it is dropped is dropped with it.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T> Receiver<T> {
    /// The next item, waiting for it no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`Nothing`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, Nothing> {
        let is_there = |state: &State<T>| !state.items.is_empty() || state.senders == 0;
        self.sleep(timeout, Sleep::Light, is_there)
    }

    /// The next item after `time`, or as soon as an urgent one is in the queue.
    ///
    /// # Errors
    ///
    /// [`Nothing`].
    pub(super) fn recv_urgent(&self, time: Duration) -> Result<T, Nothing> {
        self.sleep(time, Sleep::Deep, |state| state.has_urgent || state.senders == 0)
    }

    fn sleep(&self, time: Duration, sleep: Sleep, is_over: impl Fn(&State<T>) -> bool) -> Result<T, Nothing> {
        let deadline = Instant::now() + time;
        let mut state = self.0.lock();
        while !is_over(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.sleep = sleep;
            let (woken, _) = self.0.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.sleep = Sleep::Awake;
        }
        Self::take(&mut state)
    }

    /// The next item, if it is there.
    ///
    /// # Errors
    ///
    /// [`Nothing`].
    pub fn try_recv(&self) -> Result<T, Nothing> {
        Self::take(&mut self.0.lock())
    }

    fn take(state: &mut State<T>) -> Result<T, Nothing> {
        let item = state.items.pop_front();
        state.has_urgent &= !state.items.is_empty();
        item.ok_or(if state.senders == 0 { Nothing::Ever } else { Nothing::Yet })
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_open = false;
        let items = std::mem::take(&mut state.items);
        // Dropping an item may send or drop senders.
        drop(state);
        drop(items);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_many_senders_send_arrives_once_and_in_each_senders_order() {
        let (sender, receiver) = channel();
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let sender = sender.clone();
                std::thread::spawn(move || (0..5_000).for_each(|number| assert!(sender.send((thread, number), false))))
            })
            .collect();
        drop(sender);
        let mut next = [0; 4];
        while let Ok((thread, number)) = receiver.recv_timeout(LONG) {
            assert_eq!(number, next[thread]);
            next[thread] += 1;
        }
        assert_eq!(next, [5_000; 4]);
        assert_eq!(receiver.try_recv(), Err(Nothing::Ever));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn a_sleeping_receiver_is_woken_by_the_last_sender_going() {
        let (sender, receiver) = channel::<u8>();
        let other = sender.clone();
        let sleeper = std::thread::spawn(move || receiver.recv_timeout(LONG));
        drop(sender);
        while other.0.lock().sleep == Sleep::Awake {
            std::thread::yield_now();
        }
        drop(other);
        assert_eq!(sleeper.join().unwrap(), Err(Nothing::Ever));
    }

    #[test]
    fn nothing_in_time_is_told_from_nothing_ever() {
        let (sender, receiver) = channel::<u8>();
        assert_eq!(receiver.recv_timeout(Duration::from_millis(1)), Err(Nothing::Yet));
        assert_eq!(receiver.try_recv(), Err(Nothing::Yet));
        assert!(sender.send(1, false));
        drop(sender);
        assert_eq!(receiver.recv_timeout(LONG), Ok(1), "what was sent before the end still arrives");
        assert_eq!(receiver.recv_timeout(LONG), Err(Nothing::Ever));
    }

    #[test]
    fn a_deep_sleeper_is_woken_by_what_is_urgent_and_by_nothing_else() {
        let (sender, receiver) = channel();
        let sleeper = std::thread::spawn(move || {
            let first = receiver.recv_urgent(LONG);
            (first, receiver.try_recv(), receiver.recv_urgent(Duration::from_millis(1)))
        });
        while sender.0.lock().sleep == Sleep::Awake {
            std::thread::yield_now();
        }
        assert!(sender.send(1, false));
        assert_eq!(sender.0.lock().sleep, Sleep::Deep, "it sleeps on");
        assert!(sender.send(2, true));
        assert_eq!(sleeper.join().unwrap(), (Ok(1), Ok(2), Err(Nothing::Yet)));
    }

    #[test]
    fn what_came_in_a_deep_sleep_is_there_after_it_and_what_was_urgent_before_it_prevents_it() {
        let (sender, receiver) = channel();
        assert!(sender.send(1, false));
        assert_eq!(receiver.recv_urgent(Duration::from_millis(1)), Ok(1));
        assert!(sender.send(2, true));
        assert!(sender.send(3, false));
        assert_eq!(receiver.recv_urgent(LONG), Ok(2));
        drop(sender);
        assert_eq!(receiver.recv_urgent(LONG), Ok(3));
        assert_eq!(receiver.recv_urgent(LONG), Err(Nothing::Ever));
    }

    #[test]
    fn what_nobody_will_receive_is_dropped() {
        let (sender, receiver) = channel();
        let item = Arc::new(());
        assert!(sender.send(Arc::clone(&item), true));
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(!sender.send(item, false));
    }
}

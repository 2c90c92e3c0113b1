//! Refusals: whether the broker means one event, or takes nothing at all at the moment.
//!
//! Owns the run of refusals: from an event that is refused while nothing shows that the broker takes others, to the next
//! one that it acknowledges. During a run events are kept, not set aside, and go one by one: the oldest is asked about
//! again by [`Window::ask_again`], and a few behind it are tried. What is acknowledged ends the run. If it stands behind
//! those kept, the broker takes others and means them: they are blamed. If it is the oldest, the broker has changed its
//! mind: the others are sent again. Pure.

use super::{Flight, Quarantine, REFUSALS_MAX, Refusal, Refused, State, Window};

/// Events refused with none acknowledged in between, before no more are tried without a pause; and events set aside with
/// none acknowledged in between, for what the broker says of each. Enough to get past a few forbidden ones in a row; a
/// fault of the broker's that hits all events costs no more.
pub const RUN_MAX: usize = 16;

/// Events tried after a pause when the run is longer than that: the oldest and, if it is still refused, one more.
const PROBES: usize = 2;

/// What the broker has refused and acknowledged of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    /// An event was kept, and none acknowledged since.
    is_on: bool,
    /// Events that may still be sent before [`Window::ask_again`].
    asks: usize,
    /// On this connection an event was acknowledged, and none set aside since.
    has_proof: bool,
    /// Events set aside since the last that was acknowledged.
    blamed: usize,
    /// Those kept are to be set aside.
    is_blaming: bool,
}

impl Run {
    pub(super) fn is_on(self) -> bool {
        self.is_on
    }

    pub(super) fn may_ask(self) -> bool {
        self.asks > 0
    }
}

impl<T: Clone> Window<T> {
    /// The broker has refused this packet id. What is to be sent again comes before all that has not been sent yet; what
    /// was sent behind it may arrive before it, as the broker has decided.
    pub fn on_refusal(&mut self, packet_id: u16, refusal: Refusal) -> Refused<T> {
        let Some(place) = self.land(packet_id) else { return Refused::Unknown };
        if self.requeue_message(place, refusal) {
            return Refused::Split;
        }
        let flight = &mut self.flights[place];
        if refusal != Refusal::NotNow {
            flight.refusals = flight.refusals.saturating_add(1);
        }
        let is_final = match refusal {
            Refusal::NotNow => false,
            Refusal::Unclear => flight.refusals >= REFUSALS_MAX,
            Refusal::Forbidden | Refusal::Never => true,
        };
        if !is_final {
            flight.state = State::Queued;
            self.step_back(place);
            self.limit = (self.limit / 2).max(1);
            self.acked_since_growth = 0;
            return Refused::Again;
        }
        let (sequence, item) = (flight.sequence, flight.item.clone());
        if self.run.has_proof || (refusal == Refusal::Never && self.run.blamed < RUN_MAX) {
            flight.state = State::Refused;
            let attempts = flight.refusals;
            self.run.has_proof = false;
            self.run.blamed += 1;
            // An answer about one event: the connection carries what the broker takes.
            self.acked_on_connection += 1;
            return Refused::SetAside(Quarantine { sequence, item, attempts });
        }
        flight.state = State::Kept;
        if !self.run.is_on {
            self.run.is_on = true;
            self.run.asks = RUN_MAX;
        }
        self.run.asks = self.run.asks.saturating_sub(1);
        self.limit = 1;
        self.acked_since_growth = 0;
        Refused::Kept(sequence, item)
    }

    /// Whether the broker refuses events and has acknowledged none since.
    pub fn is_refused(&self) -> bool {
        self.run.is_on
    }

    /// How many events are kept for that.
    pub fn kept(&self) -> usize {
        self.flights.iter().filter(is_kept).count()
    }

    /// Whether all answers are there, and the oldest event is kept: what is sent next is a later one, and blames those
    /// kept if it is acknowledged.
    pub fn is_past_kept(&self) -> bool {
        self.run.is_on && self.inflight == 0 && self.first_kept().is_some_and(|place| place < self.cursor)
    }

    /// The oldest event kept is sent again, and a few behind it if it is refused again: up to [`RUN_MAX`] different ones
    /// in all, and then one more each time, up to a window's worth beyond.
    pub fn ask_again(&mut self) {
        if !self.run.is_on {
            return;
        }
        let kept = self.kept();
        let is_deep = kept >= self.limit_max + RUN_MAX;
        self.run.asks = if is_deep { 1 } else { RUN_MAX.saturating_sub(kept).max(PROBES) };
        if let Some(place) = self.first_kept().filter(|place| *place < self.cursor) {
            self.flights[place].state = State::Queued;
            self.step_back(place);
        }
    }

    /// The next of the events that are to be set aside, since the broker took one behind them; once it is in the dead
    /// letters, report [`Window::set_aside`].
    pub fn take_blamed(&mut self) -> Option<Quarantine<T>> {
        if !self.run.is_blaming {
            return None;
        }
        let Some(flight) = self.flights.iter_mut().find(|flight| flight.state == State::Kept) else {
            self.run.is_blaming = false;
            return None;
        };
        flight.state = State::Refused;
        Some(Quarantine { sequence: flight.sequence, item: flight.item.clone(), attempts: flight.refusals })
    }

    /// The event at this place has been acknowledged.
    pub(super) fn end_run(&mut self, acknowledged: usize) {
        self.run.has_proof = true;
        self.run.blamed = 0;
        if !std::mem::take(&mut self.run.is_on) {
            return;
        }
        match self.first_kept() {
            Some(first) if first < acknowledged => self.run.is_blaming = true,
            _ => self.send_kept_again(),
        }
    }

    /// The connection has ended. `hung_up`: by the broker, after its only answer. Some brokers do that after each
    /// refusal, so that nothing behind it is ever answered; then a later event is tried on the next connection.
    pub(super) fn carry_run_over(&mut self, hung_up: bool) {
        self.run.has_proof = false;
        if !self.run.is_on {
            self.run.is_blaming = false;
            self.send_kept_again();
        } else if !(hung_up && self.run.may_ask() && self.is_past_kept()) {
            self.ask_again();
        }
    }

    fn send_kept_again(&mut self) {
        let Some(first) = self.first_kept() else { return };
        for flight in self.flights.iter_mut().filter(|flight| flight.state == State::Kept) {
            flight.state = State::Queued;
        }
        self.step_back(first);
    }

    fn first_kept(&self) -> Option<usize> {
        self.flights.iter().position(|flight| is_kept(&flight))
    }
}

fn is_kept<T>(flight: &&Flight<T>) -> bool {
    flight.state == State::Kept
}

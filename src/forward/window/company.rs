//! Events that share a message: all are acknowledged with it, and all are sent again with its connection's end.
//!
//! Owns when events may share one. None does that is under suspicion or was refused in company: of those each goes alone,
//! so that only the guilty one is set aside. Pure.

use super::{Flight, Puback, Refusal, State, Window};

impl<T: Clone> Window<T> {
    /// Whether an event may share a message: not while one that the broker does not take is looked for.
    pub fn may_share(&self, sequence: u64) -> bool {
        let is_searching = self.limit == 1 && self.limit_max > 1;
        !is_searching && !self.is_refused() && sequence > self.narrow_through.max(self.single_through)
    }

    /// Whether [`Window::offer`] would be followed by a send: nothing waits to be sent again and there is room.
    pub fn wants_more(&self) -> bool {
        self.cursor == self.flights.len() && self.has_room()
    }

    /// Whether more events are worth offering to fill a message of so many.
    pub fn wants_company(&self, events_max: usize) -> bool {
        self.has_room() && self.flights.len() - self.cursor < events_max
    }

    /// The next event to be sent behind this one.
    pub fn next_after(&self, sequence: u64) -> Option<(u64, T)> {
        let from = self.place_of(sequence.saturating_add(1)).max(self.cursor);
        let queued = |flight: &&Flight<T>| flight.state == State::Queued;
        self.flights.range(from..).find(queued).map(|flight| (flight.sequence, flight.item.clone()))
    }

    /// These events, the next to be sent in their order, have left in one message. `bytes`: of its payload, in memory.
    pub fn on_outgoing_together(&mut self, packet_id: u16, bytes: usize, sequences: &[u64]) {
        self.on_outgoing(packet_id, bytes);
        let mut before = sequences.first().map(|first| self.place_of(*first));
        for sequence in sequences.iter().skip(1) {
            let place = self.place_of(*sequence);
            let Some(flight) = self.flights.get_mut(place).filter(|flight| flight.state == State::Queued) else {
                continue;
            };
            flight.state = State::Sent { packet_id, bytes: 0, more: false };
            flight.is_follower = true;
            if let Some(State::Sent { more, .. }) =
                before.and_then(|before| self.flights.get_mut(before)).map(|flight| &mut flight.state)
            {
                *more = true;
            }
            before = Some(place);
        }
        self.skip_sent();
    }

    fn place_of(&self, sequence: u64) -> usize {
        self.flights.partition_point(|flight| flight.sequence < sequence)
    }

    /// The places of a message's events, from that of its first.
    fn places(&self, first: usize) -> Vec<usize> {
        let mut places = vec![first];
        let State::Sent { packet_id, mut more, .. } = self.flights[first].state else { return places };
        let mut place = first;
        while more {
            place += 1;
            match self.flights.get(place).map(|flight| flight.state) {
                Some(State::Sent { packet_id: of, more: further, .. }) if of == packet_id => {
                    places.push(place);
                    more = further;
                }
                Some(_) => {}
                None => break,
            }
        }
        places
    }

    fn is_shared(&self, place: usize) -> bool {
        matches!(self.flights[place].state, State::Sent { more: true, .. })
    }

    /// A message has been acknowledged.
    pub(super) fn finish(&mut self, first: usize) -> Puback<T> {
        if !self.is_shared(first) {
            self.flights[first].state = State::Done;
            return Puback::Delivered(self.flights[first].item.clone());
        }
        let mut items = Vec::new();
        for place in self.places(first) {
            self.flights[place].state = State::Done;
            items.push(self.flights[place].item.clone());
        }
        Puback::DeliveredTogether(items)
    }

    /// A message has been refused: makes its events wait again if it has several. True when each is to go alone.
    pub(super) fn requeue_message(&mut self, first: usize, refusal: Refusal) -> bool {
        if !self.is_shared(first) {
            return false;
        }
        for place in self.places(first) {
            self.flights[place].state = State::Queued;
            self.flights[place].is_follower = false;
            if refusal != Refusal::NotNow {
                self.single_through = self.single_through.max(self.flights[place].sequence);
            }
        }
        self.step_back(first);
        if refusal != Refusal::NotNow {
            // An answer about these events: the connection carries what the broker takes.
            self.acked_on_connection += 1;
        }
        refusal != Refusal::NotNow
    }

    /// What waits at this place is next.
    pub(super) fn step_back(&mut self, place: usize) {
        self.cursor = self.cursor.min(place);
        self.followers = self.flights.range(..self.cursor).filter(|flight| flight.is_follower).count();
    }
}

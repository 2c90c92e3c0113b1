//! Reading in several places at once.

use super::*;
use crate::store::dirs::Mode;
use crate::store::recover::recover;
use crate::store::ring::Ring;

#[test]
fn readers_in_three_places_open_each_generation_about_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    for _ in 0..120 {
        rig.commit((0..10).map(|_| big_event(Severity::Low, 10_000)).collect(), Vec::new());
    }
    let config = rig.close();
    let queue = config.path.join("queue");
    let mut recovered = recover(&queue, Mode::Look).unwrap();
    let mut ring = Ring::new(queue, &mut recovered, Mode::Look);
    let generations = ring.sealed.len() as u64;
    assert!(generations >= 4, "{generations}");
    let mut places = [1, 401, 801];
    while places[2] <= 1_200 {
        for next in &mut places {
            let events = ring.read(*next, 16, usize::MAX, 0, &mut Vec::new()).unwrap();
            assert_eq!(events[0].sequence, *next);
            *next = events.last().unwrap().sequence + 1;
        }
    }
    // Each place's first generation may be the last of the place before it.
    assert!(ring.opens() <= generations + 3, "{} opens of {generations} generations", ring.opens());
}

#[test]
fn the_status_says_how_severe_what_waits_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::open(&config(dir.path()));
    let severities = [Severity::Low, Severity::Critical, Severity::Low, Severity::High, Severity::Low];
    rig.commit(severities.map(|severity| event_of(severity, "x")).into(), Vec::new());
    let status = rig.wait("stored", |status| status.last_sequence == 5);
    assert_eq!(status.last_of_severity, [0, 5, 0, 4, 2]);
    let rig = rig.reopen();
    assert_eq!(rig.status().last_of_severity, [0, 5, 0, 5, 5], "as far as the catalogue tells");
}

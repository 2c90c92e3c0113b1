#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn batch(encoding: Encoding, events_max: usize, bytes_max: usize) -> Batch {
    let plan = BatchPlan { events_max, bytes_max, wait: Duration::from_secs(5), topic: "t/batch".into() };
    Batch::new(plan, encoding, 128 * 1024)
}

/// An event of about so many bytes that carries its number.
fn encoded(encoding: Encoding, sequence: u64, bytes: usize) -> Vec<u8> {
    let event = (sequence, "x".repeat(bytes));
    match encoding {
        Encoding::Json => serde_json::to_vec(&event).unwrap(),
        Encoding::Cbor => {
            let mut out = Vec::new();
            ciborium::into_writer(&event, &mut out).unwrap();
            out
        }
    }
}

/// The numbers in a batch's payload.
fn numbers(encoding: Encoding, payload: &[u8]) -> Vec<u64> {
    let all: Vec<(u64, String)> = match encoding {
        Encoding::Json => serde_json::from_slice(payload).unwrap(),
        Encoding::Cbor => ciborium::from_reader(payload).unwrap(),
    };
    all.into_iter().map(|(sequence, _)| sequence).collect()
}

#[test]
fn a_batch_leaves_when_it_is_full_or_its_first_event_has_waited() {
    let now = Instant::now();
    let mut batch = batch(Encoding::Json, 3, 4096);
    assert_eq!((batch.due(), batch.is_due(now)), (None, false), "nothing waits");
    assert_eq!(batch.offer(1, b"1", true, now), Offer::Taken);
    assert_eq!(batch.offer(2, b"2", true, now + Duration::from_secs(4)), Offer::Taken);
    assert!(!batch.is_due(now + Duration::from_secs(4)));
    assert!(batch.is_due(now + Duration::from_secs(5)));
    assert_eq!(batch.offer(3, b"3", true, now), Offer::Taken);
    assert!(batch.is_due(now), "full");
    assert_eq!(batch.offer(4, b"4", true, now), Offer::After);
    assert_eq!(batch.close(), b"[1,2,3]");
}

#[test]
fn what_does_not_share_goes_alone_behind_what_waits() {
    let now = Instant::now();
    let mut batch = batch(Encoding::Cbor, 9, 2048);
    assert_eq!(batch.offer(1, &[1], false, now), Offer::Alone);
    assert_eq!(batch.offer(1, &[0; 5000], true, now), Offer::Alone, "larger than any batch");
    assert_eq!(batch.offer(1, &[1], true, now), Offer::Taken);
    assert_eq!(batch.offer(2, &[2], false, now), Offer::After);
    assert_eq!(batch.close(), &[0x9f, 1, 0xff]);
    batch.clear();
    assert_eq!(batch.offer(2, &[2], false, now), Offer::Alone);
}

proptest! {
    #[test]
    fn every_event_leaves_once_in_order_within_the_bounds(
        events in proptest::collection::vec((0usize..1_500, 0u64..4_000, any::<bool>()), 0..200),
        events_max in 2usize..20,
        bytes_max in 1_024usize..6_000,
        is_cbor in any::<bool>(),
    ) {
        let encoding = if is_cbor { Encoding::Cbor } else { Encoding::Json };
        let mut batch = batch(encoding, events_max, bytes_max);
        let (mut now, mut out): (_, Vec<u64>) = (Instant::now(), Vec::new());
        let mut leave = |batch: &mut Batch| {
            let sequences = batch.sequences().to_vec();
            let payload = batch.close().clone();
            prop_assert!(payload.len() <= bytes_max && sequences.len() <= events_max);
            prop_assert_eq!(&numbers(encoding, &payload), &sequences);
            out.extend(sequences);
            batch.clear();
            Ok(())
        };
        let mut alone = Vec::new();
        for (sequence, (bytes, pause_ms, shares)) in (1..).zip(&events) {
            now += Duration::from_millis(*pause_ms);
            if batch.is_due(now) {
                leave(&mut batch)?;
            }
            let encoded = encoded(encoding, sequence, *bytes);
            let mut offer = batch.offer(sequence, &encoded, *shares, now);
            if offer == Offer::After {
                leave(&mut batch)?;
                offer = batch.offer(sequence, &encoded, *shares, now);
            }
            match offer {
                Offer::Taken => prop_assert!(*shares),
                Offer::Alone => {
                    prop_assert!(!shares || encoded.len() + 2 > bytes_max);
                    prop_assert!(batch.sequences().is_empty(), "nothing is overtaken");
                    alone.push(sequence);
                }
                Offer::After => prop_assert!(false, "an empty batch sends nobody away"),
            }
            prop_assert!(batch.due().is_none_or(|due| due <= now + Duration::from_secs(5)));
        }
        if !batch.sequences().is_empty() {
            leave(&mut batch)?;
        }
        prop_assert!(out.is_sorted());
        out.extend(alone);
        out.sort_unstable();
        prop_assert_eq!(out, (1..=events.len() as u64).collect::<Vec<_>>());
    }
}

//! The delivery window beside a queue that only holds what is in flight.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;

use tidegate::forward::window::{Puback, Window};

use super::support::stats::{beside, grouped};
use super::{ROUNDS, WINDOW};

/// An event goes in, leaves, and is acknowledged, while others are in flight.
pub fn window() {
    println!("\nthe delivery window, {WINDOW} in flight; medians of {ROUNDS} rounds; beside push_back and pop_front");
    let item: Arc<[u8]> = Arc::from([0; 64]);
    for (name, stride) in [("acknowledged in order", 1), ("acknowledged anyhow", 77)] {
        let mut window = Window::new(WINDOW, 0);
        let mut sequence = 0;
        let ours = || {
            for _ in 0..WINDOW {
                sequence += 1;
                assert!(window.offer(sequence, Arc::clone(&item)));
            }
            for at in 0..WINDOW {
                black_box(window.next()).unwrap();
                window.on_outgoing(at as u16 + 1, item.len());
            }
            for at in 0..WINDOW {
                // Odd, so that each comes once.
                let id = at * stride % WINDOW + 1;
                let landed = black_box(window.on_puback(id as u16));
                assert!(!matches!(landed, Puback::Unknown), "{id} is in flight");
            }
            assert!(window.is_empty());
        };
        let mut queue = VecDeque::with_capacity(WINDOW);
        let mut number = 0_u64;
        let plain = || {
            for _ in 0..WINDOW {
                number += 1;
                queue.push_back((number, Arc::clone(&item)));
            }
            while let Some(first) = queue.pop_front() {
                black_box(first);
            }
        };
        let (ours, plain) = beside(ROUNDS, WINDOW, ours, plain);
        println!(
            "{name:<22} | {:>11} events/s {ours:>6.1} ns | VecDeque {plain:>5.1} ns | ratio {:.1}",
            grouped(1e9 / ours),
            ours / plain
        );
    }
}

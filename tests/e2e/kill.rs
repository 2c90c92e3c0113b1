//! kill -9 at moments nobody chose.

mod moments;
mod reaper;
mod rounds;

use std::time::Duration;

use crate::stage::Stage;
use crate::support::consumer::{EXCEEDED, STARTED};
use crate::support::gateway::{crossing_value, reading};
use crate::support::summary::{Kind, Summary};
use crate::support::{PATIENT, SOON, long_run};

/// How often the gateway is killed in the outage.
const ROUNDS: u64 = 20;

/// Sensors that talk.
const SENSORS: u64 = 8;

/// Crossings of each sensor in a round.
const PER_ROUND: u64 = 40;

/// The longest a kill waits after the message it was due at, to fall between the gateway's own steps.
const KILL_DELAY_US_MAX: u64 = 20_000;

#[test]
fn twenty_kills_in_an_outage_lose_nothing_and_keep_the_order() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut stage = Stage::new();
    stage.start();
    stage.consumer.wait_for(STARTED, 1, SOON);
    stage.network.down();
    for round in 0..ROUNDS {
        // Every other time it dies while it is still starting, or soon after.
        if round % 2 == 1 {
            stage.gateway.spawn();
        } else if round > 0 {
            stage.gateway.start();
        }
        let kill_at = rng.u64(0..PER_ROUND * SENSORS);
        for n in 0..PER_ROUND * SENSORS {
            let seq = round * PER_ROUND + n / SENSORS + 1;
            let topic = format!("sensors/s{}/temp", n % SENSORS);
            stage.publisher.publish(&topic, reading(crossing_value(seq), seq));
            if n == kill_at {
                std::thread::park_timeout(Duration::from_micros(rng.u64(0..KILL_DELAY_US_MAX)));
                stage.gateway.kill();
            }
        }
        stage.publisher.flush();
    }
    stage.gateway.start();
    stage.network.restore();
    stage.consumer.wait_for_crossings(ROUNDS * PER_ROUND * SENSORS, PATIENT);
    Summary::of(Kind::Kills, ROUNDS, stage.publisher.acknowledged(), &stage.consumer).add();
    stage.consumer.assert_lossless();
}

#[test]
fn kills_while_filling_and_while_draining_lose_nothing() {
    let crossings: u64 = if long_run() { 100_000 } else { 10_000 };
    let sensors = 50;
    let per_sensor = crossings / sensors;
    let mut stage = Stage::with(|config| config.store = config.store.replace("64MiB", "512MiB"));
    stage.start();
    stage.consumer.wait_for(STARTED, 1, SOON);
    stage.network.down();
    stage.cross(sensors, 1, per_sensor / 2);
    stage.gateway.kill();
    stage.cross(sensors, per_sensor / 2 + 1, per_sensor - per_sensor / 2);
    stage.gateway.start();
    stage.network.restore();
    stage.consumer.wait_for_crossings(crossings / 2, PATIENT);
    stage.gateway.kill();
    stage.gateway.start();
    stage.consumer.wait_for_crossings(crossings, PATIENT);
    stage.consumer.assert_lossless();
    println!("{}", stage.consumer.summary());
}

#[test]
fn an_alarm_that_was_active_before_a_kill_is_neither_repeated_nor_forgotten() {
    let mut stage = Stage::new();
    stage.start();
    stage.say("oven", 80.0, 1);
    stage.consumer.wait_for(EXCEEDED, 1, SOON);
    stage.gateway.kill();
    stage.gateway.start();
    stage.say("oven", 85.0, 2);
    stage.say("oven", 20.0, 3);
    stage.say("oven", 81.0, 4);
    stage.consumer.wait_for(EXCEEDED, 2, PATIENT);
    let seqs: Vec<_> = stage.consumer.about("plant/oven/value").iter().map(|event| event.seq.unwrap()).collect();
    assert_eq!(seqs, [1, 3, 4]);
    let events = stage.consumer.about("plant/oven/value");
    assert_eq!(events[1].json["correlationid"], events[0].json["id"]);
    assert_eq!(events[1].data("episode")["peak"], 85.0);
    stage.consumer.assert_lossless();
}

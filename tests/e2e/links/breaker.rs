//! The circuit breaker as an operator sees it, and the word to connect now.

use super::Trial;
use crate::support::gateway::said;
use crate::support::{PATIENT, wait_until};

#[test]
fn the_breaker_is_shown_and_closes_when_the_broker_acknowledges_again() {
    let mut trial = Trial::start("refused until the breaker opens");
    assert_eq!(trial.stage.status()["upstream"]["breaker"]["state"], "closed");
    trial.stage.network.down();
    trial.cross_during();
    let breaker = |trial: &Trial| trial.stage.status()["upstream"]["breaker"].clone();
    wait_until("the breaker to open", PATIENT, || {
        let now = breaker(&trial);
        now["state"] == "open" && now["failures"].as_u64() >= Some(5) && now["next_attempt"].is_string()
    });
    wait_until("the words", PATIENT, || {
        let text = said(&trial.stage.ask(&["status"]));
        text.contains("circuit breaker OPEN") && text.contains("failures in a row") && text.contains("next attempt at")
    });
    trial.stage.gateway.wait_logged(&["circuit breaker open", "failures=5"]);
    trial.restore();
    let trial = trial.recovers();
    assert_eq!(breaker(&trial)["state"], "closed");
    trial.stage.gateway.wait_logged(&["circuit breaker closed"]);
    let lines = |word: &str| trial.stage.gateway.log().lines().filter(|line| line.contains(word)).count();
    assert_eq!((lines("circuit breaker open"), lines("circuit breaker closed")), (1, 1));
}

#[test]
fn a_technician_who_has_repaired_the_cable_need_not_wait() {
    let mut trial = Trial::tls("refused, then `upstream reconnect`", super::IMPATIENT);
    assert!(said(&trial.stage.ask(&["upstream", "reconnect"])).contains("connected already"));
    // From now on the waits are longer than the test.
    let slow = trial
        .stage
        .config
        .upstream
        .replace("backoff_min = \"100ms\"\nbackoff_max = \"1s\"\n", "backoff_min = \"1h\"\nbackoff_max = \"1h\"\n");
    assert_ne!(slow, trial.stage.config.upstream);
    trial.stage.network.down();
    trial.stage.config.upstream = slow;
    trial.stage.gateway.configure(&trial.stage.config);
    trial.stage.gateway.reload();
    trial.cross_during();
    trial.told(&["refuses connections"]);

    let failed = trial.stage.ask(&["upstream", "reconnect"]);
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    assert!(said(&failed).contains("refuses connections"), "{}", said(&failed));

    trial.restore();
    let done = trial.stage.ask(&["upstream", "reconnect"]);
    assert_eq!((done.status.code(), said(&done).trim()), (Some(0), "connected"));
    trial.stage.gateway.wait_logged(&["told to connect upstream now"]);
    trial.recovers();
}

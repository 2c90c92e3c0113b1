//! Nobody there: refused, no such host.

use super::Trial;
use crate::support::gateway::line;
use crate::support::{PATIENT, wait_until};

#[test]
fn a_refused_connection_is_told_and_waited_out() {
    let mut trial = Trial::start("connection refused");
    trial.stage.network.down();
    trial.cross_during();
    trial.told(&["refuses connections: nothing listens on port"]);
    trial.restore();
    trial.recovers();
}

#[test]
fn a_host_name_that_does_not_resolve_is_told_by_its_name_until_it_is_corrected() {
    let mut trial = Trial::start("host name does not resolve");
    let good = trial.stage.config.clone();
    let mut wrong = good.clone();
    let port = trial.stage.network.port();
    wrong.upstream = good.upstream.replace(
        &line("url", format!("mqtts://localhost:{port}")),
        &line("url", format!("mqtts://broker.tidegate.invalid:{port}")),
    );
    assert_ne!(wrong.upstream, good.upstream);
    trial.stage.gateway.configure(&wrong);
    trial.stage.gateway.reload();
    trial.cross_during();
    trial.told(&["no host named broker.tidegate.invalid", "the name broker.tidegate.invalid cannot be looked up"]);
    trial.stage.gateway.configure(&good);
    trial.stage.gateway.reload();
    trial.restore();
    trial.recovers();
}

#[test]
fn a_broker_that_restarts_under_load_loses_nothing() {
    let mut trial = Trial::start("broker restarts");
    trial.stage.upstream.stop();
    trial.cross_during();
    // The proxy takes the connection and then finds nobody.
    trial.told(&["closed the connection"]);
    trial.stage.upstream.resume();
    trial.restore();
    let trial = trial.recovers();
    wait_until("the connection", PATIENT, || trial.stage.status()["upstream"]["connected"] == true);
}

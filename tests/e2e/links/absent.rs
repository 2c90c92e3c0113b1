//! Nobody there: refused, no such host.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::Trial;
use crate::stage::Stage;
use crate::support::gateway::line;
use crate::support::{PATIENT, SOON, wait_until};

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

/// Somebody who answers nothing at this address: a port whose queue is full. Lives as long as its value.
fn black_hole(address: SocketAddr) -> io::Result<(TcpListener, Vec<TcpStream>)> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, 0)?;
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        filling.push(stream);
    }
    Ok((listener, filling))
}

#[test]
fn a_broker_whose_ipv6_address_leads_nowhere_is_reached_by_ipv4() {
    let mut stage = Stage::new();
    let port = stage.network.port();
    let hole = match black_hole((Ipv6Addr::LOCALHOST, port).into()) {
        Ok(hole) => hole,
        Err(error) => return println!("not run: there is no IPv6 here ({error})"),
    };
    // A name with both addresses, known to this gateway alone.
    let hosts = stage.path("hosts");
    std::fs::write(&hosts, "::1 broker.test\n127.0.0.1 broker.test\n127.0.0.1 localhost\n").unwrap();
    let script = format!("mount --bind {} /etc/hosts && exec \"$0\" \"$@\"", hosts.display());
    stage.gateway.wrap(&["unshare", "--map-root-user", "--mount", "sh", "-c", &script]);
    let url = line("url", format!("mqtt://127.0.0.1:{port}"));
    let by_name = line("url", format!("mqtt://broker.test:{port}")) + "allow_plaintext = true\n";
    assert!(stage.config.upstream.contains(&url));
    stage.config.upstream = stage.config.upstream.replace(&url, &by_name);
    stage.gateway.configure(&stage.config);
    stage.start();
    stage.cross(2, 1, 10);
    stage.consumer.wait_for_crossings(20, SOON);
    stage.consumer.assert_lossless();
    assert!(!stage.gateway.logged(&["not connected upstream"]), "the first attempt gets through");
    drop(hole);
}

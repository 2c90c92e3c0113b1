//! NATS JetStream as three nodes on loopback, streams in three copies: one node is killed while events flow.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::broker::{Broker, Make, Pki};
use crate::scene::{PATIENCE, SENSORS, Scene};
use crate::support::gateway::line;
use crate::support::mqtt::Session;
use crate::support::wait::holds_within;
use crate::support::wait_until;
use crate::tally::Tally;

/// Events in all.
const EVENTS: u64 = 50_000;

/// How long three nodes may take to find each other and make their streams.
const CLUSTER_START_MAX: Duration = Duration::from_secs(120);

/// Nodes; with three, one may be missing.
const NODES: usize = 3;

/// Starts the nodes. All must run before any takes MQTT clients: a stream has its copies on all of them.
fn cluster(dir: &std::path::Path) -> Vec<Broker> {
    let pki = Pki::new(dir);
    let mut nodes: Vec<_> = (0..NODES).map(|n| Broker::new(Make::Nats, dir, &format!("n{n}"), pki.clone())).collect();
    let peers: Vec<_> = nodes.iter().map(Broker::peer_port).collect();
    for (n, node) in nodes.iter_mut().enumerate() {
        node.routes = peers.iter().enumerate().filter(|(other, _)| *other != n).map(|(_, port)| *port).collect();
        node.launch();
    }
    for node in &nodes {
        let ready = holds_within(CLUSTER_START_MAX, || Session::enter(&node.door(), "probe", true).is_ok());
        assert!(ready, "the cluster does not start:\n{}", node.log());
    }
    nodes
}

/// The gateway knows all three nodes and is at node 0 first, the consumer at node 1; node `killed` dies after a fifth of
/// the events and comes back after four. When it is the gateway's own, the gateway goes to another by itself.
fn node_killed(killed: usize, fault: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = cluster(dir.path());
    let addresses: Vec<SocketAddr> = nodes.iter().map(Broker::address).collect();
    let mut scene = Scene::new(dir, addresses[0], &nodes[0].pki.clone(), nodes[1].door(), true);
    let others = addresses[1..].iter().map(|address| format!(", \"mqtts://localhost:{}\"", address.port()));
    let first = format!("mqtts://localhost:{}", scene.network.port());
    let urls = format!("urls = [\"{first}\"{}]\n", others.collect::<String>());
    scene.config.upstream = scene.config.upstream.replace(&line("url", first), &urls);
    scene.gateway.configure(&scene.config);
    scene.start();
    let part = EVENTS / SENSORS / 5;
    scene.cross(1, part);
    wait_until("the flow to run", PATIENCE, || scene.consumer.crossings() > 0);
    nodes[killed].kill();
    let since = Instant::now();
    let before = scene.consumer.crossings();
    wait_until("events through the two that are left", PATIENCE, || scene.consumer.crossings() > before + 500);
    let taken = since.elapsed();
    scene.cross(part + 1, 3 * part);
    nodes[killed].launch();
    scene.cross(4 * part + 1, part);
    scene.settle(EVENTS, true, since);
    let tally = Tally::of("NATS, three nodes", fault, EVENTS, &scene.consumer, taken);
    assert_eq!(tally.lost, 0);
    assert_eq!((scene.consumer.absent(), scene.consumer.announced_lost()), (0, 0));
}

#[test]
fn a_cluster_that_loses_another_node_loses_no_event() {
    if crate::wanted() {
        node_killed(2, "kill -9 of another node");
    }
}

#[test]
fn a_cluster_that_loses_the_gateways_node_loses_no_event() {
    if crate::wanted() {
        node_killed(0, "kill -9 of the gateway's node");
    }
}

//! The plant: two brokers, a network, and a gateway with many sources and alarms.

use std::fmt::Write as _;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::plan::{Fault, Plan};
use crate::small::Small;
use crate::support::free_port;
use crate::support::gateway::{Config, Gateway, line, upstream};
use crate::support::mosquitto::{Mosquitto, Options};
use crate::support::proxy::Proxy;
use crate::support::publisher::Publisher;

/// Room for a million events and the reserve.
const STORE: &str = "max_bytes = \"512MiB\"\n";

/// Everything but who counts.
pub struct Scene {
    pub gateway: Gateway,
    pub publisher: Publisher,
    pub network: Proxy,
    pub local: Mosquitto,
    pub upstream: Mosquitto,
    pub store: PathBuf,
    pub http_port: u16,
    _dir: TempDir,
}

impl Scene {
    /// Configured, not started.
    pub fn new(plan: &Plan, small: Option<&Small>) -> Self {
        // On a real disk: on a tmpfs the store would be memory.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let local = Mosquitto::start(dir.path(), "local", Options::persistent());
        let upstream = Mosquitto::start(dir.path(), "upstream", Options::persistent());
        let network = Proxy::start(upstream.address());
        let (store, http_port) = (dir.path().join("store"), free_port());
        let config = Config {
            gateway: line("id", "gw1") + &line("control_socket", dir.path().join("control.sock").display()),
            sources: (0..plan.sources).map(|source| mqtt_source(source, &local.url())).collect(),
            alarms: alarms(plan),
            store: line("path", store.display()) + STORE,
            upstream: self::upstream(&format!("mqtt://127.0.0.1:{}", network.port())),
            http: line("listen", format_args!("127.0.0.1:{http_port}")),
        };
        let mut gateway = Gateway::new(&dir.path().join("gateway"), &config);
        if let Some(small) = small {
            small.confine(&mut gateway);
        }
        let publisher = Publisher::new(local.address(), "plant");
        Self { gateway, publisher, network, local, upstream, store, http_port, _dir: dir }
    }

    /// Starts the gateway and waits until it listens to all sensors.
    pub fn start(&mut self, plan: &Plan) {
        self.gateway.start();
        self.wait_subscribed(plan, 1);
    }

    fn wait_subscribed(&self, plan: &Plan, times: usize) {
        for source in 0..plan.sources {
            self.local.wait_subscribed(&format!("tidegate-gw1-s{source:02}"), times);
        }
    }

    /// Carries a fault out.
    pub fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::Down => self.network.down(),
            Fault::Restore => self.network.restore(),
            Fault::Cut => self.network.cut(),
            Fault::UpstreamRestart => self.upstream.restart(),
            Fault::LocalRestart => self.local.restart(),
            Fault::Reload => self.gateway.reload(),
        }
    }
}

fn mqtt_source(source: u64, url: &str) -> String {
    line("name", format_args!("s{source:02}"))
        + &line("type", "mqtt")
        + &line("url", url)
        + &format!("topics = [\"soak/s{source:02}/+\"]\n")
        + "decode = { format = \"json\", device = \"{topic[2]}\", fields = { value = \"°C\" }, \
           carry = [\"seq\", \"ts\"] }\n"
}

/// Each sensor has one alarm that speaks at each of its readings; a few watch whole sources and have nothing to say.
fn alarms(plan: &Plan) -> Vec<String> {
    let share = plan.sensors.div_ceil(plan.alarms);
    let mut alarms = Vec::new();
    for alarm in 0..plan.sensors.div_ceil(share) {
        let mut sensors = String::new();
        for sensor in alarm * share..((alarm + 1) * share).min(plan.sensors) {
            write!(sensors, "\"{}\", ", plan.subject(sensor)).unwrap();
        }
        let condition = ["high = 75.0", "outside = [-40.0, 75.0]"][usize::try_from(alarm % 2).unwrap()];
        let severity = ["low", "medium", "high", "critical"][usize::try_from(alarm % 4).unwrap()];
        let name = line("name", format_args!("alarm-{alarm}"));
        alarms.push(format!("{name}sensors = [{sensors}]\n{condition}\nseverity = \"{severity}\"\n"));
    }
    let quiet = [
        "low = -40.0",
        "rate_above = \"1000000/s\"",
        "stale_after = \"7d\"",
        "deviation_from = 20.0\ndeviation_above = 1000.0",
    ];
    for (source, condition) in quiet.iter().enumerate() {
        let name = line("name", format_args!("quiet-{source}"));
        alarms.push(format!("{name}sensors = [\"s{source:02}/#\"]\n{condition}\n"));
    }
    alarms
}

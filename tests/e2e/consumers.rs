//! The example consumers of `tests/consumers`, in Rust and in Python, behind the real gateway: what is repeated after a
//! kill -9 they take once, and the gap that an eviction leaves they find and see explained.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::full::Full;
use crate::support::consumer::{LOST, STARTED};
use crate::support::{LONG, PATIENT, SOON, wait_until};

/// A consumer's process; ends with its value.
struct Example {
    child: Child,
    said: PathBuf,
}

impl Example {
    fn start(mut command: Command, dir: &Path, name: &str, port: u16) -> Self {
        let said = dir.join(name);
        let output = File::create(&said).unwrap();
        let errors = output.try_clone().unwrap();
        let command = command.args(["127.0.0.1", &port.to_string()]).stdin(Stdio::null()).stdout(output).stderr(errors);
        let example = Self { child: command.spawn().unwrap(), said };
        wait_until(&format!("{name} to subscribe"), SOON, || !example.lines("subscribed").is_empty());
        example
    }

    /// What it has said that begins with a word, without that word.
    fn lines(&self, word: &str) -> Vec<Vec<String>> {
        let text = fs::read_to_string(&self.said).unwrap();
        // The last line may not be whole yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let lines = whole.lines().map(words).filter(|line| line[0] == word);
        lines.map(|line| line[1..].to_vec()).collect()
    }

    /// The first number of each such line.
    fn numbers(&self, word: &str) -> Vec<u64> {
        self.lines(word).iter().map(|line| line[0].parse().unwrap()).collect()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let text = fs::read_to_string(&self.said).unwrap_or_default();
            let last: Vec<&str> = text.lines().rev().take(10).collect();
            println!("--- the last of {}, backwards\n{}\n---", self.said.display(), last.join("\n"));
        }
    }
}

/// The Rust example, built if this run has not.
fn rust() -> Command {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut build = Command::new(env!("CARGO"));
    let built = build.current_dir(root).args(["build", "--locked", "-q", "--example", "consumer"]).status().unwrap();
    assert!(built.success(), "the example does not build");
    let program = std::env::current_exe().unwrap();
    let target = program.parent().and_then(Path::parent).unwrap();
    Command::new(target.join("examples/consumer"))
}

/// The Python example, by the interpreter that has Debian's packages.
fn python() -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/consumers/consumer.py"));
    command
}

#[test]
fn the_example_consumers_take_repeats_once_and_see_every_gap_explained() {
    both_see_all("");
}

#[test]
fn the_example_consumers_read_compressed_batches() {
    both_see_all("batch = { wait = \"100ms\" }\ncompress = \"zstd\"\n");
}

/// With these keys of `[upstream]`.
fn both_see_all(keys: &str) {
    let mut full = Full::new("drop-oldest", |config| config.upstream += keys);
    let port = full.stage.upstream.address().port();
    let examples = [
        Example::start(rust(), full.stage.dir(), "rust", port),
        Example::start(python(), full.stage.dir(), "python", port),
    ];
    // The numbers begin, so that what is evicted leaves a gap behind them.
    full.stage.network.restore();
    full.stage.consumer.wait_for(STARTED, 1, PATIENT);
    full.stage.network.down();
    full.fill();
    full.wait_taken();
    // What is evicted now is missing; and the gateway dies with acknowledged events that its store has not been told of.
    let stage = &mut full.stage;
    stage.network.restore();
    let mut killed_at = 0;
    while stage.consumer.repeats() == 0 {
        wait_until("some to arrive", PATIENT, || stage.consumer.arrived() > killed_at + 300);
        killed_at = stage.consumer.arrived();
        stage.gateway.kill();
        stage.gateway.start();
        wait_until("the next to arrive", PATIENT, || stage.consumer.arrived() > killed_at);
    }
    let waiting = |full: &Full| full.stage.status()["store"]["waiting"] == 0;
    wait_until("everything to be delivered", LONG, || waiting(&full) && full.stage.consumer.count(LOST) > 0);
    let stage = &full.stage;
    // What the broker has taken it may still have to hand on.
    let last = || stage.status()["store"]["last_sequence"].as_u64();
    let is_all = || Some(stage.consumer.highest_sequence()) == last() && stage.consumer.unannounced() == 0;
    assert!(stage.consumer.arrives(PATIENT, is_all), "{}", stage.consumer.summary());
    let counted = || (stage.consumer.arrived(), stage.consumer.repeats());
    for example in &examples {
        let name = example.said.display();
        wait_until(&format!("{name} to have all"), PATIENT, || {
            example.numbers("event").len() as u64 == stage.consumer.arrived()
        });
        let events = example.numbers("event");
        assert_eq!(events.iter().collect::<BTreeSet<_>>().len(), events.len(), "{name} has taken an event twice");
        assert_eq!((events.len() as u64, example.numbers("repeat").len() as u64), counted(), "{name}");
        assert!(!example.lines("gap").is_empty(), "{name} has found no gap");
        let lost = example.lines("lost");
        assert_eq!(example.numbers("lost").iter().sum::<u64>(), stage.consumer.announced_lost(), "{name}");
        assert_eq!(
            lost.last().unwrap().last().unwrap(),
            "0",
            "{name}: not every missing event was announced: {lost:?}"
        );
    }
    stage.consumer.assert_accounted();
}

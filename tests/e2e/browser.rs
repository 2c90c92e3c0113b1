//! The local page in a real browser: what a person sees, and what a hostile sensor cannot do.
//!
//! Pictures of it are left in the build's directory for tests (`target/tmp/page-*.png`).

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use crate::chromium::Chromium;
use crate::stage::Stage;
use crate::support::consumer::EXCEEDED;
use crate::support::gateway::{high_alarm, line, reading};
use crate::support::{PATIENT, SOON, free_port, wait_until};

/// Fits a phone of the narrow kind, and a desk.
const WIDTHS: [(u32, u32, &str); 2] = [(375, 812, "phone"), (1280, 900, "desk")];

/// Gives the page an hour of values of its first three sensors with numbers, as the stream would have brought them.
const AN_HOUR: &str = "(async () => {
    const [page, state] = [await import('/js/sensors.js'), await (await fetch('/api/v1/state')).json()];
    page.take(state, state.alarms);
    const rows = state.sensors.flatMap((sensor, row) => typeof sensor.value === 'number' ? [row] : []).slice(0, 3);
    const now = Math.floor(state.boot_ms / state.bucket_ms);
    for (let slot = now - 119; slot <= now; slot += 1) {
        const changed = rows.filter((row) => row !== rows[1] || slot < now - 60 || slot > now - 40).map((row) => {
            const value = state.sensors[row].value - 8 * (row + 1) + 8 * (row + 1) * Math.sin((slot - now + 119) / (12 + 9 * row));
            return [row, state.sensors[row].value, '°C', state.boot_ms, [slot, value - 1, value + 1.5, value]];
        });
        page.take({ ...state, sensors: undefined, changed }, state.alarms);
    }
})()";

fn stage(change: impl FnOnce(&mut crate::support::gateway::Config)) -> (Stage, String) {
    let port = free_port();
    let stage = Stage::with(|config| {
        config.http = line("listen", format!("127.0.0.1:{port}"));
        change(config);
    });
    (stage, format!("http://127.0.0.1:{port}/"))
}

fn picture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{name}.png"))
}

/// Says that part of the page has a text.
fn has(id: &str, text: &str) -> String {
    format!("document.getElementById({}).innerText.includes({})", json!(id), json!(text))
}

#[test]
fn an_alarm_appears_and_clears_and_the_page_outlives_the_gateway_without_a_reload() {
    let (mut stage, url) = stage(|_| {});
    stage.start();
    let mut browser = Chromium::start();
    browser.open(&url);
    browser.wait_for("the page to be live", &has("live", "live"));
    browser.wait_for("the source", &has("sources", "plant"));
    browser.wait_for("the upstream", &has("upstream", "Connected"));
    // Whether all is well depends on this machine's clock.
    browser.wait_for("a verdict", "/All is well|No alarm/.test(document.getElementById('verdict').innerText)");
    browser.eval("window.loadedOnce = true");

    stage.say("oven", 80.5, 1);
    browser.wait_for("the alarm", &has("alarms", "too-warm"));
    browser.wait_for(
        "its value, limit and severity",
        "/80.5\\s°C above 75\\s°C/.test(document.getElementById('alarms').innerText)",
    );
    browser.wait_for(
        "the row of the sensor",
        "document.querySelector('.row.in-alarm.high .row-value')?.innerText.includes('80.5')",
    );
    browser.wait_for("its picture with the limit", "!!document.querySelector('.row svg .limit.high')");
    browser.wait_for("the event", &has("events", "too-warm raised"));
    stage.say("oven", 20.0, 2);
    browser.wait_for("the alarm to clear", "document.getElementById('alarms').hidden");
    browser.wait_for("the event of that", &has("events", "too-warm cleared"));

    stage.gateway.kill();
    browser.wait_for("the loss to be told", &has("banner", "No connection to the gateway since"));
    assert!(browser.text().contains("too-warm cleared"), "what was there is still shown");
    browser.complaints();
    stage.gateway.start();
    browser.wait_for("the page to be live again", &has("live", "live"));
    browser.wait_for("the banner to go", "document.getElementById('banner').hidden");
    stage.say("oven", 90.0, 3);
    browser.wait_for("an alarm of the new run", &has("alarms", "too-warm"));
    stage.consumer.wait_for(EXCEEDED, 2, PATIENT);
    let done = stage.ask(&["alarms", "suppress", "too-warm", "plant/oven/value"]);
    assert!(done.status.success(), "{done:?}");
    browser.wait_for("it to be taken out of force", &has("alarms", "suppressed"));
    assert_eq!(browser.eval("window.loadedOnce"), json!(true), "it was the same page all the time");
}

#[test]
fn the_upstreams_fault_and_what_waits_are_told_in_words() {
    let (mut stage, url) = stage(|_| {});
    stage.network.down();
    stage.start();
    stage.cross(2, 1, 5);
    wait_until("the events to be stored", SOON, || stage.status()["store"]["waiting"] == 11);
    let mut browser = Chromium::start();
    browser.open(&url);
    browser.wait_for("the upstream's state", &has("upstream", "Not connected"));
    browser.wait_for("the error", "document.querySelector('#upstream .quote')?.innerText.length > 20");
    browser.wait_for("what waits", &has("queue", "11 events wait"));
    browser.wait_for("the oldest", "/Oldest\\s+\\d+ (s|min) old/.test(document.getElementById('queue').innerText)");
    browser.wait_for("a look to be asked for", &has("verdict", "Upstream is not connected"));
    stage.network.restore();
    browser.wait_for("the connection", &has("upstream", "Connected"));
    browser.wait_for("the queue to drain", &has("queue", "0 events wait"));
}

#[test]
fn a_hostile_sensor_makes_no_markup_and_the_page_fits_a_phone() {
    let (mut stage, url) = stage(|config| {
        config.alarms.push(high_alarm("much-too-warm", "plant/+/value", 95.0, "critical"));
        config
            .alarms
            .push(line("name", "silent") + "sensors = [\"plant/#\"]\nstale_after = \"1h\"\nseverity = \"low\"\n");
        // Texts as they come.
        let texts = "topics = [\"texts/+\"]\ndecode = { format = \"json\", device = \"{topic[1]}\", fields = { state = { text = true } } }\n";
        let url = config.sources[0].lines().find(|line| line.starts_with("url")).unwrap().to_owned();
        config.sources.push(line("name", "texts") + &line("type", "mqtt") + &url + "\n" + texts);
    });
    stage.start();
    stage.local.wait_subscribed("tidegate-gw1-texts", 1);
    const IMAGE: &str = "<img src=x onerror=window.hacked=1>";
    const SCRIPT: &str = "</script><script>window.hacked=2</script>";
    stage.publisher.publish(&format!("sensors/{IMAGE}/temp"), reading(99.0, 1));
    stage.publisher.publish(&format!("texts/{IMAGE}"), json!({ "state": SCRIPT }).to_string());
    stage.publisher.publish("sensors/oven/temp", format!("{SCRIPT}\u{0}{IMAGE}"));
    stage.publisher.publish("sensors/oven/temp", format!("{{\"value\": \"{IMAGE}\"}}"));
    for (device, value) in [("oven", 61.25), ("kettle", 80.5), ("a-device-with-quite-a-long-name-in-the-cellar", 12.0)]
    {
        for step in 0..5 {
            stage.say(device, value + f64::from(step) * 0.7, 2);
        }
    }
    let mut browser = Chromium::start();
    browser.look(1280, 900, false);
    browser.open(&url);
    browser.wait_for("the alarm", &has("alarms", "much-too-warm"));
    browser.wait_for("the text", &has("sensors", "<script>window.hacked=2</script>"));
    browser.wait_for("the refused input", &has("refused", "</script><script>"));
    let text = browser.text();
    assert!(text.contains("<img src=x onerror=window.hacked=1>"), "shown as it is: {text}");
    assert_eq!(browser.eval("typeof window.hacked"), json!("undefined"));
    assert_eq!(browser.eval("document.querySelectorAll('img').length"), json!(1), "our own icon");
    assert_eq!(browser.eval("document.querySelectorAll('script').length"), json!(1), "our own script");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    // A picture is never the only way to a value.
    browser.eval("document.querySelector('.row:has(svg) summary').click()");
    browser.wait_for("the table of a picture", "document.querySelectorAll('.spark tbody tr td').length >= 3");
    browser.eval("document.querySelector('.row:has(svg) summary').click()");
    assert_eq!(
        browser.eval("[...document.querySelectorAll('.spark svg')].every(picture => picture.getAttribute('aria-label').includes('Last hour'))"),
        json!(true)
    );

    browser.eval(AN_HOUR);
    browser.wait_for(
        "an hour to be drawn",
        "[...document.querySelectorAll('.row .curve')].some(curve => curve.getAttribute('d').split('L').length > 100)",
    );
    for (width, height, name) in WIDTHS {
        for (dark, scheme) in [(false, "light"), (true, "dark")] {
            browser.look(width, height, dark);
            browser.wait_for(
                "the page to be laid out",
                &format!("innerWidth === {width} && !!document.querySelector('.row svg')"),
            );
            let overflow = browser.eval("document.documentElement.scrollWidth - innerWidth");
            assert!(overflow.as_f64() <= Some(0.0), "{width} px: scrolls sideways by {overflow}");
            browser.save_picture(&picture(&format!("{name}-{scheme}")));
        }
    }
    browser.eval("document.getElementById('find').value = 'kettle'; document.getElementById('find').dispatchEvent(new Event('input'))");
    browser.wait_for("only what is looked for", "document.querySelectorAll('.row').length === 1");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_token_is_asked_for_once_and_a_wrong_one_is_told() {
    let (mut stage, url) = stage(|_| {});
    let file = stage.path("token");
    std::fs::write(&file, "a-token-for-the-browser+/=").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    stage.config.http.push_str(&line("token_file", file.display()));
    stage.gateway.configure(&stage.config);
    stage.start();
    let mut browser = Chromium::start();
    browser.look(375, 812, false);
    browser.open(&url);
    browser.wait_for("the form", "!!document.getElementById('token')");
    browser.save_picture(&picture("login"));
    let enter = |token: &str| {
        // Not at once: the page goes when the form does, and could not say any more that this was done.
        format!(
            "document.getElementById('token').value = '{token}'; \
             setTimeout(() => document.querySelector('button').click()); 0"
        )
    };
    browser.eval(&enter("not-the-token"));
    browser.wait_for("the refusal", "document.querySelector('.wrong').innerText.includes('not the token')");
    browser.eval(&enter("a-token-for-the-browser+/="));
    browser.wait_for("the page to be live", &has("live", "live"));
    assert_eq!(browser.eval("document.cookie"), json!(""), "no script can read it");
    browser.open(&url);
    browser.wait_for("the page again, without the form", &has("live", "live"));
    // Open pages notice that the token has changed, and ask for the new one.
    std::fs::write(&file, "another-token-0123456789").unwrap();
    stage.gateway.reload();
    browser.wait_for("the form again", "!!document.getElementById('token')");
}

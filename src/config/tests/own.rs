//! The gateway's own readings: when they are on, and what is said of alarms on them.

use super::*;

/// A file with a `[gateway]` table and one alarm.
fn file(gateway: &str, alarm: &str) -> String {
    format!("[gateway]\nid = \"g\"\n{gateway}\n[[alarm]]\nname = \"a\"\n{alarm}\n[upstream]\nurl = \"mqtts://h\"\n")
}

#[test]
fn the_gateway_reads_itself_when_told_to_or_when_an_alarm_names_a_reading() {
    for (gateway, alarm, on) in [
        ("", "sensors = [\"gateway/cpu_temperature\"]\nhigh = 80", true),
        ("", "sensors = [\"gateway/#\"]\nstale_after = \"5m\"", true),
        ("", "sensors = [\"x/+\", \"gateway/+\"]\nhigh = 1", true),
        ("", "sensors = [\"x/y\"]\ndeviation_from = \"gateway/cpu_temperature\"\ndeviation_above = 1", true),
        ("", "sensors = [\"#\"]\nhigh = 1", false),
        ("", "sensors = [\"+/cpu_temperature\"]\nhigh = 1", false),
        ("", "sensors = [\"gateway2/cpu_temperature\"]\nhigh = 1", false),
        ("watch = true", "sensors = [\"x/y\"]\nhigh = 1", true),
        ("watch = false", "sensors = [\"gateway/cpu_temperature\"]\nhigh = 80", false),
    ] {
        assert_eq!(good(&file(gateway, alarm)).config.watches_itself(), on, "{gateway} {alarm}");
    }
}

#[test]
fn an_alarm_on_a_reading_that_the_gateway_does_not_have_is_told() {
    for (gateway, pattern, words) in [
        ("", "gateway/cpu_temprature", "did you mean `gateway/cpu_temperature`?"),
        ("", "gateway/disk/free", "gateway/quantity"),
        ("watch = false", "gateway/cpu_temperature", "`watch` in [gateway] is off"),
    ] {
        let source = "[[source]]\nname = \"s\"\ntype = \"serial\"\nport = \"/p\"\ndecode = { format = \"json\" }\n";
        let text = file(gateway, &format!("sensors = [\"{pattern}\"]\nhigh = 80")) + source;
        let warnings = warnings(&text);
        let told = warnings.iter().find(|(_, text)| text.contains("gateway's own readings"));
        assert!(told.is_some_and(|(_, text)| text.contains(words)), "{pattern}: {warnings:?}");
    }
    let text = file("", "sensors = [\"gateway/queue_events\"]\nhigh = 80");
    assert_eq!(warnings(&text), [], "nothing is missing: the gateway itself is a source");
}

#[test]
fn the_gateways_name_is_refused_for_a_source() {
    let text = "[[source]]\nname = \"gateway\"\ntype = \"serial\"\nport = \"/p\"\ndecode = { format = \"json\" }\n";
    one_error(text, "name = \"gateway\"", &["cannot be named `gateway`", "another name", "`watch`"]);
}

#[test]
fn how_often_it_reads_itself_is_bounded() {
    let text = |every: &str| file(&format!("watch = true\nwatch_every = \"{every}\""), "sensors = [\"#\"]\nhigh = 1");
    assert_eq!(good(&text("5s")).config.gateway.watch_every, std::time::Duration::from_secs(5));
    for wrong in ["100ms", "2h"] {
        assert_eq!(errors(&text(wrong)).len(), 1, "{wrong}");
    }
}

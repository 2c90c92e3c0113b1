//! Every kind of mistake, its line, and the words that help.

use super::*;

#[test]
fn a_file_with_five_mistakes_reports_exactly_five_with_their_lines() {
    let text = r#"[gateway]
id = "two words"
[[alarm]]
name = "a"
sensors = ["boiler/#"]
treshold = 80.0
on_delay = 30
[[alarm]]
name = "b"
sensors = ["x"
low = 1
severity = "urgent"
[store]
max_bytes = 8,5
"#;
    let lines: Vec<usize> = errors(text).iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 6, 7, 10, 12, 14], "{}", load_str(text).unwrap_err());
    let five = text.replace("max_bytes = 8,5\n", "");
    assert_eq!(errors(&five).len(), 5);
}

#[test]
fn unknown_keys_are_told_with_what_was_meant() {
    for (key, meant) in [
        ("treshold = 8", "`high`"),
        ("threshold = 8", "`high`"),
        ("above = 8", "`high`"),
        ("max = 8", "`high`"),
        ("hihg = 8", "`high`"),
        ("below = 8", "`low`"),
        ("hysteresis = 8", "`deadband`"),
        ("on-delay = '5m'", "`on_delay`"),
        ("timeout = '5m'", "`stale_after`"),
        ("priority = 'high'", "`severity`"),
    ] {
        mistake(
            "high = 8.0",
            &format!("low = 1\n{key}"),
            key,
            &["unknown key", "did you mean", meant, "an alarm takes"],
        );
    }
    mistake("port =", "device =", "device = \"/dev", &["did you mean `port`?"]);
    mistake("id = \"g\"", "wibble = 1", "wibble", &["unknown key `wibble`", "`log_level`"]);
    mistake("temperature = \"°C\"", "temperature = { factor = 2 }", "factor", &["did you mean `scale`?"]);
}

#[test]
fn a_misspelt_required_key_is_one_error_not_two() {
    mistake("high = 8.0", "treshold = 8.0", "treshold", &["did you mean `high`?"]);
    mistake("topics =", "topic =", "topic =", &["did you mean `topics`?"]);
}

#[test]
fn unknown_tables_are_refused() {
    mistake(
        "[gateway]\nid = \"g\"",
        "[https]\nlisten = 1",
        "[https]",
        &["unknown table `https`", "did you mean [http]?"],
    );
    mistake("[upstream]", "[output]", "[output]", &["did you mean [upstream]?"]);
    mistake("[gateway]", "[[gateway]]", "[[gateway]]", &["there is only one [gateway]"]);
    mistake(
        "[gateway]\nid",
        "gateway = 3\n[[alarm]]\nname='b'\nsensors=['#']\nlow = 1 #",
        "gateway =",
        &["expected a table"],
    );
    mistake("[gateway]\nid = \"g\"", "time_zone = \"UTC\"", "time_zone", &["before any table", "[gateway]"]);
    let text = with("[[alarm]]", "[alarm]");
    one_error(&text, "[alarm]", &["double brackets", "[[alarm]]"]);
    let text = with("port = ", "http = { listen = 1 }\nport = ");
    one_error(&text, "http", &["unknown table `http`", "a source takes"]);
}

#[test]
fn keys_of_another_type_are_told_whose_they_are() {
    mistake("topics =", "baud = 9600\ntopics =", "baud", &["no meaning with type = \"mqtt\"", "\"serial\""]);
    mistake("\"key-value\"", "\"key-value\", header = true", "header", &["only with format = \"csv\""]);
    let number = "decode = { format = \"number\", ts_field = \"t\" }";
    mistake("decode = { format = \"key-value\" }", number, "ts_field", &["no meaning with format = \"number\""]);
}

#[test]
fn wrong_types_are_told_with_what_was_found() {
    mistake("id = \"g\"", "id = 7", "id = 7", &["`id` is a whole number", "expected a text"]);
    mistake("high = 8.0", "high = \"8.0\"", "high =", &["is a text", "expected a number", "write 8.0, without quotes"]);
    mistake("high = 8.0", "high = \"${HIGH}\"", "high =", &["inside texts only"]);
    mistake("high = 8.0", "high = true", "high =", &["is true/false"]);
    mistake("high = 8.0", "high = nan", "high =", &["finite"]);
    mistake("high = 8.0", "high = 1e999", "high =", &["finite"]);
    mistake("high = 8.0", "high = 1979-05-27", "high =", &["is a date"]);
    mistake("high = 8.0", "high = 8\nlatched = \"true\"", "latched", &["write latched = true, without quotes"]);
    mistake("high = 8.0", "high = 8\nmin_samples = 1.5", "min_samples", &["is a number", "1 to 1000"]);
    mistake("sensors = [\"zigbee/+/temperature\"]", "sensors = \"zigbee/#\"", "sensors", &["[\"zigbee/#\"]"]);
    let hook = |command: &str| format!("high = 8.0\non_event = {{ command = {command} }}");
    for (command, list) in [
        ("\"/usr/bin/logger hot\"", "command = [\"/usr/bin/logger\", \"hot\"]"),
        ("'/usr/bin/logger  too hot'", "command = [\"/usr/bin/logger\", \"too\", \"hot\"]"),
        ("\"/usr/bin/siren\"", "command = [\"/usr/bin/siren\"]"),
        ("'/bin/say \"too hot\"'", "command = ['/bin/say \"too hot\"']"),
    ] {
        mistake("high = 8.0", &hook(command), "on_event", &["`command` is a text", list]);
    }
    mistake("sensors = [\"zigbee/+/temperature\"]", "sensors = [1]", "sensors", &["expected a text"]);
    mistake("decode = { format = \"key-value\" }", "decode = \"key-value\"", "decode = \"key", &["a table such as"]);
    mistake("temperature = \"°C\"", "temperature = 5", "temperature = 5", &["a unit such as"]);
    mistake("id = \"g\"", "log_level = \"inof\"", "log_level", &["did you mean \"info\"?", "\"trace\""]);
    mistake("id = \"g\"", "log_level = 3", "log_level", &["expected \"error\""]);
}

#[test]
fn durations_sizes_and_rates_need_their_unit() {
    mistake("high = 8.0", "high = 8\non_delay = 30", "on_delay", &["no unit", "write \"30s\""]);
    mistake("high = 8.0", "high = 8\non_delay = 1.5", "on_delay", &["write \"1.5s\""]);
    mistake("high = 8.0", "high = 8\non_delay = \"30\"", "on_delay", &["write \"30s\""]);
    mistake("high = 8.0", "high = 8\non_delay = \"soon\"", "on_delay", &["cannot read \"soon\"", "\"1h 30m\""]);
    mistake("high = 8.0", "high = 8\non_delay = true", "on_delay", &["expected a duration"]);
    mistake("[upstream]", "[store]\nmax_bytes = 67108864\n[upstream]", "max_bytes", &["write \"64MiB\""]);
    mistake("[upstream]", "[store]\nmax_bytes = \"64\"\n[upstream]", "max_bytes", &["\"64MiB\""]);
    mistake("high = 8.0", "rate_above = 5", "rate_above", &["\"5/min\""]);
    mistake("high = 8.0", "rate_above = \"5 a day\"", "rate_above", &["\"5/min\""]);
    mistake("high = 8.0", "rate_above = \"-5/min\"", "rate_above", &["not above 0", "falling"]);
}

#[test]
fn values_out_of_bounds_are_told_with_the_bounds() {
    mistake("port =", "baud = 12\nport =", "baud", &["out of bounds", "50 to 4000000"]);
    mistake("port =", "baud = 99999999999999999999\nport =", "baud", &["out of bounds"]);
    mistake("port =", "data_bits = 9\nport =", "data_bits", &["7 or 8"]);
    mistake("topics =", "qos = 3\ntopics =", "qos", &["0, 1 or 2"]);
    mistake("topics =", "keep_alive = \"10ms\"\ntopics =", "keep_alive", &["1s to 18h"]);
    mistake("high = 8.0", "high = 8\non_delay = \"400d\"", "on_delay", &["expected 0s to 366d"]);
    mistake("[upstream]", "[store]\nmax_bytes = \"1MiB\"\n[upstream]", "max_bytes", &["32MiB to 1TiB"]);
    mistake("[upstream]", "[upstream]\nwindow = 0", "window", &["1 to 1000"]);
    mistake("[upstream]", "[upstream]\nbackoff_min = \"1m\"\nbackoff_max = \"1s\"", "backoff_max", &["shorter"]);
    mistake(
        "[upstream]",
        "[upstream]\nrate_limit = { events_per_second = 0 }",
        "events_per_second",
        &["out of bounds", "1 to 100000"],
    );
    mistake("[upstream]", "[upstream]\nrate_limit = {}", "rate_limit", &["limits nothing"]);
    mistake("[upstream]", "[upstream]\nrate_limit = 50", "rate_limit", &["a table such as"]);
    mistake("[upstream]", "[upstream]\norder = \"newest-first\"", "order", &["live-first"]);
    mistake("[upstream]", "[upstream]\nconnect_when = \"*/15 * * *\"", "connect_when", &["4 fields"]);
    mistake("[upstream]", "[upstream]\nconnect_for = \"1m\"", "connect_for", &["without `connect_when`"]);
    mistake("high = 8.0", "high = 8\ncontext = 101", "context", &["0 to 100"]);
}

#[test]
fn a_control_socket_is_a_path_that_a_socket_can_have() {
    let socket = |path: &str| format!("id = \"g\"\ncontrol_socket = \"{path}\"");
    let relative = &["a relative path", "\"/run/tidegate/control.sock\", or \"off\""];
    for path in ["control.sock", "./control.sock", "of"] {
        mistake("id = \"g\"", &socket(path), "control_socket", relative);
    }
    let long = format!("/{}", "s".repeat(107));
    mistake("id = \"g\"", &socket(&long), "control_socket", &["108 bytes long", "at most 107 bytes"]);
    let loaded = good(&with("id = \"g\"", &socket(&long[..107])));
    assert_eq!(loaded.config.gateway.control_socket.as_deref(), Some(Path::new(&long[..107])));
    assert_eq!(good(&with("id = \"g\"", &socket("off"))).config.gateway.control_socket, None);
}

#[test]
fn required_keys_that_are_missing_are_told_at_their_table() {
    mistake("name = \"too-warm\"\n", "", "[[alarm]]", &["an alarm needs `name`"]);
    mistake("sensors = [\"zigbee/+/temperature\"]\n", "", "[[alarm]]", &["needs `sensors`", "list of patterns"]);
    mistake("high = 8.0\n", "", "[[alarm]]", &["no condition", "`high`", "`stale_after`"]);
    let text = with("type = \"serial\"\n", "");
    assert_eq!(errors(&text).len(), 1);
    assert!(errors(&text)[0].1.contains("a source needs `type`") && errors(&text)[0].0 == 10);
}

#[test]
fn names_are_unique_and_plain() {
    mistake("name = \"boiler\"", "name = \"zigbee\" #2", "#2", &["two sources are named `zigbee`", "the first"]);
    mistake(
        "[upstream]",
        "[[alarm]]\nname = \"too-warm\" #2\nsensors = [\"#\"]\nlow = 1\n[upstream]",
        "#2",
        &["two alarms"],
    );
    mistake("\"too-warm\"", "\"too warm\"", "too warm", &["letters, digits"]);
    mistake("\"boiler\"", "\"boiler/1\"", "boiler/1", &["letters, digits"]);
    mistake("\"too-warm\"", "\"\"", "name = \"\"", &["letters, digits"]);
    mistake("high = 8.0", "high = 8.0\nhigh = 9.0", "9.0", &["`high` is there twice", "the first time"]);
}

#[test]
fn patterns_filters_templates_and_schedules_point_at_the_fault() {
    mistake(
        "zigbee/+/temperature",
        "zigbee/#/temperature",
        "#/t",
        &["`#` stands only", "sensors = [\"zigbee/#/temp", ":17:20"],
    );
    mistake("zigbee/+/temperature", "zigbee/*/temperature", "*/t", &["`+` stands for one level"]);
    mistake("zigbee2mqtt/+", "zigbee2mqtt/a+", "mqtt/a+", &["this is no MQTT filter", "`+`"]);
    mistake("{topic[1]}", "{topic[1}", "{topic[1}", &["{topic[N]}", ":9:39"]);
    mistake("{topic[1]}", "{topic[2]}", "{topic[2]}", &["level 2", "from 0"]);
    mistake("\"key-value\"", "\"key-value\", device = \"{topic}\"", "{topic}", &["no topic"]);
    mistake("[upstream]", "[upstream]\ntopic = \"t/{sensr}\"", "{sensr}", &["{severity}", ":20:12"]);
    mistake("[upstream]", "[upstream]\ntopic = \"1/2/3/4/5/6/7/8/9\"", "1/2", &["8 slashes", "at most 7"]);
    mistake("[upstream]", "[upstream]\ntopic = \"${topic}\"", "${topic}", &["{topic}, without the dollar"]);
    mistake("high = 8.0", "high = 8.0\nschedule = [\"mon-fry 06:00-18:00\"]", "schedule", &["`fry` is no day"]);
    mistake("high = 8.0", "high = 8.0\nschedule = [\"mon 06:00-06:00\"]", "schedule", &["00:00-24:00"]);
}

#[test]
fn a_broker_address_with_a_password_is_refused_without_showing_it() {
    let text = with("mqtts://broker", "mqtts://me:hunter2@broker");
    one_error(&text, "hunter2", &["`username` and `password_file`"]);
    assert!(!load_str(&text).unwrap_err().to_string().contains("hunter2"));
    for key in ["username = \"u\"\npassword_file", "cert_file = \"/c\"\nkey_file"] {
        let text = with("[upstream]", &format!("[upstream]\n{key} = \"hunter2-----BEGIN\""));
        one_error(&text, "hunter2", &["takes the path of a file"]);
        assert!(!load_str(&text).unwrap_err().to_string().contains("hunter2"));
    }
    let text = with("[upstream]", "[upstream]\npassword = hunter2");
    assert!(!load_str(&text).unwrap_err().to_string().contains("hunter2"));
    let text = with("id = \"g\"", "id = \"${SECRET} x\"\ntime_zone = \"${SECRET}\"\nlog_level = \"${SECRET}\"");
    assert!(!load_str(&text).unwrap_err().to_string().contains("hunter2"), "a variable's value is not shown");
}

#[test]
fn time_zones_are_known_to_the_system() {
    mistake("id = \"g\"", "time_zone = \"Mars/Olympus\"", "time_zone", &["no time zone that this system knows"]);
}

#[test]
fn variables_that_are_not_set_are_told_with_their_line() {
    mistake("id = \"g\"", "id = \"${NOWHERE}\"", "NOWHERE", &["`NOWHERE` is not set", "${NOWHERE:-default}", ":3:7"]);
    mistake("id = \"g\"", "id = \"${NOWHERE:?set SITE in the unit}\"", "NOWHERE", &["set SITE in the unit"]);
    mistake("id = \"g\"", "id = \"${\"", "id =", &["never closed"]);
    let loaded = good(&with("mqtts://broker.example.com", "mqtts://${HOST}:${PORT:-8884}"));
    let url = loaded.config.upstream.unwrap().url;
    assert_eq!((url.host.as_str(), url.port), ("broker.example.com", 8884));
}

#[test]
fn syntax_errors_are_told_one_by_one_without_hiding_the_rest() {
    mistake("high = 8.0", "high 8.0", "high 8.0", &["without a value", "expected `=`"]);
    mistake("high = 8.0", "high =", "high =", &["quotes"]);
    mistake("high = 8.0", "high = 8,0", "high", &["with a point", "write 8.0"]);
    mistake("\"too-warm\"", "too-warm", "too-warm", &["a text stands in quotes", "write name = \"too-warm\""]);
    mistake("high = 8.0", "high = 8.0\nlatched = yes", "yes", &["write latched = true"]);
    mistake("high = 8.0", "high = 8.0\nhold_off = 30s", "30s", &["write hold_off = \"30s\""]);
    mistake("\"too-warm\"", "\"too-warm", "too-warm", &["not closed"]);
    mistake("sensors = [\"zigbee/+/temperature\"]", "sensors = [\"zigbee/#\"", "sensors", &["`[` is never closed"]);
    mistake("sensors = [\"zigbee/+/temperature\"]", "sensors = [\n \"a\"\n \"b\" #\n]", " \"b\"", &["expected `,`"]);
    mistake("decode = { format = \"key-value\" }", "decode = { format = \"json\" #x", "#x", &["`{` is never closed"]);
    mistake("[[alarm]]", "[[alarm]", "[[alarm]", &["expected `]`"]);
    let text = with("[upstream]", "[gateway]\ntime_zone = \"UTC\" #\n[upstream]");
    assert_eq!(errors(&text).len(), 1);
    assert!(errors(&text)[0].1.contains("table `gateway` is there twice") && errors(&text)[0].0 == 19);
}

#[test]
fn what_matches_nothing_or_changes_nothing_is_a_warning() {
    for (from, to, words) in [
        (
            "zigbee/+/temperature",
            "zigbe/+/temperature",
            &["matches no sensor", "did you mean the source `zigbee`?"][..],
        ),
        ("zigbee/+/temperature", "zigbee/+/temprature", &["did you mean the quantity `temperature`?"]),
        ("zigbee/+/temperature", "other/#", &["there is no source `other`"]),
        ("zigbee/+/temperature", "zigbee/temperature", &["matches no sensor", "named source/device/quantity"]),
        ("high = 8.0", "deviation_from = \"boler/t\"\ndeviation_above = 1", &["the source `boiler`"]),
        ("high = 8.0", "high = 8.0\ngroup = \"lonely\"", &["the only alarm of group `lonely`"]),
        ("[upstream]", "[upstream]\ntopic = \"events\"", &["the same topic", "{gateway}"]),
        ("/dev/serial/by-id/x", "/dev/ttyUSB0", &["/dev/serial/by-id/"]),
        ("[upstream]", "[store]\npath = \"data\"\n[upstream]", &["relative path"]),
        ("mqtt://127.0.0.1\"", "mqtt://10.0.0.1\"\nusername = \"u\"\npassword_file = \"/p\"", &["in the clear"]),
        ("\"key-value\"", "\"key-value\", ts_unit = \"ms\"", &["no effect without `ts_field`"]),
    ] {
        let warnings = warnings(&with(from, to));
        assert_eq!(warnings.len(), 1, "{to}: {warnings:?}");
        for word in words {
            assert!(warnings[0].1.contains(word), "`{word}` is not in\n{}", warnings[0].1);
        }
    }
    assert_eq!(warnings(GOOD), []);
}

#[test]
fn limits_on_counts_are_enforced() {
    let sensors: Vec<String> = (0..65).map(|n| format!("\"zigbee/{n}/temperature\"")).collect();
    let list = format!("sensors = [{}]", sensors.join(","));
    mistake("sensors = [\"zigbee/+/temperature\"]", &list, "sensors", &["holds 65 entries", "at most 64"]);
    let alarms: String =
        (0..=crate::config::ALARMS_MAX).map(|n| format!("[[alarm]]\nname='a{n}'\nsensors=['#']\nlow=1\n")).collect();
    assert_eq!(errors(&alarms).len(), 1);
    assert!(errors(&alarms)[0].1.contains("more than 5000 alarms"));
}

//! Settings that are right each by itself and make no sense together, with the words that help.

use super::*;

#[test]
fn an_alarm_has_exactly_one_condition_and_keys_that_go_with_it() {
    mistake("high = 8.0", "high = 8.0\nlow = 2.0", "low", &["`high` and `low` in one alarm", "outside = [low, high]"]);
    mistake("high = 8.0", "high = 8.0\nstale_after = \"5m\"", "stale_after", &["one condition", "`group`"]);
    mistake("high = 8.0", "high = 8.0\nrate_window = \"5m\"", "rate_window", &["only with `rate_above`"]);
    mistake("high = 8.0", "high = 8.0\ndeviation_above = 5", "deviation_above", &["only with `deviation_from`"]);
    mistake("high = 8.0", "deviation_from = \"boiler/t\"", "deviation_from", &["needs `deviation_above`"]);
    mistake(
        "high = 8.0",
        "deviation_from = \"boiler/#\"\ndeviation_above = 1",
        "deviation_from",
        &["without wildcards"],
    );
    mistake("high = 8.0", "deviation_from = 5\ndeviation_above = 0", "deviation_above", &["not above 0"]);
    mistake("high = 8.0", "outside = [8, 2]", "outside", &["8 is not below 2"]);
    mistake("high = 8.0", "outside = [8]", "outside", &["two numbers"]);
    mistake("high = 8.0", "equals = []", "equals", &["is empty"]);
    mistake("high = 8.0", "equals = [{ a = 1 }]", "equals", &["a number or a text"]);
}

#[test]
fn a_deadband_that_cannot_work_is_refused() {
    mistake("high = 8.0", "high = 8.0\ndeadband = -1", "deadband", &["negative"]);
    mistake("high = 8.0", "outside = [2, 8]\ndeadband = 3", "deadband", &["never clear", "half of the band"]);
    mistake("high = 8.0", "deviation_from = 4\ndeviation_above = 2\ndeadband = 2", "deadband", &["never clear"]);
    mistake("high = 8.0", "rate_above = \"5/min\"\ndeadband = \"300/h\"", "deadband", &["never clear"]);
    mistake("high = 8.0", "rate_above = \"5/min\"\ndeadband = 1", "deadband", &["no unit of time"]);
    mistake("high = 8.0", "stale_after = \"5m\"\ndeadband = 1", "deadband", &["no meaning with `stale_after`"]);
    mistake("high = 8.0", "stale_after = \"5m\"\nmin_samples = 2", "min_samples", &["no meaning"]);
}

#[test]
fn brokers_and_credentials_that_do_not_go_together_are_refused() {
    mistake(
        "mqtts://broker",
        "mqtt://broker",
        "mqtt://broker",
        &["without encryption", "mqtts://", "allow_plaintext = true"],
    );
    good(&with("\"mqtts://broker.example.com\"", "\"mqtt://broker.example.com\"\nallow_plaintext = true"));
    good(&with("mqtts://broker.example.com", "mqtt://localhost"));
    mistake("mqtt://127.0.0.1", "127.0.0.1:1883", "127.0.0.1:1883", &["write \"mqtt://127.0.0.1:1883\""]);
    mistake("mqtt://127.0.0.1", "mqtt://127.0.0.1:99999", "99999", &["1 to 65535"]);
    mistake("[upstream]", "[upstream]\ncert_file = \"/c\"", "cert_file", &["without `key_file`"]);
    mistake("[upstream]", "[upstream]\nkey_file = \"/c\"", "key_file", &["without `cert_file`"]);
    mistake("[upstream]", "[upstream]\npassword_file = \"/c\"", "password_file", &["without `username`"]);
    mistake("topics =", "ca_file = \"/c\"\ntopics =", "ca_file", &["no effect without TLS", "mqtts://"]);
    mistake("[upstream]", "[upstream]\npassword = \"x\"", "password", &["`password_file`", "a file of its own"]);
}

#[test]
fn sources_that_would_be_in_each_others_way_are_refused() {
    let second = "[[alarm]]\nname = \"b\"\nsensors=[\"#\"]\nlow=1\n[[source]]\nname = \"c\"\n";
    let serial = "type = \"serial\"\nport = \"/dev/serial/by-id/x\" #2\ndecode = { format = \"json\" }\n[upstream]";
    mistake("[upstream]", &format!("{second}{serial}"), "#2", &["two sources on one port"]);
    let mqtt = "type = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\nclient_id = \"tidegate-g-zigbee\"\ntopics = [\"a\"]\n\
                decode = { format = \"json\" }\n[upstream]";
    mistake("[upstream]", &format!("{second}{mqtt}"), "client_id", &["`tidegate-g-zigbee` twice", "its own"]);
}

#[test]
fn decoders_are_checked_for_sense() {
    let csv =
        |rest: &str| with("decode = { format = \"key-value\" }", &format!("decode = {{ format = \"csv\"{rest} }}"));
    one_error(&csv(""), "csv", &["needs the columns' names", "header = true"]);
    one_error(&csv(", header = false"), "csv", &["need names"]);
    one_error(&csv(", header = true, columns = [\"a\"]"), "csv", &["both name the columns"]);
    one_error(&csv(", columns = [\"a\", \"a\"]"), "csv", &["twice"]);
    one_error(&csv(", columns = [\"temp\"], fields = { tmp = \"C\" }"), "csv", &["no such column", "\"temp\""]);
    one_error(&csv(", columns = [\"temp\"], device = \"{payload.id}\""), "csv", &["no column `id`"]);
    one_error(&csv(", header = true, delimiter = \";;\""), "csv", &["not one character"]);
    one_error(&csv(", header = true, delimiter = \"§\""), "csv", &["no ASCII"]);
    let decode = |rest: &str| with("decode = { format = \"key-value\" }", &format!("decode = {{ {rest} }}"));
    one_error(&decode("fields = { a = \"C\" }"), "fields = { a", &["needs `format`"]);
    one_error(&decode("format = \"jsn\""), "jsn", &["did you mean \"json\"?"]);
    one_error(&decode("format = \"json\", fields = { \"a/b\" = \"C\" }"), "a/b", &["name of a quantity", "`path`"]);
    one_error(
        &decode("format = \"json\", fields = { a = { scale = 0 } }"),
        "scale",
        &["every value would be the same"],
    );
    one_error(&decode("format = \"json\", fields = { a = { valid_range = [5, 1] } }"), "valid", &["5 is not below 1"]);
    one_error(&decode("format = \"json\", fields = { a = { map = {} } }"), "map", &["holds 0 entries"]);
    one_error(&decode("format = \"json\", fields = [\"a\"]"), "[\"a\"]", &["temperature = \"°C\""]);
    one_error(&decode("format = \"number\", fields = { a = \"C\", b = \"C\" }"), "number", &["one value"]);
    one_error(&decode("format = \"number\", quantity = \"x\", fields = { a = \"C\" }"), "number", &["both name"]);
    one_error(&decode("format = \"number\", device = \"{payload.id}\""), "number", &["no fields"]);
    one_error(&decode("format = \"key-value\", separator = \"=\", assign = \"=\""), "assign", &["same character"]);
    let framing = |text: &str| with("port =", &format!("framing = {{ {text} }}\nport ="));
    one_error(&framing("by = \"word\""), "framing", &["`by` cannot be \"word\""]);
    one_error(&framing("by = \"delimiter\""), "framing", &["needs `delimiter`", "sequence of bytes"]);
    one_error(&framing("by = \"delimiter\", delimiter = \"\""), "framing", &["0 bytes long"]);
    one_error(&framing("by = \"delimiter\", delimiter = [3, 256]"), "framing", &["no byte", "0 to 255"]);
    one_error(&framing("by = \"line\", gap = \"1s\""), "framing", &["`gap` has no meaning with by = \"line\""]);
    one_error(&framing("by = \"gap\""), "framing", &["needs `gap`"]);
    one_error(&framing("by = \"start\", start = [0xAA]"), "framing", &["nothing says where a frame ends"]);
    one_error(&framing("by = \"start\", start = [1], bytes = 3, length_at = 2"), "framing", &["both say how long"]);
    one_error(&framing("by = \"length\", bytes = 1048576"), "framing", &["cannot be 1048576 bytes", "max_bytes"]);
    one_error(&framing("by = \"slip\", checksum = \"crc16\""), "framing", &["no such checksum", "crc16-"]);
    one_error(&framing("by = \"slip\", checksum = { kind = \"sum9\" }"), "framing", &["did you mean \"sum8\"?"]);
    one_error(&framing("by = \"slip\", checksum = { from = 1 }"), "framing", &["needs `kind`"]);
    one_error(&decode("format = \"binary\", fields = { a = { path = \"2:u16\" } }"), "format = \"binary\"", &["`be`"]);
    one_error(&decode("format = \"binary\""), "format = \"binary\"", &["needs `fields`"]);
    one_error(
        &decode("format = \"nmea\", fields = { a = { path = \"MWV.sped\" } }"),
        "format = \"nmea\"",
        &["angle, speed"],
    );
    one_error(
        &decode("format = \"scale\", fields = { mass = \"g\" }"),
        "format = \"scale\"",
        &["weight, stable, kind"],
    );
    one_error(&with("port =", "framing = {}\nport ="), "framing", &["framing needs `by`"]);
    one_error(&with("/dev/serial/by-id/x", "COM3"), "COM3", &["no path of a device"]);
}

#[test]
fn what_is_kept_of_the_delivered_leaves_room_for_what_waits() {
    for (max, kept, least, most) in [
        ("64MiB", "33MiB", "8MiB", "32MiB"),
        ("64MiB", "1MiB", "8MiB", "32MiB"),
        ("8GiB", "16MiB", "32MiB", "4GiB"),
        ("32MiB", "32MiB", "8MiB", "16MiB"),
    ] {
        let text = format!("[store]\nmax_bytes = \"{max}\"\nretain_delivered = \"{kept}\"\n");
        let words = ["`retain_delivered` is out of bounds", "\"0B\" for off", least, most, max, "at most half"];
        one_error(&text, "retain_delivered", &words);
    }
    for (max, kept) in [("64MiB", "32MiB"), ("64MiB", "0B"), ("32MiB", "8MiB")] {
        load_str(&format!("[store]\nmax_bytes = \"{max}\"\nretain_delivered = \"{kept}\"\n")).unwrap();
    }
    one_error("[store]\nretain_delivered = 0\n", "retain_delivered", &["0B"]);
}

#[test]
fn what_needs_mqtt_5_is_refused_without_it_and_taken_with_it() {
    let url = "url = \"mqtts://broker.example.com\"";
    for key in ["mode = \"binary\"", "message_expiry = \"7d\"", "user_properties = { site = \"x\" }"] {
        mistake(url, &format!("{url}\n{key}"), key, &["needs MQTT 5", "protocol = \"5\""]);
        good(&with(url, &format!("{url}\nprotocol = \"5\"\n{key}")));
    }
    good(&with(url, &format!("{url}\nmode = \"structured\"\nalpn = [\"mqtt\"]")));
    mistake(url, &format!("{url}\nprotocol = \"4\""), "\"4\"", &["3.1.1", "5"]);
    let clash = "user_properties = { severity = \"x\" }";
    mistake(url, &format!("{url}\nprotocol = \"5\"\n{clash}"), "severity =", &["an attribute of every event"]);
    mistake(url, &format!("{url}\nalpn = [\"\"]"), "\"\"]", &["no protocol name"]);
}

#[test]
fn bytes_are_divided_in_one_way_that_is_declared() {
    let format = GOOD.lines().find(|line| line.contains("format = \"json\"")).unwrap();
    let binary = |keys: &str| {
        format!("decode = {{ format = \"binary\", fields = {{ t = {{ path = \"01\", bytes = \"0:u8\" }} }}, {keys} }}")
    };
    let wrong = |keys: &str, words: &[&str]| mistake(format, &binary(keys), "binary", words);
    wrong("entries = { 01 = 1, 0x = 2 }", &["no type of an entry", "hexadecimal digits"]);
    wrong("entries = { 01 = 1, 012 = 2 }", &["no type of an entry"]);
    wrong("entries = { 01 = -1 }", &["no size of `01`", "\"rest\""]);
    wrong("entries = { 01 = \"u9\" }", &["no size of `01`"]);
    wrong("entries = { 0a = 1, 0A = 2 }", &["there twice"]);
    wrong("entries = {}", &["`entries` holds 0 entries"]);
    wrong("entries = { 01 = 1 }, record_bytes = 4", &["both say how the bytes are divided"]);
    let plain = "decode = { format = \"binary\", fields = { t = { path = \"0:u8\" } }";
    mistake(format, &format!("{plain}, entries_at = 4 }}"), "binary", &["no meaning without `entries`"]);
    mistake(format, &format!("{plain}, records_at = 4 }}"), "binary", &["no meaning without `record_bytes`"]);
    let packed = "decode = { format = \"json\", unpack = { data = \"base64-entries\" } }";
    mistake(format, packed, "base64-entries", &["not declared", "entries = {"]);
    mistake(
        format,
        "decode = { format = \"json\", unpack = { data = \"zip\" } }",
        "zip",
        &["unknown packing", "the one character"],
    );
    let loaded = good(&with(format, &binary("entries = { \"ff 0B\" = \"rest\", 01 = 1, \"?1\" = 2 }, entries_at = 3")));
    let entries = loaded.config.sources[0].decode.reach.entries.clone().unwrap();
    let names: Vec<&str> = entries.kinds.iter().map(|kind| kind.name.as_str()).collect();
    assert_eq!((names, entries.head_bytes), (vec!["ff0B", "01", "?1"], 3));
}

#[test]
fn an_alarm_that_its_sensors_can_never_raise_or_never_clear_is_doubted() {
    let range = "fields = { temperature = { unit = \"°C\", valid_range = [-40, 85] } } }";
    let told = |condition: &str| {
        let text = with("fields = { temperature = \"°C\", state = { text = true } } }", range);
        warnings(&text.replace("high = 8.0", condition))
    };
    for (condition, words) in [
        ("high = 850", "`too-warm` can never be raised"),
        ("high = 85", "can never be raised"),
        ("low = -40", "can never be raised"),
        ("outside = [-50, 90]", "can never be raised"),
        ("high = -41", "once raised, `too-warm` can never clear"),
        ("high = 8\ndeadband = 50", "once raised, `too-warm` can never clear"),
        ("low = 86", "can never clear"),
    ] {
        let told = told(condition);
        assert!(
            told.len() == 1 && told[0].1.contains(words) && told[0].1.contains("-40 to 85"),
            "{condition}: {told:?}"
        );
    }
    for good in ["high = 84.9", "low = -39", "high = 8\ndeadband = 48", "outside = [-50, 84]", "equals = 900"] {
        assert_eq!(told(good), [], "{good}");
    }
    // Of one that is open, or has no range, nothing is known.
    assert_eq!(warnings(&with("high = 8.0", "high = 1e6")), []);
}

#[test]
fn silence_shorter_than_the_time_between_two_polls_is_doubted() {
    let meter = "[[source]]\nname = \"line\"\ntype = \"modbus\"\nurl = \"modbus-tcp://127.0.0.1\"\n[[source.unit]]\nid = 1\n\
                 name = \"meter\"\npoll_interval = \"1m\"\nregisters = { power = { address = 0, type = \"u16\" } }\n";
    let told = |sensors: &str, after: &str| {
        let alarm = format!("[[alarm]]\nname = \"quiet\"\nsensors = [\"{sensors}\"]\nstale_after = \"{after}\"\n");
        warnings(&with("[upstream]", &format!("{meter}{alarm}[upstream]")))
    };
    let found = told("line/+/power", "59s");
    assert!(found.len() == 1 && found[0].1.contains("takes `line/meter` for silent between two polls"), "{found:?}");
    assert!(found[0].1.contains("every 1m") && found[0].1.contains("is 59s"), "{found:?}");
    assert_eq!(told("line/+/power", "1m"), []);
    assert_eq!(told("boiler/#", "59s"), []);
}

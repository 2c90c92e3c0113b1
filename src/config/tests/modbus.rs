//! Modbus sources: what is read, and every kind of mistake.

use super::*;
use crate::config::model::{
    ByteOrder, ModbusLine, ModbusSource, Register, RegisterType, ScaleRegister, SourceKind, Table,
};

const LINE: &str = r#"
[gateway]
id = "g"
[[source]]
name = "meters"
type = "modbus"
port = "/dev/serial/by-id/x"
[[source.unit]]
id = 1
name = "main"
[source.unit.registers]
power = { address = 52, table = "input", type = "f32", unit = "W" }
"#;

fn changed(from: &str, to: &str) -> String {
    assert!(LINE.contains(from), "{from} is not in the sample");
    LINE.replacen(from, to, 1)
}

fn modbus(text: &str) -> ModbusSource {
    match good(text).config.sources.swap_remove(0).kind {
        SourceKind::Modbus(modbus) => modbus,
        other => panic!("{other:?}"),
    }
}

/// The one register, with these keys in place of the sample's.
fn register(keys: &str) -> Register {
    let text = changed("address = 52, table = \"input\", type = \"f32\", unit = \"W\"", keys);
    modbus(&text).units.swap_remove(0).registers.swap_remove(0)
}

fn wrong_register(keys: &str, words: &[&str]) {
    let text = changed("address = 52, table = \"input\", type = \"f32\", unit = \"W\"", keys);
    one_error(&text, "power =", words);
}

#[test]
fn a_line_is_read_as_written() {
    let source = modbus(LINE);
    assert!(matches!(source.line, ModbusLine::Serial { baud: 9600, .. }));
    let unit = &source.units[0];
    assert_eq!((unit.id, &*unit.name, unit.max_registers, unit.max_gap), (1, "main", 125, 8));
    assert_eq!(unit.poll_interval.as_secs(), 5);
    let register = &unit.registers[0];
    assert_eq!((register.table, register.address, register.kind), (Table::Input, 52, RegisterType::F32));
    assert_eq!(register.field.unit.as_deref(), Some("W"));
    let tcp = |url: &str| modbus(&changed("port = \"/dev/serial/by-id/x\"", &format!("url = \"{url}\""))).line;
    assert_eq!(tcp("modbus-tcp://h"), ModbusLine::Tcp { host: "h".into(), port: 502 });
    assert_eq!(tcp("modbus-tcp://[::1]:1502"), ModbusLine::Tcp { host: "::1".into(), port: 1502 });
    let behind = |baud| ModbusLine::RtuOverTcp { host: "h".into(), port: 8899, baud };
    assert_eq!(tcp("modbus-rtu-tcp://h:8899"), behind(9600));
    let slow = "url = \"modbus-rtu-tcp://h:8899\"\nbaud = 1200";
    assert_eq!(modbus(&changed("port = \"/dev/serial/by-id/x\"", slow)).line, behind(1200));
    let own = changed("name = \"main\"", "name = \"main\"\npoll_interval = \"1m\"\ntimeout = \"3s\"");
    let own = &modbus(&own).units[0];
    assert_eq!((own.poll_interval.as_secs(), own.timeout.as_secs(), unit.timeout.as_secs()), (60, 3, 1));
}

#[test]
fn addresses_count_as_the_unit_says() {
    for (way, keys, table, address) in [
        ("zero-based", "address = 0", Table::Holding, 0),
        ("one-based", "address = 1", Table::Holding, 0),
        ("one-based", "address = 65536, table = \"input\"", Table::Input, 65_535),
        ("modicon", "address = 40001", Table::Holding, 0),
        ("modicon", "address = 30053, table = \"input\"", Table::Input, 52),
        ("modicon", "address = 10021", Table::Discrete, 20),
    ] {
        let text = changed("name = \"main\"", &format!("name = \"main\"\naddressing = \"{way}\""));
        let text = text.replace("address = 52, table = \"input\", type = \"f32\", unit = \"W\"", keys);
        let register = &modbus(&text).units[0].registers[0];
        assert_eq!((register.table, register.address), (table, address), "{way} {keys}");
    }
    wrong_register("address = 65536", &["there is no address 65536", "modicon"]);
    wrong_register("address = 65535, type = \"u32\"", &["beyond the last address"]);
    let modicon = changed("name = \"main\"", "name = \"main\"\naddressing = \"modicon\"");
    one_error(&modicon, "power =", &["52 is a coil address", "says otherwise"]);
    one_error(&modicon.replace("52, table = \"input\"", "20001"), "power =", &["no address in Modicon's notation"]);
    let one = changed("name = \"main\"", "name = \"main\"\naddressing = \"one-based\"").replace("52", "0");
    one_error(&one, "power =", &["the first address is 1"]);
}

#[test]
fn types_and_orders_are_read() {
    assert_eq!(register("address = 1").kind, RegisterType::U16);
    assert_eq!(register("address = 1, table = \"coil\"").kind, RegisterType::Bit(0));
    assert_eq!(register("address = 1, type = \"bit\", bit = 15").kind, RegisterType::Bit(15));
    assert_eq!(register("address = 1, type = \"bits\", mask = 0x0F00").kind, RegisterType::Bits(0x0F00));
    assert_eq!(register("address = 1, type = \"u32\"").order, ByteOrder::BIG);
    let order = |keys: &str| register(&format!("address = 1, {keys}")).order.0;
    assert_eq!(order("type = \"u32\", order = \"CDAB\"")[..4], [2, 3, 0, 1]);
    assert_eq!(order("type = \"u64\", order = \"CDAB\""), [6, 7, 4, 5, 2, 3, 0, 1]);
    assert_eq!(order("type = \"f64\", order = \"CDABGHEF\""), [2, 3, 0, 1, 6, 7, 4, 5]);
    assert_eq!(order("order = \"BA\"")[..2], [1, 0]);
    let unit = changed("name = \"main\"", "name = \"main\"\norder = \"DCBA\"");
    assert_eq!(modbus(&unit).units[0].registers[0].order.0[..4], [3, 2, 1, 0]);
    for (keys, words) in [
        ("type = \"u32\", order = \"CDAA\"", ["no byte order", "ABCD"]),
        ("type = \"u32\", order = \"BA\"", ["no byte order", "each once"]),
        ("type = \"u32\", order = \"GHEFCDAB\"", ["no byte order", "each once"]),
        ("type = \"float\"", ["cannot be \"float\"", "\"f32\""]),
        ("type = \"bit\"", ["needs `bit`", "0 (the least significant) to 15"]),
        ("type = \"bits\"", ["needs `mask`", "0x0F00"]),
        ("bit = 3", ["`bit` has no meaning", "type = \"bit\""]),
        ("table = \"coil\", type = \"u16\"", ["holds single bits", "leave `type` out"]),
    ] {
        wrong_register(&format!("address = 1, {keys}"), &words);
    }
}

#[test]
fn a_power_of_ten_is_found_by_name_or_address() {
    let with = |power: &str, more: &str| {
        changed(
            "power = { address = 52, table = \"input\", type = \"f32\", unit = \"W\" }",
            &format!("power = {{ address = 52, table = \"input\", {power} }}\n{more}"),
        )
    };
    let place = ScaleRegister { table: Table::Input, address: 60, order: ByteOrder::BIG };
    let scale = |text: &str| modbus(text).units[0].registers[0].scale_register;
    assert_eq!(scale(&with("scale_register = 60", "")), Some(place));
    let sf = "sf = { address = 60, table = \"input\", type = \"i16\" }";
    assert_eq!(scale(&with("scale_register = \"sf\"", sf)), Some(place));
    one_error(&with("scale_register = \"sv\"", sf), "power =", &["no such register"]);
    one_error(&with("scale_register = \"sf\"", &sf.replace("i16", "u16")), "power =", &["not type = \"i16\""]);
    one_error(&with("type = \"bit\", bit = 1, scale_register = 60", ""), "power =", &["a bit has no power of ten"]);
}

#[test]
fn mistakes_of_a_source_are_told() {
    let port = "port = \"/dev/serial/by-id/x\"";
    one_error(&changed(port, ""), "[[source]]", &["needs `port` or `url`"]);
    one_error(&changed(port, &format!("{port}\nurl = \"modbus-tcp://h\"")), "url =", &["`port` and `url`"]);
    one_error(&changed(port, "url = \"mqtt://h\""), "url =", &["expected modbus-tcp://"]);
    one_error(&changed(port, "url = \"192.168.1.2\""), "url =", &["modbus-tcp://192.168.1.2"]);
    one_error(&changed(port, "url = \"modbus-tcp://h\"\nbaud = 9600"), "baud", &["no meaning with `url`"]);
    let behind = "url = \"modbus-rtu-tcp://h:1\"";
    one_error(&changed(port, &format!("{behind}\nparity = \"even\"")), "parity", &["no meaning with `url`"]);
    one_error(&changed(port, behind).replace("id = 1\n", "id = 255\n"), "id = 255", &["1 to 247"]);
    one_error(
        &changed(port, &format!("{port}\ndecode = {{ format = \"json\" }}")),
        "decode",
        &["no meaning with type"],
    );
    one_error(&changed("id = 1", "id = 248"), "id = 248", &["1 to 247"]);
    one_error(&changed("id = 1\n", ""), "[[source.unit]]", &["a unit needs `id`"]);
    one_error(&changed("id = 1", "slave = 1"), "slave", &["did you mean `id`?"]);
    one_error(&changed("address = 52", "addr = 52"), "addr", &["did you mean `address`?"]);
    one_error(&changed("type = \"f32\"", "as = \"f32\""), "as =", &["did you mean `type`?"]);
    one_error(&changed("table = \"input\"", "function = 4"), "function", &["did you mean `table`?"]);
    one_error(&changed("type = \"modbus\"", "type = \"modbus\"\nbuad = 1"), "buad", &["did you mean `baud`?"]);
    let second = "\n[[source.unit]]\nid = 1\nname = \"other\"\nregisters = { t = { address = 1 } }\n";
    let twice = format!("{LINE}{second}");
    assert_eq!(errors(&twice)[0].0, twice.lines().count() - 2, "{:?}", errors(&twice));
    assert!(errors(&twice)[0].1.contains("two units have the address 1"));
    let named = twice.replace("id = 1\nname = \"other\"", "id = 2\nname = \"main\"");
    assert!(errors(&named)[0].1.contains("two units are named `main`"));
    let empty = LINE.replace("power = { address = 52, table = \"input\", type = \"f32\", unit = \"W\" }\n", "");
    assert!(errors(&empty)[0].1.contains("`registers` holds 0 entries"));
    let none = LINE.split("[[source.unit]]").next().unwrap();
    one_error(none, "[[source]]", &["a source needs `unit`"]);
}

#[test]
fn ports_and_servers_are_not_shared() {
    let serial = "\n[[source]]\nname = \"s\"\ntype = \"serial\"\nport = \"/dev/serial/by-id/x\"\ndecode = { format = \"json\" }\n";
    let both = format!("{LINE}{serial}");
    assert!(errors(&both)[0].1.contains("two sources on one port"));
    let tcp = changed("port = \"/dev/serial/by-id/x\"", "url = \"modbus-tcp://h\"");
    let second = tcp.split_once("[[source]]").unwrap().1.replace("meters", "others");
    let warned = warnings(&format!("{tcp}\n[[source]]{second}"));
    assert!(warned.iter().any(|(_, text)| text.contains("two sources at one Modbus server")), "{warned:?}");
}

#[test]
fn alarms_know_the_sensors_of_a_line() {
    let alarm = |sensors: &str| format!("{LINE}\n[[alarm]]\nname = \"a\"\nsensors = [\"{sensors}\"]\nhigh = 1\n");
    let said = |sensors: &str| -> Vec<String> {
        warnings(&alarm(sensors)).into_iter().map(|(_, text)| text).filter(|text| text.contains("matches")).collect()
    };
    assert!(said("meters/main/power").is_empty());
    assert!(said("meters/+/power").is_empty());
    assert_eq!(said("meters/power").len(), 1);
    assert!(said("meters/main/powr")[0].contains("did you mean the quantity `power`?"));
}

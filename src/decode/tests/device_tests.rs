//! The formats of serial devices.

use super::*;

fn path(quantity: &str, path: &str) -> Field {
    Field { path: path.to_owned(), ..field(quantity, "") }
}

fn bench(format: Format, fields: Vec<Field>) -> Bench {
    Bench::new(Decode { time_zone: "Europe/Amsterdam".to_owned(), ..decode(format, fields) })
}

fn nmea(fields: Vec<Field>) -> Bench {
    bench(Format::Nmea { unchecked: false }, fields)
}

/// A sentence with its checksum.
fn sentence(body: &str) -> String {
    format!("${body}*{:02X}", body.bytes().fold(0, |all, byte| all ^ byte))
}

// ---- binary ----

#[test]
fn a_binary_layout_is_read_with_scale_and_device_from_the_frame() {
    let mut fields = vec![path("t", "1:i16le"), path("low", "-1:u8[0-3]")];
    fields[0].scale = 0.1;
    let mut decode = decode(Format::Binary, fields);
    decode.device = payload("0:u8");
    decode.carry = vec!["-2:u8".into()];
    let mut bench = Bench::new(decode);
    assert_eq!(bench.readings("t", [7, 0xdf, 0xff, 1, 0x25]), ["src/7/t=-3.3000000000000003", "src/7/low=5"]);
    let attributes = bench.out.readings[0].attributes.clone().unwrap();
    assert_eq!(*attributes, [(Arc::from("-2:u8"), json!(1))]);
    assert_eq!(bench.rejects([7, 0xdf]), [Reject::Malformed]);
    assert_eq!(bench.rejects([]), [Reject::Empty]);
}

#[test]
fn a_message_of_records_gives_each_its_own_time_and_fields() {
    let mut fields = vec![path("t", "0:i16be"), path("h", "2:u8")];
    fields[0].scale = 0.1;
    let mut decode = Decode {
        ts_field: Some("3:u32be".to_owned()),
        ts_unit: TsUnit::Seconds,
        max_age: Duration::from_secs(u64::from(u32::MAX)),
        ..decode(Format::Binary, fields)
    };
    decode.reach.records = Some(model::Records { bytes: 7, head_bytes: 1 });
    let mut bench = Bench::new(decode);
    let record = |t: i16, h: u8, time: u32| [&t.to_be_bytes()[..], &[h], &time.to_be_bytes()].concat();
    let whole = [vec![9], record(215, 40, 1_700_000_000), record(-5, 41, 1_700_000_600)].concat();
    assert_eq!(bench.readings("t", &whole), ["src/t=21.5", "src/h=40", "src/t=-0.5", "src/h=41"]);
    let times: Vec<i64> = bench.out.readings.iter().map(|reading| reading.time.0 / 1_000_000_000).collect();
    assert_eq!(times, [1_700_000_000, 1_700_000_000, 1_700_000_600, 1_700_000_600]);
    // What is whole counts, what is left over is told.
    assert_eq!(bench.rejects(&whole[..12]), [Reject::Malformed]);
    assert_eq!(bench.out.readings.len(), 2);
    assert_eq!(bench.rejects(&whole[..7]), [Reject::Malformed]);
}

#[test]
fn a_float_that_is_no_number_in_a_frame_is_refused() {
    let mut bench = bench(Format::Binary, vec![path("t", "0:f32be"), path("n", "4:u8")]);
    assert_eq!(bench.readings("t", [0x7f, 0xc0, 0, 0, 9]), ["src/n=9"]);
    assert_eq!(bench.out.rejects[0].0, Reject::NotANumber);
}

// ---- nmea ----

#[test]
fn sentences_are_read_by_name_and_by_number() {
    let fields = vec![
        path("speed", "MWV.speed"),
        path("raw", "MWV.3"),
        path("other", "IIMWV.speed"),
        path("latitude", "RMC.latitude"),
        path("longitude", "RMC.longitude"),
        path("wind", "PXYZ.1"),
    ];
    let mut bench = nmea(fields);
    let wind = sentence("WIMWV,214.8,R,10.2,N,A");
    assert_eq!(bench.readings("t", wind), ["src/speed=10.2 kn", "src/raw=10.2"]);
    let own = sentence("PXYZ,7.5");
    assert_eq!(bench.readings("t", own), ["src/wind=7.5"]);
    let place = sentence("GPRMC,120000.00,A,5231.2000,N,01324.5000,W,0.4,,010326,,,A");
    assert_eq!(bench.readings("t", place), ["src/latitude=52.52", "src/longitude=-13.408333333333333"]);
    assert_eq!(bench.readings("t", sentence("GPRMC,120000.00,V,,,,,,,010326,,,N")), Vec::<String>::new());
    assert_eq!(bench.out.rejects[0].0, Reject::NotValid);
    assert!(bench.readings("t", sentence("GPGSV,1,1,00")).is_empty());
    assert!(bench.out.rejects.is_empty(), "a sentence that nobody wants is no fault");
}

#[test]
fn without_fields_every_known_value_is_taken_and_a_sentence_can_give_the_time() {
    let mut every = nmea(vec![]);
    let weather = sentence("WIMDA,30.08,I,1.0187,B,18.2,C,,,55.1,,9.1,C,,T,,M,2.5,N,1.3,M");
    let readings = every.readings("t", weather);
    assert_eq!(
        readings[..3],
        ["src/MDA.pressure=1.0187 bar", "src/MDA.air-temperature=18.2 °C", "src/MDA.humidity=55.1 %"]
    );
    let mut decode = decode(Format::Nmea { unchecked: true }, vec![path("speed", "RMC.speed")]);
    decode.ts_field = Some("RMC.time".to_owned());
    let mut bench = Bench::new(decode);
    let reading =
        bench.message("t", "$GPRMC,120000.50,A,5231.2,N,01324.5,E,0.4,,010326,,,A", false).readings[0].clone();
    assert_eq!((reading.time.0, reading.time_source), (NOON + 500_000_000, TimeSource::Payload));
}

#[test]
fn a_wrong_or_missing_checksum_is_refused() {
    let mut bench = nmea(vec![path("t", "MTW")]);
    assert_eq!(bench.readings("t", "$YXMTW,17.5,C*11"), ["src/t=17.5 °C"]);
    assert_eq!(bench.rejects("$YXMTW,17.5,C*12"), [Reject::Checksum]);
    assert_eq!(bench.rejects("$YXMTW,17.5,C"), [Reject::Checksum]);
    assert_eq!(bench.rejects("$YXMTW,17.5,C*"), [Reject::Checksum]);
    assert_eq!(bench.rejects("YXMTW,17.5,C*11"), [Reject::Malformed]);
}

// ---- p1 ----

#[test]
fn a_telegram_is_taken_whole_without_fields_and_by_short_codes_with_them() {
    let telegram = "/ISk5\r\n\r\n0-0:1.0.0(260301130000W)\r\n1-0:1.8.1(000123.5*kWh)\r\n0-0:96.14.0(0002)\r\n\
                    0-1:24.2.1(260301125500W)(00981.443*m3)\r\n";
    let mut every = bench(Format::P1, vec![]);
    assert_eq!(every.readings("t", telegram), ["src/1-0:1.8.1=123.5 kWh", "src/0-1:24.2.1=981.443 m3"]);
    let times: Vec<i64> = every.out.readings.iter().map(|reading| reading.time.0).collect();
    assert_eq!(times, [NOON, NOON - 300_000_000_000]);
    let mut some = bench(Format::P1, vec![path("gas", "24.2.1"), path("tariff", "0-0:96.14.0")]);
    assert_eq!(some.readings("t", telegram), ["src/tariff=2", "src/gas=981.443 m3"]);
    let mut gas = bench(Format::P1, vec![path("gas", "24.2.1")]);
    assert_eq!(gas.readings("t", telegram), ["src/gas=981.443 m3"]);
    assert!(gas.out.rejects.is_empty());
    assert_eq!(gas.rejects("/ISk5\r\n\r\n1-0:1.8.1(1*kWh)\r\n"), [Reject::MissingField]);
    assert_eq!(gas.rejects("/ISk5\r\n"), [Reject::Malformed]);
}

// ---- vedirect ----

#[test]
fn victron_values_are_read_and_a_block_of_others_is_no_fault() {
    let mut volts = path("volts", "V");
    volts.scale = 0.001;
    let mut bench = bench(Format::VeDirect, vec![volts, path("off", "OR")]);
    assert_eq!(bench.readings("t", "PID\t0xA053\nV\t12800\nOR\t0x00000001\n"), ["src/volts=12.8", "src/off=1"]);
    assert!(bench.readings("t", "H1\t-1\nH2\t0\n").is_empty());
    assert!(bench.out.rejects.is_empty());
    assert_eq!(bench.rejects("no tab"), [Reject::Malformed]);
}

// ---- scale ----

#[test]
fn unstable_weights_are_kept_only_when_told_so() {
    let lines = ["S S 12.5 g", "S D 13.1 g"];
    let read = |keep_unstable| {
        let mut bench = bench(Format::Scale { keep_unstable }, vec![field("weight", "")]);
        lines.iter().flat_map(|line| bench.readings("t", line)).collect::<Vec<_>>()
    };
    assert_eq!(read(false), ["src/weight=12.5 g"]);
    assert_eq!(read(true), ["src/weight=12.5 g", "src/weight=13.1 g"]);
    let mut comma = decode(Format::Scale { keep_unstable: false }, vec![]);
    comma.decimal_comma = true;
    assert_eq!(Bench::new(comma).readings("t", "ST,GS,+  1,25kg"), ["src/weight=1.25 kg", "src/stable=true"]);
    let mut bench = bench(Format::Scale { keep_unstable: false }, vec![field("weight", "")]);
    assert_eq!(bench.rejects("S +"), [Reject::NotValid]);
    assert!(bench.readings("t", "US,GS,+1kg").is_empty());
    assert_eq!((bench.out.ignored, bench.out.rejects.len()), (1, 0), "passed over, and no fault");
}

// ---- all ----

proptest! {
    #[test]
    fn no_bytes_panic_and_nothing_comes_out_that_is_not_finite(
        bytes: Vec<u8>,
        text in "([$!*,./()\\[\\]:;=SWGPMXDR0-9a-z\t\r\n+?-]|GPRMC|MWV|MDA|XDR|1-0:1\\.8\\.1\\(|0-0:1\\.0\\.0\\(|24\\.3\\.0|ST,|°|kg){0,60}",
    ) {
        let formats = || [
            (Format::Binary, vec![path("a", "3:f64le"), path("b", "-1:bcd8"), path("c", "0:text9")]),
            (Format::Nmea { unchecked: true }, vec![]),
            (Format::Nmea { unchecked: true }, vec![path("a", "RMC.latitude"), path("b", "XDR.x"), path("c", "MDA.7")]),
            (Format::P1, vec![]),
            (Format::P1, vec![path("a", "24.3.0"), path("b", "1-0:1.8.1")]),
            (Format::VeDirect, vec![]),
            (Format::Scale { keep_unstable: true }, vec![]),
        ];
        for (format, fields) in formats() {
            let mut bench = bench(format, fields);
            for payload in [&bytes[..], text.as_bytes(), sentence(&text).as_bytes()] {
                let out = bench.message("t", payload, false);
                prop_assert!(out.readings.iter().all(|reading| reading.value.as_f64().is_none_or(f64::is_finite)));
            }
        }
    }
}

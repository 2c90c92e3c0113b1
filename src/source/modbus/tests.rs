//! The Modbus task against devices that answer late, twice, partly or with something else.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_serial::SerialStream;

use super::wire::Wire;
use super::*;
use crate::config::model::{ByteOrder, Decode, Field, ModbusUnit, Register, RegisterType, Source, SourceKind, Table};
use crate::decode::modbus::frame::crc;
use crate::decode::modbus::plan::Span;
use crate::source::testing::{DEADLINE, Rig};

/// How long a device may think: no pause of a busy machine is as long.
const PATIENCE: Duration = Duration::from_secs(2);

/// A unit whose registers are asked for one by one.
fn unit(id: u8, name: &str, addresses: &[u16]) -> ModbusUnit {
    let register = |address: &u16| Register {
        field: Field::plain(&format!("r{address}")),
        table: Table::Holding,
        address: *address,
        kind: RegisterType::U16,
        order: ByteOrder::BIG,
        sunspec: false,
        scale_register: None,
    };
    ModbusUnit {
        id,
        name: name.into(),
        poll_interval: Duration::from_millis(50),
        timeout: PATIENCE,
        max_registers: 125,
        max_gap: 0,
        registers: addresses.iter().map(register).collect(),
    }
}

/// Starts the source of a line.
fn start(line: ModbusLine, retries: u32, units: Vec<ModbusUnit>) -> Rig {
    let kind = SourceKind::Modbus(ModbusSource { line, retries, units });
    Rig::start(&Source { name: "line".into(), kind, decode: Decode::none(), further: Vec::new() }, 64)
}

/// A server that does what it is told, request by request.
struct Server(TcpListener);

impl Server {
    async fn bind() -> (Self, ModbusLine) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (Self(listener), ModbusLine::Tcp { host: "127.0.0.1".to_owned(), port })
    }

    async fn accept(&self) -> TcpStream {
        timeout(DEADLINE, self.0.accept()).await.unwrap().unwrap().0
    }
}

/// A request's transaction, unit and first address.
async fn asked(stream: &mut TcpStream) -> ([u8; 2], u8, u16) {
    let mut request = [0; 12];
    timeout(DEADLINE, stream.read_exact(&mut request)).await.unwrap().unwrap();
    ([request[0], request[1]], request[6], u16::from_be_bytes([request[8], request[9]]))
}

/// The answer to it: one register.
fn answer([high, low]: [u8; 2], unit: u8, value: u16) -> Vec<u8> {
    let value = value.to_be_bytes();
    vec![high, low, 0, 0, 0, 5, unit, 3, 2, value[0], value[1]]
}

#[tokio::test]
async fn an_answer_that_comes_after_its_time_is_not_taken_for_the_next_one() {
    let (server, line) = Server::bind().await;
    let mut rig = start(line, 1, vec![unit(1, "u", &[0, 100])]);
    let mut stream = server.accept().await;
    let (late, ..) = asked(&mut stream).await;
    // No answer: it is asked again, and now both come, the late one in two pieces.
    let (again, ..) = asked(&mut stream).await;
    assert_ne!(late, again);
    let wrong = answer(late, 1, 99);
    stream.write_all(&wrong[..4]).await.unwrap();
    stream.write_all(&[&wrong[4..], &answer(again, 1, 10)].concat()).await.unwrap();
    let (second, _, address) = asked(&mut stream).await;
    assert_eq!(address, 100);
    // One of nobody's, and one under another unit's address, as some servers have it.
    stream.write_all(&[answer([0x55, 0x55], 1, 98), answer(second, 255, 20)].concat()).await.unwrap();
    assert_eq!(rig.next().await, "line/u/r0=10 line/u/r100=20");
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_closes_an_idle_connection_is_connected_to_again_without_a_word() {
    let (server, line) = Server::bind().await;
    let mut rig = start(line, 0, vec![unit(1, "u", &[0])]);
    for round in 0..3 {
        let mut stream = server.accept().await;
        let (transaction, ..) = asked(&mut stream).await;
        stream.write_all(&answer(transaction, 1, round)).await.unwrap();
        assert_eq!(rig.next().await, format!("line/u/r0={round}"));
    }
    assert_eq!(rig.counters.source(&"line".into()).connects.get(), 3);
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_never_answers_before_it_closes_is_told() {
    let (server, line) = Server::bind().await;
    let mut rig = start(line, 0, vec![unit(1, "u", &[0])]);
    drop(server.accept().await);
    let told = rig.next().await;
    assert!(told.starts_with("lost line: ") && told.contains("is another one connected?"), "{told}");
    let mut stream = server.accept().await;
    let (transaction, ..) = asked(&mut stream).await;
    assert!(rig.next().await.starts_with("restored line: connected to 127.0.0.1:"));
    stream.write_all(&answer(transaction, 1, 5)).await.unwrap();
    assert_eq!(rig.next().await, "line/u/r0=5");
    rig.stop().await;
}

#[tokio::test]
async fn something_else_on_the_port_is_told() {
    let (server, line) = Server::bind().await;
    let mut rig = start(line, 0, vec![unit(1, "u", &[0])]);
    let mut stream = server.accept().await;
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let told = rig.next().await;
    assert!(told.contains("is no Modbus TCP server"), "{told}");
    rig.stop().await;
}

#[tokio::test]
async fn an_answer_of_the_wrong_length_loses_the_unit_and_is_no_reading() {
    let (server, line) = Server::bind().await;
    let mut rig = start(line, 0, vec![unit(3, "u", &[0])]);
    let mut stream = server.accept().await;
    let ([high, low], ..) = asked(&mut stream).await;
    stream.write_all(&[high, low, 0, 0, 0, 7, 3, 3, 4, 0, 1, 0, 2]).await.unwrap();
    let told = rig.next().await;
    assert!(told.starts_with("lost line/u: ") && told.contains("2 values where 1 were asked for"), "{told}");
    let (transaction, ..) = asked(&mut stream).await;
    stream.write_all(&answer(transaction, 3, 8)).await.unwrap();
    let mut back = [rig.next().await, rig.next().await];
    back.sort();
    assert!(back[0] == "line/u/r0=8" && back[1].starts_with("restored line/u: "), "{back:?}");
    rig.stop().await;
}

#[tokio::test]
async fn a_gateway_that_hears_nothing_from_a_unit_loses_that_unit() {
    let (server, line) = Server::bind().await;
    let mut rig = start(line, 0, vec![unit(3, "u", &[0])]);
    let mut stream = server.accept().await;
    let ([high, low], ..) = asked(&mut stream).await;
    stream.write_all(&[high, low, 0, 0, 0, 3, 3, 0x83, 11]).await.unwrap();
    let told = rig.next().await;
    assert!(told.starts_with("lost line/u: ") && told.contains("exception 11"), "{told}");
    rig.stop().await;
}

#[tokio::test]
async fn a_unit_to_which_a_request_is_too_long_is_asked_in_parts_from_then_on() {
    let (server, line) = Server::bind().await;
    let mut rig = start(line, 0, vec![unit(1, "u", &[0, 1])]);
    let mut stream = server.accept().await;
    let ([high, low], _, address) = asked(&mut stream).await;
    assert_eq!(address, 0);
    stream.write_all(&[high, low, 0, 0, 0, 3, 1, 0x83, 3]).await.unwrap();
    for _ in 0..2 {
        for expected in [0, 1] {
            let (transaction, _, address) = asked(&mut stream).await;
            assert_eq!(address, expected);
            stream.write_all(&answer(transaction, 1, 50 + address)).await.unwrap();
        }
        assert_eq!(rig.next().await, "line/u/r0=50 line/u/r1=51");
    }
    assert!(rig.counters.source(&"line/u".into()).rejects().is_empty());
    rig.stop().await;
}

/// A serial line in this process, and the device's end of it.
fn serial() -> (Wire, SerialStream) {
    let (ours, device) = SerialStream::pair().unwrap();
    (Wire::over(ours, 115_200), device)
}

fn span(first: u16) -> Span {
    Span { table: Table::Holding, first, count: 1 }
}

/// What a unit answers on a serial line: one register.
fn frame(unit: u8, value: u16) -> Vec<u8> {
    let value = value.to_be_bytes();
    let body = [unit, 3, 2, value[0], value[1]];
    [&body[..], &crc(&body).to_le_bytes()].concat()
}

async fn request(device: &mut SerialStream) -> u16 {
    let mut request = [0; 8];
    timeout(DEADLINE, device.read_exact(&mut request)).await.unwrap().unwrap();
    u16::from_be_bytes([request[2], request[3]])
}

#[tokio::test]
async fn on_a_serial_line_a_second_answer_to_a_repeated_request_is_waited_out() {
    let (mut wire, mut device) = serial();
    let unit = async move {
        assert_eq!(request(&mut device).await, 0);
        assert_eq!(request(&mut device).await, 0);
        // To the first request, late.
        device.write_all(&frame(1, 7)).await.unwrap();
        // To the second: on the line it looks like the answer to whatever is asked next.
        tokio::time::sleep(PATIENCE / 4).await;
        device.write_all(&frame(1, 7)).await.unwrap();
        assert_eq!(request(&mut device).await, 100);
        device.write_all(&frame(1, 42)).await.unwrap();
        device
    };
    let master = async {
        assert!(matches!(wire.ask(1, span(0), PATIENCE).await, Err(wire::Fault::Silence { noise: 0 })));
        assert_eq!(wire.ask(1, span(0), PATIENCE).await.unwrap(), [7]);
        assert_eq!(wire.ask(1, span(100), PATIENCE).await.unwrap(), [42], "not the 7 that came before it was asked");
    };
    timeout(DEADLINE, async { tokio::join!(unit, master) }).await.unwrap();
}

#[tokio::test]
async fn an_answer_in_pieces_behind_noise_is_taken_and_a_damaged_one_is_not() {
    let (mut wire, mut device) = serial();
    let unit = async move {
        request(&mut device).await;
        let good = frame(1, 5);
        device.write_all(&[&[0xFF, 0x01, 0x03], &good[..3]].concat()).await.unwrap();
        tokio::task::yield_now().await;
        device.write_all(&good[3..]).await.unwrap();
        request(&mut device).await;
        let mut damaged = frame(1, 6);
        damaged[3] ^= 0x10;
        device.write_all(&damaged).await.unwrap();
        device
    };
    let master = async {
        assert_eq!(wire.ask(1, span(0), PATIENCE).await.unwrap(), [5]);
        assert!(matches!(wire.ask(1, span(0), PATIENCE).await, Err(wire::Fault::Silence { noise: 7 })));
    };
    timeout(DEADLINE, async { tokio::join!(unit, master) }).await.unwrap();
}

#[tokio::test]
async fn behind_a_device_server_the_frames_of_the_serial_line_are_asked_and_answered() {
    let (server, line) = Server::bind().await;
    let ModbusLine::Tcp { host, port } = line else { panic!("a TCP server") };
    let mut rig =
        start(ModbusLine::RtuOverTcp { host, port, baud: 115_200 }, 0, vec![unit(1, "u", &[0]), unit(9, "away", &[0])]);
    let mut stream = server.accept().await;
    let mut values = [7, 8].into_iter();
    let mut told = Vec::new();
    while told.len() < 3 {
        let mut request = [0; 8];
        timeout(DEADLINE, stream.read_exact(&mut request)).await.unwrap().unwrap();
        assert_eq!(crc(&request[..6]).to_le_bytes(), request[6..], "a whole RTU frame");
        if request[0] == 9 {
            // A bus without this unit; its silence is the unit's, not the line's.
            told.push(rig.next().await);
            continue;
        }
        let Some(value) = values.next() else { continue };
        // What the device server still held comes first; the answer in the pieces that it is sent in.
        let answer = frame(1, value);
        stream.write_all(&[&[0x00, 0xFF], &answer[..4]].concat()).await.unwrap();
        tokio::task::yield_now().await;
        stream.write_all(&answer[4..]).await.unwrap();
        told.push(rig.next().await);
    }
    told.sort();
    assert_eq!(&told[..2], ["line/u/r0=7", "line/u/r0=8"]);
    assert!(told[2].starts_with("lost line/away: ") && told[2].contains("device server's baud rate"), "{told:?}");
    rig.stop().await;
}

#[tokio::test]
async fn requests_on_a_serial_line_keep_their_distance() {
    let (ours, mut device) = SerialStream::pair().unwrap();
    // 3.5 characters of 11 bits at 600 baud are 64 ms.
    let mut wire = Wire::over(ours, 600);
    let unit = async move {
        request(&mut device).await;
        device.write_all(&frame(1, 1)).await.unwrap();
        let answered = Instant::now();
        request(&mut device).await;
        assert!(answered.elapsed() >= Duration::from_millis(60), "{:?}", answered.elapsed());
        device.write_all(&frame(1, 2)).await.unwrap();
        device
    };
    let master = async {
        assert_eq!(wire.ask(1, span(0), PATIENCE).await.unwrap(), [1]);
        assert_eq!(wire.ask(1, span(1), PATIENCE).await.unwrap(), [2]);
    };
    timeout(DEADLINE, async { tokio::join!(unit, master) }).await.unwrap();
}

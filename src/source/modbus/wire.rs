//! A line that is open: one request at a time, and what became of it.
//!
//! Owns the port or connection, the client that speaks Modbus on it, the time-out of a request and the silence before
//! the next one. The direction of an RS-485 line is the driver's business (or the adapter's own).

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_modbus::client::{Client, Context, rtu, tcp};
use tokio_modbus::slave::SlaveContext;
use tokio_modbus::{Error as ClientError, Request, Response, Slave};

use super::gate::{Gate, Watch};
use crate::config::model::{FlowControl, ModbusLine, Table};
use crate::decode::modbus::frame::Framing;
use crate::decode::modbus::plan::Span;
use crate::forward::explain::Explanation;
use crate::source::serial::port;

/// How long a TCP connection may take, name look-up included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Above this speed the silence between frames is fixed, by the specification: at 3.5 characters it would be shorter
/// than receivers notice.
const FAST_BAUD: u32 = 19_200;

/// That silence.
const FAST_SILENCE: Duration = Duration::from_micros(1750);

/// Bits of a character on the line, at most: start, 8 data, parity, stop (or two stops).
const CHARACTER_BITS: u32 = 11;

/// Bytes of an RTU request: unit, function, address, count, checksum.
const REQUEST_BYTES: u32 = 8;

/// Why a request brought no values.
#[derive(Debug)]
pub(super) enum Fault {
    /// The unit refuses, by this code.
    Exception(u8),
    /// No answer in time; so many bytes were heard that are none.
    Silence {
        /// Bytes that are no part of an answer.
        noise: u64,
    },
    /// An answer that does not fit the request.
    Wrong(String),
    /// The port or connection is of no use any more.
    Gone(io::Error),
}

/// An open line.
pub(super) struct Wire {
    context: Context,
    watch: Watch,
    /// Between two frames.
    silence: Duration,
    /// One character on the line; nothing with Modbus TCP.
    character: Duration,
    /// The unit that has let a request's time pass, and may still answer it.
    owes: Option<u8>,
    /// It has answered the repeated request since, or the first one late: until then a second answer may come, which on
    /// a serial line looks like the answer to whatever is asked next.
    doubtful: Option<(u8, Instant)>,
}

impl Wire {
    /// Opens the port, or connects.
    pub(super) async fn open(line: &ModbusLine) -> Result<Self, Explanation> {
        match line {
            ModbusLine::Serial { port: path, baud, parity, stop_bits } => {
                match port::open_line(path, *baud, 8, *parity, *stop_bits, FlowControl::None) {
                    Ok(stream) => Ok(Self::over(stream, *baud)),
                    Err(error) => {
                        // Finding out who holds a port looks at every process.
                        let path = path.clone();
                        let explained = tokio::task::spawn_blocking(move || port::explain(&error, &path)).await;
                        Err(explained.unwrap_or_else(|_| Explanation::plain("the port cannot be opened")))
                    }
                }
            }
            ModbusLine::RtuOverTcp { host, port, baud } => {
                Ok(Self::over(connect(host, *port, "its TCP server").await?, *baud))
            }
            ModbusLine::Tcp { host, port } => {
                let stream = connect(host, *port, "Modbus TCP").await?;
                let (gate, watch) = Gate::new(stream, Framing::Tcp);
                let (silence, character) = (Duration::ZERO, Duration::ZERO);
                Ok(Self { context: tcp::attach(gate), watch, silence, character, owes: None, doubtful: None })
            }
        }
    }

    /// Over an open serial port, or a connection to one, at this speed.
    pub(super) fn over<T>(stream: T, baud: u32) -> Self
    where
        T: AsyncRead + AsyncWrite + Debug + Unpin + Send + 'static,
    {
        let (gate, watch) = Gate::new(stream, Framing::Rtu);
        let character = Duration::from_secs(1) * CHARACTER_BITS / baud.max(1);
        let silence = if baud > FAST_BAUD { FAST_SILENCE } else { character * 7 / 2 };
        Self { context: rtu::attach(gate), watch, silence, character, owes: None, doubtful: None }
    }

    /// Asks a unit for registers, or bits as 0 and 1. To be given up by dropping only if the line is closed then.
    pub(super) async fn ask(&mut self, unit: u8, span: Span, patience: Duration) -> Result<Vec<u16>, Fault> {
        let mut quiet_from = self.watch.traffic().busy + self.silence;
        if let Some((_, until)) = self.doubtful.take_if(|(of, _)| *of == unit) {
            quiet_from = quiet_from.max(until);
        }
        if quiet_from > Instant::now() {
            sleep_until(quiet_from).await;
        }
        let Span { table, first, count } = span;
        let request = match table {
            Table::Coil => Request::ReadCoils(first, count),
            Table::Discrete => Request::ReadDiscreteInputs(first, count),
            Table::Holding => Request::ReadHoldingRegisters(first, count),
            Table::Input => Request::ReadInputRegisters(first, count),
        };
        self.context.set_slave(Slave(unit));
        let answer = timeout(patience + self.on_the_wire(span), self.context.call(request)).await;
        if self.watch.traffic().is_cut {
            return Err(Fault::Gone(io::Error::new(io::ErrorKind::TimedOut, "a request could not be sent")));
        }
        let is_serial = !self.character.is_zero();
        if answer.is_err() {
            self.owes = Some(unit).filter(|_| is_serial);
        } else if self.owes.take_if(|of| *of == unit).is_some() {
            self.doubtful = Some((unit, Instant::now() + patience));
        }
        match answer {
            Err(_) => Err(Fault::Silence { noise: self.watch.traffic().noise() }),
            Ok(Ok(Ok(response))) => values(response, span),
            Ok(Ok(Err(exception))) => Err(Fault::Exception(exception.into())),
            Ok(Err(ClientError::Protocol(error))) => Err(Fault::Wrong(error.to_string())),
            Ok(Err(ClientError::Transport(error))) => Err(Fault::Gone(error)),
        }
    }

    /// Answers that came after their requests had been given up, since it was opened.
    pub(super) fn late(&self) -> u64 {
        self.watch.traffic().late()
    }

    /// How long request and answer are on the line, with the silences around them.
    fn on_the_wire(&self, span: Span) -> Duration {
        let data = if span.table.is_bits() { span.count.div_ceil(8) } else { 2 * span.count };
        self.character * (REQUEST_BYTES + 5 + u32::from(data)) + 2 * self.silence
    }
}

/// As many values as were asked for.
fn values(response: Response, span: Span) -> Result<Vec<u16>, Fault> {
    let mut values = match response {
        Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words) => words,
        Response::ReadCoils(bits) | Response::ReadDiscreteInputs(bits) => bits.into_iter().map(u16::from).collect(),
        other => return Err(Fault::Wrong(format!("an answer of another kind: {:?}", other.function_code()))),
    };
    let wanted = usize::from(span.count);
    // Bits come in whole bytes.
    let most = if span.table.is_bits() { wanted.next_multiple_of(8) } else { wanted };
    if !(wanted..=most).contains(&values.len()) {
        return Err(Fault::Wrong(format!("{} values where {wanted} were asked for", values.len())));
    }
    values.truncate(wanted);
    Ok(values)
}

/// Connects; `what` must be switched on at the other end.
async fn connect(host: &str, port: u16, what: &str) -> Result<TcpStream, Explanation> {
    let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(not_connected(&error, host, port, what)),
        Err(_) => return Err(not_connected(&io::ErrorKind::TimedOut.into(), host, port, what)),
    };
    // A request is one small packet that must not wait for company; where it does, it is only slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

fn not_connected(error: &io::Error, host: &str, port: u16, what: &str) -> Explanation {
    let place = super::words::place(host, port);
    Explanation::plain(match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("{place} refuses the connection: is {what} switched on there, and is the port right?")
        }
        io::ErrorKind::TimedOut => {
            format!("{place} does not answer: is it powered and on this network, and is the address right?")
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            format!("there is no way to {place} from here: look at the cable and the network's settings")
        }
        _ => format!("{place} cannot be reached: {error}"),
    })
}

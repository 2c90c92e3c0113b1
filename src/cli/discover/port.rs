//! Listening to a serial port at rate after rate.
//!
//! Owns what is believed of the bytes: text in lines, at 8N1 or 7E1, or the requests of a Modbus master.

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};
use tokio_serial::{DataBits, Parity, SerialPortBuilderExt, SerialStream};

use super::{BYTES_MAX, MESSAGES_MAX, say};
use crate::discover::{Heard, Place, modbus, quoted};
use crate::error::Failure;
use crate::ops::ports;

/// Baud rates tried, the commonest first.
const BAUDS: [u32; 8] = [9_600, 115_200, 19_200, 4_800, 38_400, 57_600, 2_400, 1_200];

/// Least share of text at which a baud rate is believed.
const TEXT_SHARE: f64 = 0.95;

/// Bytes before a baud rate is judged.
const JUDGED_BYTES: usize = 16;

/// What came from a port at one rate.
#[derive(Default)]
pub(super) struct Tried {
    baud: u32,
    bytes: Vec<u8>,
    /// Share of bytes that are text, as 8N1 and as 7E1.
    text: f64,
    seven_even: bool,
}

impl Tried {
    fn judge(&mut self) {
        let share = |fits: &dyn Fn(u8) -> bool| {
            self.bytes.iter().filter(|byte| fits(**byte)).count() as f64 / self.bytes.len().max(1) as f64
        };
        let printable = |byte: u8| (0x20..0x7f).contains(&byte) || matches!(byte, b'\r' | b'\n' | b'\t');
        let plain = share(&|byte| printable(byte) || byte >= 0x80 && std::str::from_utf8(&self.bytes).is_ok());
        let even = share(&|byte| byte.count_ones() % 2 == 0 && printable(byte & 0x7f));
        (self.text, self.seven_even) = if even > plain { (even, true) } else { (plain, false) };
    }

    /// Text, in lines.
    fn is_good(&self) -> bool {
        let ends = self.bytes().iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.bytes.len() >= JUDGED_BYTES && self.text >= TEXT_SHARE && ends >= 2
    }

    /// The bytes without a parity bit.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self.seven_even {
            true => self.bytes.iter().map(|byte| byte & 0x7f).collect(),
            false => self.bytes.clone(),
        }
    }

    pub(super) fn place(&self, name: String, path: &Path) -> Place {
        let percent = (self.text * 100.0).round();
        let (port, bytes) = (quoted(&path.display().to_string()), self.bytes.len());
        let mut keys = format!(
            "type = \"serial\"\nport = {port}\nbaud = {}  # {percent} % of {bytes} bytes are text at this rate\n",
            self.baud
        );
        if self.seven_even {
            keys.push_str("data_bits = 7\nparity = \"even\"  # all bytes have even parity in 8 bits\n");
        }
        Place { name, keys, is_port: true }
    }
}

/// Listens at rate after rate until one makes sense, and then for the rest of the time.
pub(super) async fn listen(path: &Path, first: Option<u32>, time: Duration) -> Result<Tried, Failure> {
    let bauds: Vec<u32> = first.into_iter().chain(BAUDS.into_iter().filter(|baud| Some(*baud) != first)).collect();
    let end = Instant::now() + time;
    let slice = time / u32::try_from(bauds.len() + 2).unwrap_or(u32::MAX);
    let mut best = Tried::default();
    let mut asked = None;
    for baud in bauds {
        let mut tried = Tried { baud, ..Tried::default() };
        let mut port = open(path, baud)?;
        let until = (Instant::now() + slice).min(end);
        while !tried.is_good() && read(&mut port, path, &mut tried, until).await? {}
        if tried.is_good() {
            say(&format!("{baud} baud makes sense"));
            while tried.bytes.len() < BYTES_MAX && read(&mut port, path, &mut tried, end).await? {}
            return Ok(tried);
        }
        say(&format!("{baud} baud: {} bytes, {} % text", tried.bytes.len(), (tried.text * 100.0).round()));
        let units = modbus::units_asked(&tried.bytes);
        if !units.is_empty() {
            asked = Some((baud, units));
            break;
        }
        if (tried.text, tried.bytes.len()) > (best.text, best.bytes.len()) || best.baud == 0 {
            best = tried;
        }
    }
    if best.bytes.is_empty() {
        return Err(Failure::Failed(format!(
            "error: {} said nothing at any rate\n  = help: is the device powered, are its lines the right way round, does it send by itself?\n  \
             = help: a Modbus device never does: it answers when it is asked. If its manual speaks of Modbus or RS-485, it is a \
             source with type = \"modbus-rtu\", the manual's rate and registers",
            path.display()
        )));
    }
    if let Some((baud, units)) = asked {
        let units: Vec<String> = units.iter().map(u8::to_string).collect();
        return Err(Failure::Failed(format!(
            "error: {} carries Modbus RTU at {baud} baud: somebody asks the units {} for registers\n  = help: a line has one \
             master. If the gateway is to be it, take the other off, and make a source with type = \"modbus-rtu\" and \
             baud = {baud}",
            path.display(),
            units.join(", ")
        )));
    }
    if best.text < TEXT_SHARE {
        return Err(Failure::Failed(format!(
            "error: {} speaks, but no text: at best {} % at {} baud\n  = help: it may be a binary protocol (Modbus, say), or \
             a rate or parity that was not tried; `tidegate tap --raw` shows the bytes",
            path.display(),
            (best.text * 100.0).round(),
            best.baud
        )));
    }
    Ok(best)
}

/// Reads once; false when the time is over.
async fn read(port: &mut SerialStream, path: &Path, tried: &mut Tried, until: Instant) -> Result<bool, Failure> {
    let mut chunk = [0; 1024];
    match timeout_at(until, port.read(&mut chunk)).await {
        Err(_) => Ok(false),
        Ok(Ok(count)) if count > 0 => {
            tried.bytes.extend_from_slice(&chunk[..count]);
            // What has settled does not change with a few bytes more.
            if tried.bytes.len() < 64 * 1024 {
                tried.judge();
            }
            Ok(true)
        }
        Ok(_) => Err(Failure::Failed(format!("error: {} was unplugged", path.display()))),
    }
}

fn open(path: &Path, baud: u32) -> Result<SerialStream, Failure> {
    let builder = tokio_serial::new(path.to_string_lossy(), baud).data_bits(DataBits::Eight).parity(Parity::None);
    builder.open_native_async().map_err(|error| {
        let device = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let holders = ports::held_by(Path::new("/"), &device);
        let help = match holders.is_empty() {
            true => "`tidegate ports` shows which ports there are and who may open them".to_owned(),
            false => format!("it is held by {}; stop that first", holders.join(", ")),
        };
        Failure::Failed(format!("error: {} cannot be opened: {error}\n  = help: {help}", path.display()))
    })
}

/// The whole lines among the bytes: neither what came before the first end nor what follows the last.
pub(super) fn lines(bytes: &[u8]) -> Vec<Heard> {
    let ends = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let (Some(first), Some(last)) = (bytes.iter().position(ends), bytes.iter().rposition(ends)) else {
        return Vec::new();
    };
    let whole = bytes[first..last].split(ends).filter(|line| !line.trim_ascii().is_empty());
    whole.take(MESSAGES_MAX).map(|line| Heard { topic: None, payload: line.to_vec() }).collect()
}

#[cfg(test)]
mod tests;

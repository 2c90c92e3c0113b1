//! `[[source]]` with `type = "modbus"`: the line, its units, their registers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Field, Parity};

/// Most registers (16 bits each) that one request may ask for, by the protocol.
pub const REGISTERS_PER_READ_MAX: u16 = 125;

/// Most coils or discrete inputs that one request may ask for, by the protocol.
pub const BITS_PER_READ_MAX: u16 = 2_000;

/// `[[source]]` with `type = "modbus"`
#[derive(Clone, Debug, PartialEq)]
pub struct ModbusSource {
    /// `port` or `url`
    pub line: ModbusLine,
    /// `retries`: how often a request is repeated at once before its unit counts as lost. Default 1.
    pub retries: u32,
    /// `[[source.unit]]`, at least one; ids and names unique.
    pub units: Vec<ModbusUnit>,
}

/// How units are reached.
#[derive(Clone, Debug, PartialEq)]
pub enum ModbusLine {
    /// Modbus RTU: 8 data bits, always.
    Serial {
        /// `port`
        port: PathBuf,
        /// `baud`. Default 9600.
        baud: u32,
        /// `parity`. Default none.
        parity: Parity,
        /// `stop_bits`. Default 1.
        stop_bits: u8,
    },
    /// Modbus TCP: `url = "modbus-tcp://host[:port]"`, default port 502.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Modbus RTU through a serial device server, which hands bytes through as they are:
    /// `url = "modbus-rtu-tcp://host:port"`.
    RtuOverTcp {
        /// Name or address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
        /// `baud`: of the line behind the device server, for the timing only. Default 9600.
        baud: u32,
    },
}

/// `[[source.unit]]`: a device.
#[derive(Clone, Debug, PartialEq)]
pub struct ModbusUnit {
    /// `id`: its address on the line, 1 to 247; with TCP 0 to 255.
    pub id: u8,
    /// `name`: the middle of its sensors' names. Letters, digits, `-` and `_`.
    pub name: Arc<str>,
    /// `poll_interval`: its own, or the source's. Default 5 s.
    pub poll_interval: Duration,
    /// `timeout`: how long it may think about a request, its own or the source's; the time on the wire comes on top.
    /// Default 1 s.
    pub timeout: Duration,
    /// `max_registers`: most registers asked for at once. Default 125.
    pub max_registers: u16,
    /// `max_gap`: most unwanted registers read along to save a request. Default 8.
    pub max_gap: u16,
    /// `registers`, at least one.
    pub registers: Vec<Register>,
}

impl ModbusUnit {
    /// What it is called where sources are told of: `source/unit`.
    pub fn source_name(&self, source: &str) -> String {
        format!("{source}/{}", self.name)
    }
}

/// An entry of `registers`: one quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Register {
    /// Its name and what is done with the raw number: `unit`, `scale`, `offset`, `valid_range`, `ignore_values`, `map`.
    pub field: Field,
    /// `table`. Default holding.
    pub table: Table,
    /// `address`, counted from 0 as on the wire, whatever `addressing` is.
    pub address: u16,
    /// `type`
    pub kind: RegisterType,
    /// `order`, for as many bytes as the type has. Default most significant first.
    pub order: ByteOrder,
    /// `sunspec`: the marks by which SunSpec devices say "not implemented" are no values. Default false.
    pub sunspec: bool,
    /// `scale_register`: value = raw * 10^(what stands there) * scale + offset.
    pub scale_register: Option<ScaleRegister>,
}

/// Where a power of ten stands: a signed register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleRegister {
    /// Holding or input.
    pub table: Table,
    /// Counted from 0.
    pub address: u16,
    /// Of its two bytes.
    pub order: ByteOrder,
}

/// `table`: one of the four address spaces, and with it the function code that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Function 1, bits.
    Coil,
    /// Function 2, bits.
    Discrete,
    /// Function 3, registers of 16 bits.
    Holding,
    /// Function 4, registers of 16 bits.
    Input,
}

impl Table {
    /// The function code that reads it.
    pub fn function(self) -> u8 {
        match self {
            Self::Coil => 1,
            Self::Discrete => 2,
            Self::Holding => 3,
            Self::Input => 4,
        }
    }

    /// Whether it holds bits.
    pub fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }

    /// As written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coil => "coil",
            Self::Discrete => "discrete",
            Self::Holding => "holding",
            Self::Input => "input",
        }
    }
}

/// `type`: what the registers hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum RegisterType {
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
    /// Binary-coded decimal, 4 digits.
    Bcd16,
    /// Binary-coded decimal, 8 digits.
    Bcd32,
    /// One bit: a coil or discrete input, or the given bit (0: the least significant) of a register.
    Bit(u8),
    /// The bits under a mask, shifted down to where the mask begins.
    Bits(u16),
}

impl RegisterType {
    /// How many registers (or, of coils and discrete inputs, bits) it takes.
    pub fn registers(self) -> u16 {
        match self {
            Self::U16 | Self::I16 | Self::Bcd16 | Self::Bit(_) | Self::Bits(_) => 1,
            Self::U32 | Self::I32 | Self::F32 | Self::Bcd32 => 2,
            Self::U64 | Self::I64 | Self::F64 => 4,
        }
    }
}

/// `order`: which byte of the value comes at which place. Entry `n` is the place, from the most significant (0), of the
/// byte received as number `n`; as many entries count as the value has bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteOrder(pub [u8; 8]);

impl ByteOrder {
    /// Most significant byte first: "AB", "ABCD".
    pub const BIG: Self = Self([0, 1, 2, 3, 4, 5, 6, 7]);

    /// The usual four, for a value of so many registers: registers in reverse, bytes of each register in reverse.
    pub fn of(registers: u16, words_reversed: bool, bytes_reversed: bool) -> Self {
        let registers = usize::from(registers.clamp(1, 4));
        let mut order = Self::BIG;
        for word in 0..registers {
            for byte in 0..2 {
                let place = if words_reversed { registers - 1 - word } else { word };
                let within = if bytes_reversed { 1 - byte } else { byte };
                order.0[2 * word + byte] = (2 * place + within) as u8;
            }
        }
        order
    }
}

//! What went wrong on a Modbus line, and what to do about it, in one sentence.
//!
//! Owns the names of the exception codes (Modbus Application Protocol V1.1b3, section 7). Pure.

use super::wire::Fault;
use crate::config::model::{ModbusLine, ModbusUnit};
use crate::decode::modbus::plan::Span;
use crate::forward::explain::human;

/// Codes by which a gateway says that the unit behind it does not answer.
const BEHIND_A_GATEWAY: [u8; 2] = [10, 11];

/// `host:port`, as one writes it.
pub(super) fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The line, as one would point at it.
pub(super) fn line(line: &ModbusLine) -> String {
    match line {
        ModbusLine::Serial { port, .. } => port.display().to_string(),
        ModbusLine::Tcp { host, port } | ModbusLine::RtuOverTcp { host, port, .. } => place(host, *port),
    }
}

/// How a line was opened.
pub(super) fn opened(of: &ModbusLine) -> String {
    match of {
        ModbusLine::Serial { baud, .. } => format!("{} is open at {baud} baud", line(of)),
        ModbusLine::Tcp { .. } => format!("connected to {}", line(of)),
        ModbusLine::RtuOverTcp { .. } => format!("connected to the device server {}", line(of)),
    }
}

/// Whether a code means that the unit is not there.
pub(super) fn is_absence(code: u8) -> bool {
    BEHIND_A_GATEWAY.contains(&code)
}

/// An exception by name, with what to do.
pub(super) fn exception(code: u8, span: Span) -> String {
    let Span { table, first, count } = span;
    let what = format!("{} {first}", table.as_str());
    let what = if count > 1 { format!("{what} to {}", u32::from(first) + u32::from(count) - 1) } else { what };
    let function = table.function();
    match code {
        1 => format!(
            "exception 1 (illegal function) for {what}: the unit does not know function code {function}; it has these values \
             in another `table`"
        ),
        2 => format!(
            "exception 2 (illegal data address) for {what}: the unit has no such address; does its manual count from 1 or \
             from 40001 (see `addressing`), or is it another `table`?"
        ),
        3 => format!(
            "exception 3 (illegal data value) for {what}: the unit does not take a request for {count} of them; lower \
             `max_registers`"
        ),
        4 => format!("exception 4 (device failure) for {what}: the unit has a fault of its own; look at its display"),
        5 => format!("exception 5 (acknowledge) for {what}: the unit needs longer; read it less often"),
        6 => format!("exception 6 (device busy) for {what}: the unit is busy; read it less often"),
        8 => format!("exception 8 (memory parity error) for {what}: the unit's memory is damaged; have it repaired"),
        10 => "exception 10 (gateway path unavailable): the gateway is not set up for this unit's address".to_owned(),
        11 => {
            "exception 11 (gateway target device failed to respond): the gateway hears nothing from this unit; is it \
               powered, and are its address and wiring right?"
                .to_owned()
        }
        _ => format!("exception {code} for {what}: a code of the maker's own; see the unit's manual"),
    }
}

/// A unit is lost.
pub(super) fn unit_lost(unit: &ModbusUnit, fault: &Fault, of: &ModbusLine, patience: std::time::Duration) -> String {
    let who = format!("unit `{}` (address {}) on {}", unit.name, unit.id, line(of));
    match (fault, of) {
        (Fault::Exception(code), _) => {
            let first = Span { table: unit.registers[0].table, first: unit.registers[0].address, count: 1 };
            format!("{who}: {}", exception(*code, first))
        }
        (Fault::Silence { noise: 0 }, ModbusLine::Serial { baud, .. }) => format!(
            "{who} has not answered for {}: is it powered, is its address {}, does it talk at {baud} baud, and are A and B \
             not swapped?",
            human(patience),
            unit.id
        ),
        (Fault::Silence { noise }, ModbusLine::Serial { baud, .. }) => format!(
            "{who} does not answer, but something is heard ({}): are the baud rate ({baud}) and the parity those of the unit, \
             is the line terminated, and is there no second master?",
            amount(*noise)
        ),
        (Fault::Silence { .. }, ModbusLine::Tcp { .. }) => format!(
            "{who} has not answered for {}: is there a unit of this address, and behind a gateway: is it powered?",
            human(patience)
        ),
        (Fault::Silence { noise: 0 }, ModbusLine::RtuOverTcp { .. }) => format!(
            "{who} has not answered for {}: is it powered, is its address {}, are the device server's baud rate and parity those \
             of the unit, are A and B not swapped, and does the device server speak Modbus TCP itself (then it is \
             modbus-tcp://)?",
            human(patience),
            unit.id
        ),
        (Fault::Silence { noise }, ModbusLine::RtuOverTcp { .. }) => format!(
            "{who} does not answer, but something is heard ({}): are the device server's baud rate and parity those of the unit, \
             and is there no second master?",
            amount(*noise)
        ),
        (Fault::Wrong(what), _) => format!("{who} answers something else than was asked: {what}"),
        (Fault::Gone(error), _) => format!("{who}: {error}"),
    }
}

/// How much was heard: by size only, so that the same fault is the same words.
fn amount(noise: u64) -> &'static str {
    if noise < 8 { "a few bytes" } else { "bytes that are no answer" }
}

/// What a unit that is back is told by.
pub(super) fn unit_back(unit: &ModbusUnit, of: &ModbusLine) -> String {
    format!("unit `{}` (address {}) on {} answers", unit.name, unit.id, line(of))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Table;

    #[test]
    fn every_exception_has_a_name_and_a_remedy() {
        let span = Span { table: Table::Input, first: 52, count: 2 };
        for (code, name, remedy) in [
            (1, "illegal function", "function code 4"),
            (2, "illegal data address", "`addressing`"),
            (3, "illegal data value", "`max_registers`"),
            (4, "device failure", "display"),
            (5, "acknowledge", "less often"),
            (6, "device busy", "less often"),
            (8, "memory parity error", "repaired"),
            (10, "gateway path unavailable", "set up"),
            (11, "failed to respond", "powered"),
            (99, "exception 99", "manual"),
        ] {
            let told = exception(code, span);
            assert!(told.contains(name) && told.contains(remedy), "{told}");
        }
        assert!(exception(2, span).contains("input 52 to 53"));
        let last = Span { table: Table::Holding, first: u16::MAX, count: 1 };
        assert!(exception(2, last).contains("holding 65535:"));
    }
}

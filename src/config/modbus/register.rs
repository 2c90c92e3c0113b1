//! The entries of `registers`: addresses as manuals count them, types, orders, powers of ten.

use crate::config::decode::{self, quantity_name, rules};
use crate::config::keys::REGISTER;
use crate::config::model::{ByteOrder, Field, Register, RegisterType, ScaleRegister, Table};
use crate::config::section::Section;
use crate::config::suggest::nearest;
use crate::config::text::{text, wrong_type};
use crate::config::tree::{Context, Data, Entry, Spot};

/// Quantities of one unit.
const REGISTERS_MAX: usize = 512;

/// How a unit's manual counts.
#[derive(Clone, Copy, PartialEq)]
enum Addressing {
    ZeroBased,
    OneBased,
    Modicon,
}

/// What a unit says for all its registers.
#[derive(Clone, Copy)]
struct Defaults {
    addressing: Addressing,
    words_reversed: bool,
    bytes_reversed: bool,
    sunspec: bool,
}

/// The four orders that stand for any length: registers in reverse, bytes in reverse.
const ORDERS: [(&str, (bool, bool)); 4] =
    [("ABCD", (false, false)), ("CDAB", (true, false)), ("BADC", (false, true)), ("DCBA", (true, true))];

/// `registers` of a unit; `None` when there are none that are right.
pub fn all(ctx: &mut Context<'_>, unit: &Section<'_>) -> Option<Vec<Register>> {
    let ways =
        [("zero-based", Addressing::ZeroBased), ("one-based", Addressing::OneBased), ("modicon", Addressing::Modicon)];
    let addressing = unit.choice(ctx, "addressing", &ways).unwrap_or(Addressing::ZeroBased);
    let (words_reversed, bytes_reversed) = unit.choice(ctx, "order", &ORDERS).unwrap_or((false, false));
    let sunspec = unit.boolean(ctx, "sunspec").unwrap_or(false);
    let defaults = Defaults { addressing, words_reversed, bytes_reversed, sunspec };
    let entry = unit.entry("registers")?;
    let Data::Table(entries) = &entry.value.data else {
        wrong_type(ctx, &entry.value, "`registers`", "a table")
            .help("name the quantities: registers = { power = { address = 52, type = \"f32\", unit = \"W\" } }");
        return None;
    };
    if entries.is_empty() || entries.len() > REGISTERS_MAX {
        ctx.error(entry.value.spot, format!("`registers` holds {} entries", entries.len()))
            .label(format!("expected 1 to {REGISTERS_MAX}"));
        return None;
    }
    let read: Vec<Option<(Register, Option<Scale>)>> =
        entries.iter().map(|entry| register(ctx, entry, defaults)).collect();
    let whole = read.iter().all(Option::is_some);
    let (mut registers, scales): (Vec<Register>, Vec<Option<Scale>>) = read.into_iter().flatten().unzip();
    if whole {
        for (index, scale) in scales.into_iter().enumerate() {
            if let Some(scale) = scale {
                registers[index].scale_register = resolve(ctx, &registers, &registers[index], scale, defaults);
            }
        }
    }
    whole.then_some(registers)
}

/// `scale_register` as written.
enum Scale {
    Name(String, Spot),
    Address(i64, Spot),
}

fn register(ctx: &mut Context<'_>, entry: &Entry, defaults: Defaults) -> Option<(Register, Option<Scale>)> {
    quantity_name(ctx, entry, "the quantity is what you call it; where it is goes into `address`")?;
    let name = &entry.name;
    let Data::Table(entries) = &entry.value.data else {
        wrong_type(
            ctx,
            &entry.value,
            &format!("register `{name}`"),
            "a table such as { address = 52, type = \"f32\", unit = \"W\" }",
        );
        return None;
    };
    let section = Section::new(ctx, &REGISTER, entry.value.spot, &[entries]);
    section.require(ctx, "address");
    let tables = [Table::Holding, Table::Input, Table::Coil, Table::Discrete].map(|table| (table.as_str(), table));
    let table = section.choice(ctx, "table", &tables);
    let address: Option<i64> = section.integer(ctx, "address", 0..=465_536);
    let place = address.and_then(|address| place(ctx, &section, "address", address, table, defaults.addressing));
    let of = place.map_or(table.unwrap_or(Table::Holding), |(table, _)| table);
    let kind = kind(ctx, &section, of);
    let order = kind.and_then(|kind| order(ctx, &section, kind, defaults));
    if let (Some((table, first)), Some(kind)) = (place, kind)
        && u32::from(first) + u32::from(kind.registers()) > 1 << 16
    {
        ctx.error(section.spot("address"), "this goes beyond the last address").label(format!(
            "{} registers from here; the last {} address is 65535",
            kind.registers(),
            table.as_str()
        ));
    }
    let mut field = Field::plain(name);
    field.unit = decode::unit(ctx, &section);
    rules(ctx, &section, &mut field);
    if !field.ignore_texts.is_empty() {
        ctx.error(section.spot("ignore_values"), "a register holds no text").label("expected numbers, as in [65535]");
    }
    let sunspec = section.boolean(ctx, "sunspec").unwrap_or(defaults.sunspec);
    let scale = section.entry("scale_register").and_then(|entry| match &entry.value.data {
        Data::Text(_) => {
            text(ctx, &entry.value, "`scale_register`").map(|text| Scale::Name(text.value, entry.value.spot))
        }
        Data::Integer(Some(address)) => Some(Scale::Address(*address, entry.value.spot)),
        _ => {
            wrong_type(ctx, &entry.value, "`scale_register`", "the name of a register, or an address");
            None
        }
    });
    let (table, address) = place?;
    let register = Register { field, table, address, kind: kind?, order: order?, sunspec, scale_register: None };
    Some((register, scale))
}

/// The table and the address on the wire.
fn place(
    ctx: &mut Context<'_>,
    section: &Section<'_>,
    key: &'static str,
    address: i64,
    table: Option<Table>,
    addressing: Addressing,
) -> Option<(Table, u16)> {
    let spot = section.spot(key);
    let (found, wire) = match addressing {
        Addressing::ZeroBased => (table.unwrap_or(Table::Holding), address),
        Addressing::OneBased => (table.unwrap_or(Table::Holding), address - 1),
        Addressing::Modicon => {
            let Some((implied, wire)) = modicon(address) else {
                ctx.error(spot, format!("{address} is no address in Modicon's notation")).label(
                    "expected 40001 to 49999 or 400001 to 465536 (holding), 3.. (input), 1.. (discrete), 1 to 9999 (coil)",
                );
                return None;
            };
            if table.is_some_and(|table| table != implied) {
                let other = ctx.place(section.spot("table"));
                ctx.error(spot, format!("{address} is a {} address", implied.as_str()))
                    .note(other, "and this says otherwise")
                    .help("with addressing = \"modicon\" the address says the table; leave `table` out");
                return None;
            }
            (implied, wire)
        }
    };
    match u16::try_from(wire) {
        Ok(wire) => Some((found, wire)),
        Err(_) if wire < 0 => {
            ctx.error(spot, "the first address is 1 with addressing = \"one-based\"");
            None
        }
        Err(_) => {
            ctx.error(spot, format!("there is no address {address}")).label("expected 0 to 65535").help(
                "if the manual counts from 40001, set addressing = \"modicon\" for the unit, or write the address without \
                 the first digit, less 1",
            );
            None
        }
    }
}

/// 40001 is holding register 0; six digits (400001) reach all of them.
fn modicon(address: i64) -> Option<(Table, i64)> {
    let (digit, number) = match address {
        1..=9_999 => (0, address),
        10_001..=99_999 => (address / 10_000, address % 10_000),
        100_001..=465_536 => (address / 100_000, address % 100_000),
        _ => return None,
    };
    let table = match digit {
        0 => Table::Coil,
        1 => Table::Discrete,
        3 => Table::Input,
        4 => Table::Holding,
        _ => return None,
    };
    (1..=65_536).contains(&number).then_some((table, number - 1))
}

fn kind(ctx: &mut Context<'_>, section: &Section<'_>, table: Table) -> Option<RegisterType> {
    #[derive(Clone, Copy, PartialEq)]
    enum Word {
        Plain(RegisterType),
        Bit,
        Bits,
    }
    let words = [
        ("u16", Word::Plain(RegisterType::U16)),
        ("i16", Word::Plain(RegisterType::I16)),
        ("u32", Word::Plain(RegisterType::U32)),
        ("i32", Word::Plain(RegisterType::I32)),
        ("u64", Word::Plain(RegisterType::U64)),
        ("i64", Word::Plain(RegisterType::I64)),
        ("f32", Word::Plain(RegisterType::F32)),
        ("f64", Word::Plain(RegisterType::F64)),
        ("bcd16", Word::Plain(RegisterType::Bcd16)),
        ("bcd32", Word::Plain(RegisterType::Bcd32)),
        ("bit", Word::Bit),
        ("bits", Word::Bits),
    ];
    let without = if table.is_bits() { Word::Bit } else { Word::Plain(RegisterType::U16) };
    let word = if section.has("type") { section.choice(ctx, "type", &words)? } else { without };
    if table.is_bits() && word != Word::Bit {
        ctx.error(section.spot("type"), format!("the {} table holds single bits", table.as_str()))
            .label("leave `type` out, or read the holding or input table");
        return None;
    }
    for (key, only, of) in [("bit", Word::Bit, "bit"), ("mask", Word::Bits, "bits")] {
        if let Some(entry) = section.entry(key)
            && (word != only || table.is_bits())
        {
            ctx.error(entry.key, format!("`{key}` has no meaning here"))
                .label(format!("only with type = \"{of}\" in the holding or input table"));
            return None;
        }
    }
    let needs = |ctx: &mut Context<'_>, key: &'static str, what: &str| {
        if section.lacks(ctx, key) {
            ctx.error(section.spot("type"), format!("this needs `{key}`")).label(what.to_owned());
        }
    };
    match word {
        Word::Plain(kind) => Some(kind),
        Word::Bit if table.is_bits() => Some(RegisterType::Bit(0)),
        Word::Bit => {
            needs(ctx, "bit", "which bit: 0 (the least significant) to 15");
            section.integer(ctx, "bit", 0..=15).map(RegisterType::Bit)
        }
        Word::Bits => {
            needs(ctx, "mask", "which bits, as in mask = 0x0F00");
            section.integer(ctx, "mask", 1..=65_535).map(RegisterType::Bits)
        }
    }
}

fn order(ctx: &mut Context<'_>, section: &Section<'_>, kind: RegisterType, unit: Defaults) -> Option<ByteOrder> {
    let registers = kind.registers();
    let Some(text) = section.text(ctx, "order") else {
        return (!section.has("order")).then(|| ByteOrder::of(registers, unit.words_reversed, unit.bytes_reversed));
    };
    if let Some((_, (words, bytes))) = ORDERS.iter().find(|(name, _)| *name == text.value) {
        return Some(ByteOrder::of(registers, *words, *bytes));
    }
    let length = 2 * usize::from(registers);
    let mut order = ByteOrder::BIG;
    let mut seen = [false; 8];
    let mut right = text.value.len() == length;
    for (number, letter) in text.value.bytes().enumerate().take(length) {
        let place = usize::from(letter.wrapping_sub(b'A'));
        right &= place < length && !std::mem::replace(&mut seen[place.min(7)], true);
        order.0[number] = place.min(7) as u8;
    }
    if !right {
        let letters: String = (b'A'..b'A' + length as u8).map(char::from).collect();
        ctx.error(text.spot, "this is no byte order")
            .label(format!("expected \"ABCD\", \"CDAB\", \"BADC\", \"DCBA\", or the letters {letters}, each once"));
        return None;
    }
    Some(order)
}

/// Where a power of ten stands.
fn resolve(
    ctx: &mut Context<'_>,
    registers: &[Register],
    of: &Register,
    scale: Scale,
    defaults: Defaults,
) -> Option<ScaleRegister> {
    let spot = match &scale {
        Scale::Name(_, spot) | Scale::Address(_, spot) => *spot,
    };
    if of.table.is_bits() || matches!(of.kind, RegisterType::Bit(_)) {
        ctx.error(spot, "a bit has no power of ten");
        return None;
    }
    match scale {
        Scale::Name(name, spot) => {
            let Some(found) = registers.iter().find(|register| *register.field.quantity == *name) else {
                let near = nearest(&name, registers.iter().map(|register| &*register.field.quantity));
                let label = near.map_or_else(
                    || "not in `registers`; an address is a number, without quotes".to_owned(),
                    |near| format!("did you mean \"{near}\"?"),
                );
                ctx.error(spot, "there is no such register").label(label);
                return None;
            };
            if found.kind != RegisterType::I16 {
                ctx.error(spot, "a power of ten is a signed register").label(format!("`{name}` is not type = \"i16\""));
                return None;
            }
            Some(ScaleRegister { table: found.table, address: found.address, order: found.order })
        }
        Scale::Address(address, spot) => {
            let wire = match defaults.addressing {
                Addressing::ZeroBased => Some(address),
                Addressing::OneBased => Some(address - 1),
                Addressing::Modicon => modicon(address).filter(|(table, _)| *table == of.table).map(|(_, wire)| wire),
            };
            let Some(address) = wire.and_then(|wire| u16::try_from(wire).ok()) else {
                ctx.error(spot, format!("{address} is no address in the {} table", of.table.as_str()));
                return None;
            };
            let order = ByteOrder::of(1, false, defaults.bytes_reversed);
            Some(ScaleRegister { table: of.table, address, order })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modicon_addresses_name_their_table_and_count_from_one() {
        for (address, expected) in [
            (1, Some((Table::Coil, 0))),
            (9_999, Some((Table::Coil, 9_998))),
            (10_001, Some((Table::Discrete, 0))),
            (30_053, Some((Table::Input, 52))),
            (40_001, Some((Table::Holding, 0))),
            (400_001, Some((Table::Holding, 0))),
            (465_536, Some((Table::Holding, 65_535))),
            (0, None),
            (10_000, None),
            (20_001, None),
            (40_000, None),
            (400_000, None),
        ] {
            assert_eq!(modicon(address), expected, "{address}");
        }
    }
}

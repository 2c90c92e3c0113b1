//! A sensor's value as written in `equals`, `not_equals` and `map`.

use super::text::{number, text, wrong_type};
use super::tree::{Context, Data, Node};
use crate::reading::{TEXT_BYTES_MAX, Value};

/// Magnitude up to which an f64 holds every whole number.
const EXACT_MAX: i64 = 1 << 53;

/// Reads a truth value, a number or a text.
pub fn read(ctx: &mut Context<'_>, node: &Node, what: &str) -> Option<Value> {
    match &node.data {
        Data::Bool(state) => Some(Value::Bool(*state)),
        Data::Integer(Some(whole)) if !(-EXACT_MAX..=EXACT_MAX).contains(whole) => Some(Value::Integer(*whole)),
        Data::Integer(_) | Data::Number(_) => number(ctx, node, what).map(Value::Number),
        Data::Text(_) => {
            let text = text(ctx, node, what)?;
            if text.value.len() > TEXT_BYTES_MAX {
                ctx.error(text.spot, format!("{what} is {} bytes long", text.value.len()))
                    .label(format!("at most {TEXT_BYTES_MAX}"));
                return None;
            }
            Some(Value::Text(text.value.into()))
        }
        _ => {
            wrong_type(ctx, node, what, "true, false, a number or a text");
            None
        }
    }
}

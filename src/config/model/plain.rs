//! What stands where nothing is configured.

use std::time::Duration;

use super::{Decode, Field, Format, Reach, Template, TsUnit};

impl Decode {
    /// For sources whose kind knows what its bytes mean.
    pub fn none() -> Self {
        Self {
            format: Format::Number { quantity: Template::default() },
            device: Template::default(),
            fields: Vec::new(),
            ts_field: None,
            ts_unit: TsUnit::Iso8601,
            time_zone: "UTC".to_owned(),
            max_future_skew: Duration::ZERO,
            max_age: Duration::ZERO,
            carry: Vec::new(),
            decimal_comma: false,
            reach: Reach::default(),
        }
    }
}

impl Field {
    /// The value as it is, under its own name.
    pub fn plain(quantity: &str) -> Self {
        Self {
            quantity: quantity.into(),
            path: quantity.to_owned(),
            unit: None,
            unit_path: None,
            bytes: None,
            scale: 1.0,
            offset: 0.0,
            valid_range: None,
            ignore_values: Vec::new(),
            map: Vec::new(),
            text: false,
        }
    }
}

//! What stands where nothing is configured.

use std::time::Duration;

#[cfg(test)]
use super::{Alarm, Condition, Severity};
use super::{Decode, Field, Format, Reach, Template, TsUnit, Written};

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
            ignore_texts: Vec::new(),
            written: Written::default(),
            map: Vec::new(),
            text: false,
        }
    }
}

#[cfg(test)]
impl Alarm {
    /// With the defaults of the configuration.
    pub(crate) fn plain(name: &str, sensors: &str, condition: Condition) -> Self {
        Self {
            name: name.into(),
            description: None,
            sensors: vec![sensors.into()],
            condition,
            deadband: 0.0,
            on_delay: Duration::ZERO,
            off_delay: Duration::ZERO,
            min_samples: 1,
            repeat_every: None,
            latched: false,
            hold_off: Duration::ZERO,
            group: None,
            severity: Severity::Medium,
            context: 10,
            schedule: Vec::new(),
        }
    }
}

//! Writing metric families one after the other.
//!
//! Owns the shape of a family: help, type, samples. The text format itself is the encoder's of `prometheus-client`.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use crate::counters::histogram::Observed;

/// What a sample is told apart by, each a name and a value from a closed set.
pub(super) type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// Takes families and writes them.
pub(super) struct Page<'e>(pub DescriptorEncoder<'e>);

/// No counter of ours refers to a trace.
const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, f64>> = None;

impl Page<'_> {
    /// A number that only grows; the encoder adds `_total` to the name.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Counter)?.encode_counter(&value, NO_EXEMPLAR)
    }

    /// The same with a fraction.
    pub(super) fn counter_f64(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Counter)?.encode_counter(&value, NO_EXEMPLAR)
    }

    /// Several that only grow, by label.
    pub(super) fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_counter(&value, NO_EXEMPLAR)?;
        }
        Ok(())
    }

    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// The same with a fraction; left out without a value.
    pub(super) fn gauge_f64(&mut self, name: &str, help: &str, value: Option<f64>) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// A number that is not always known; left out without a value.
    pub(super) fn known(&mut self, name: &str, help: &str, value: Option<u64>) -> fmt::Result {
        value.map_or(Ok(()), |value| self.gauge(name, help, value))
    }

    /// Several that go up and down, by label.
    pub(super) fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// Which of some states is so: 1 for that, 0 for the others.
    pub(super) fn state(&mut self, name: &str, help: &str, states: &[&str], now: &str) -> fmt::Result {
        self.gauges(name, help, states.iter().map(|state| ([("state", *state)], u64::from(*state == now))))
    }

    /// Facts in labels, with the value 1; the encoder adds `_info` to the name.
    pub(super) fn info<const N: usize>(&mut self, name: &str, help: &str, labels: Labels<'_, N>) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }

    /// Durations or sizes.
    pub(super) fn histogram(&mut self, name: &str, help: &str, observed: &Observed) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Histogram)?.encode_histogram::<NoLabelSet>(
            observed.sum,
            observed.count,
            &observed.buckets,
            None,
        )
    }
}

//! A configuration file: it ends in a configuration whose sources can be made, or in a report that can be shown.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tidegate::config::load_text;
use tidegate::config::model::SourceKind;
use tidegate::decode::Decoder;
use tidegate::decode::framing::Framer;
use tidegate::decode::modbus::plan;
use tidegate_fuzz::watched;

/// Most bytes that a report may have, whatever the file.
const REPORT_BYTES_MAX: usize = 1 << 20;

fuzz_target!(|text: &str| watched(|| {
    let environment = |name: &str| (name.len() > 1).then(|| "a\"\n${A}".to_owned());
    match load_text(Path::new("fuzz.toml"), text, &environment) {
        Err(report) => {
            assert!(report.error_count() > 0, "refused without an error");
            assert!(report.render(true).len() <= REPORT_BYTES_MAX, "an endless report");
            report.render(false);
        }
        Ok(loaded) => {
            loaded.warnings.render(false);
            for source in &loaded.config.sources {
                match &source.kind {
                    SourceKind::Mqtt(_) => {}
                    SourceKind::Serial(serial) => drop(Framer::new(&serial.framing)),
                    SourceKind::Modbus(modbus) => {
                        modbus.units.iter().for_each(|unit| drop(plan::plan(plan::spans(unit), 125, 8)));
                        continue;
                    }
                }
                // It may say no, in words, but not more.
                let _ = Decoder::new(source);
            }
        }
    }
}));

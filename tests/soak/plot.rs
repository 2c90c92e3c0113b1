//! The samples as a table (CSV) and as a picture (SVG), beside each other in `target/soak/`.

use std::fmt::Write as _;
use std::fs;

use crate::plan::Plan;
use crate::sample::Sample;

/// The picture's width and a panel's height, pixels.
const WIDTH: f64 = 960.0;
const PANEL: f64 = 110.0;

/// Room at the left for numbers, at the top for headings.
const LEFT: f64 = 90.0;
const TOP: f64 = 26.0;

/// One curve with its own scale.
struct Panel {
    name: &'static str,
    unit: &'static str,
    figure: fn(&Sample) -> f64,
}

const MIB: f64 = (1 << 20) as f64;

const PANELS: [Panel; 5] = [
    Panel { name: "memory", unit: "MiB", figure: |sample| sample.memory as f64 / MIB },
    Panel { name: "open files", unit: "", figure: |sample| sample.files as f64 },
    Panel { name: "threads", unit: "", figure: |sample| sample.threads as f64 },
    Panel { name: "store on the disk", unit: "MiB", figure: |sample| sample.store as f64 / MIB },
    Panel { name: "events waiting", unit: "thousands", figure: |sample| sample.waiting as f64 / 1_000.0 },
];

/// Writes both.
pub fn write(plan: &Plan, samples: &[Sample]) {
    let (table, picture) = (plan.path("csv"), plan.path("svg"));
    fs::create_dir_all(table.parent().expect("a file in a folder")).unwrap();
    fs::write(&table, csv(samples)).unwrap();
    fs::write(&picture, svg(plan, samples)).unwrap();
    println!("samples in {} and {}", table.display(), picture.display());
}

fn csv(samples: &[Sample]) -> String {
    let mut text = String::from(
        "seconds,hour,memory_bytes,anonymous_bytes,files,threads,store_bytes,waiting_events,processor_seconds,outage\n",
    );
    for s in samples {
        writeln!(
            text,
            "{:.2},{:.3},{},{},{},{},{},{},{:.2},{}",
            s.seconds,
            s.hour,
            s.memory,
            s.anonymous,
            s.files,
            s.threads,
            s.store,
            s.waiting,
            s.processor,
            u8::from(s.outage)
        )
        .unwrap();
    }
    text
}

/// One panel below the other over the same seconds; the outage is shaded.
fn svg(plan: &Plan, samples: &[Sample]) -> String {
    let last = samples.last().map_or(1.0, |sample| sample.seconds.max(0.001));
    let across = |seconds: f64| LEFT + seconds / last * (WIDTH - LEFT - 20.0);
    let height = (PANEL + TOP) * PANELS.len() as f64 + 2.0 * TOP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let mut outage = samples.iter().filter(|sample| sample.outage).map(|sample| sample.seconds);
    let outage = outage.clone().next().zip(outage.next_back());
    for (place, panel) in PANELS.iter().enumerate() {
        let top = TOP + place as f64 * (PANEL + TOP) + TOP;
        let most = samples.iter().map(panel.figure).fold(0.0, f64::max).max(1.0);
        if let Some((from, to)) = outage {
            let (x, width) = (across(from), across(to) - across(from));
            writeln!(svg, "<rect x=\"{x:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{PANEL}\" fill=\"#f2e6d8\"/>")
                .unwrap();
        }
        for (share, value) in [(0.0, 0.0), (0.5, most / 2.0), (1.0, most)] {
            let y = top + PANEL * (1.0 - share);
            let right = WIDTH - 20.0;
            writeln!(svg, "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#ddd\"/>").unwrap();
            let x = LEFT - 6.0;
            writeln!(svg, "<text x=\"{x}\" y=\"{:.0}\" text-anchor=\"end\">{value:.1}</text>", y + 4.0).unwrap();
        }
        writeln!(svg, "<text x=\"{LEFT}\" y=\"{:.0}\">{} {}</text>", top - 6.0, panel.name, panel.unit).unwrap();
        let points: Vec<String> = samples
            .iter()
            .map(|s| format!("{:.1},{:.1}", across(s.seconds), top + PANEL * (1.0 - (panel.figure)(s) / most)))
            .collect();
        writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"#1b6ca8\" stroke-width=\"1.5\" points=\"{}\"/>",
            points.join(" ")
        )
        .unwrap();
    }
    writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"18\">{} sensors, {} alarms, {} sources, {} events in {last:.0} s; shaded: no network \
         upstream</text>\n</svg>",
        plan.sensors,
        plan.alarms,
        plan.sources,
        plan.total()
    )
    .unwrap();
    svg
}

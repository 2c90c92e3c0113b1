//! One frame as plain text: for pipes, scripts' logs and terminals that can do no more.

use super::model::State;
use super::panels::{Panel, Rows, nothing};
use super::text::{self, Manner};
use super::view::{View, facts, verdict};

/// Columns of a row; a pipe has no width of its own.
const WIDTH: usize = 100;

/// All of it, line by line, without a word to a terminal.
pub fn page(state: &State, manner: &Manner) -> String {
    let tame = |line: &str| text::tame(line, manner.unicode).trim_end().to_owned();
    let view = View::default();
    let (said, _, why) = verdict(state);
    let mut lines = vec![tame(&format!("{} {said}  tidegate {}", state.status.gateway, state.status.version))];
    lines.extend(why.iter().map(|reason| tame(&format!("! {reason}"))));
    lines.extend(facts(state, 0, manner).iter().map(|(what, fact)| tame(&format!("{what:<9}{fact}"))));
    for panel in Panel::ALL {
        lines.push(format!("\n{}", panel.title(state, &view)));
        let rows = Rows::new(panel, state, &view);
        if rows.len() == 0 {
            lines.push(format!("  {}", nothing(panel, &view)));
        }
        for row in 0..rows.len() {
            let line = rows.line(row, WIDTH, 0, manner);
            let text: String = line.spans.iter().map(|span| &*span.content).collect();
            lines.push(format!("  {}", text.trim_end()));
        }
    }
    lines.join("\n")
}

//! `tidegate top`: how it all stands, live, in a terminal.
//!
//! Owns its arguments, the keys, and the loop. What is shown comes over the control socket once a second; nothing is
//! changed. One file a subject: `link` (the gateway), `model` (the state), `view` and `panels` (the screen), `text`
//! (what may reach a terminal), `screen` (the terminal itself), `plain` (without one).

mod link;
mod model;
mod panels;
mod plain;
pub mod screen;
pub(super) mod text;
mod view;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use jiff::tz::TimeZone;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc::error::TryRecvError;

use crate::cli::client;
use crate::error::Failure;
use link::{Link, News};
use model::{Message, State};
use screen::Screen;
use text::Manner;
use view::View;

/// What the help ends with.
pub const EXAMPLES: &str = "\
Keys: q or Ctrl-C ends it; Tab and the left and right arrows choose a panel; up, down, PgUp, PgDn, Home and End scroll;
/ shows only sensors with some letters in their names, Esc shows all again; Ctrl-L draws the screen anew.

Examples:
  tidegate top
  tidegate top --once                            one look as plain text; so is `tidegate top | cat`
  tidegate top --json | jq '.alarms[].alarm'     one look for scripts

The last hour of the sensors is there at once where the local page is on ([http]), else it begins when somebody looks.
Without a gateway it waits for one; with --once or --json that is an error.

Exit codes: 0 done, 1 no gateway answers (--once, --json) or the terminal cannot be used, 2 usage.";

/// Longest wait for a key before it is looked for news.
const TURN: Duration = Duration::from_millis(250);

/// The screen is drawn again after this, as ages go on.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// Longest filter, characters: as long as a sensor's name may be.
const FILTER_MAX: usize = 192;

/// The arguments.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The running gateway's control socket (gateway.control_socket)
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    socket: PathBuf,
    /// One look as plain text
    #[arg(long)]
    once: bool,
    /// One look as JSON, for scripts
    #[arg(long, conflicts_with = "once")]
    json: bool,
}

impl Arguments {
    /// Does what they say.
    ///
    /// # Errors
    /// No gateway answers where only one look is wanted, or the terminal cannot be used.
    pub fn execute(self) -> Result<(), Failure> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let is_screen = std::io::stdout().is_terminal() && env("TERM").is_some_and(|term| term != "dumb");
        let manner = Manner { unicode: is_utf8(env), colour: env("NO_COLOR").is_none(), zone: TimeZone::system() };
        if self.json {
            let state = client::get_text(&self.socket, "/v1/state")?;
            return client::print(|out| {
                out.write_all(&state)?;
                writeln!(out)
            });
        }
        if self.once || !is_screen {
            let message: Message = client::get(&self.socket, "/v1/state")?;
            let Some(state) = State::new(message) else {
                return Err(Failure::Failed("error: the gateway's answer is not understood".to_owned()));
            };
            return client::print(|out| writeln!(out, "{}", plain::page(&state, &manner)));
        }
        let link = Link::start(&self.socket)?;
        let failed = |error: std::io::Error| {
            Failure::Failed(format!(
                "error: the terminal cannot be used: {error}\n  = help: --once shows one look as plain text"
            ))
        };
        let mut screen = Screen::take().map_err(failed)?;
        let ended = Top::new(link, manner).run(&mut screen);
        drop(screen);
        ended.map_err(failed)
    }
}

/// As the C library decides: the first of the three that is set.
fn is_utf8(env: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(env).unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Another picture, or the same.
    Draw,
    /// Everything anew.
    Redraw,
    /// To be stopped for a while.
    Suspend,
    /// The end.
    Quit,
}

struct Top {
    link: Link,
    manner: Manner,
    state: Option<State>,
    heard: Instant,
    view: View,
}

impl Top {
    fn new(link: Link, manner: Manner) -> Self {
        Self { link, manner, state: None, heard: Instant::now(), view: View::default() }
    }

    fn run(mut self, screen: &mut Screen) -> std::io::Result<()> {
        let mut drawn: Option<Instant> = None;
        loop {
            let Some(is_new) = self.listen() else { return Ok(()) };
            if is_new || drawn.is_none_or(|at| at.elapsed() >= DRAW_EVERY) {
                self.draw(screen)?;
                drawn = Some(Instant::now());
            }
            if !event::poll(TURN)? {
                continue;
            }
            let wish = match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => pressed(&mut self.view, key),
                Event::Resize(..) => Wish::Draw,
                _ => continue,
            };
            match wish {
                Wish::Quit => return Ok(()),
                Wish::Suspend => screen.suspend()?,
                Wish::Redraw => screen.anew()?,
                Wish::Draw => {}
            }
            drawn = None;
        }
    }

    /// Takes what has come in. `None`: it is over.
    fn listen(&mut self) -> Option<bool> {
        let mut is_new = false;
        loop {
            match self.link.news.try_recv() {
                Ok(News::State(message)) => self.take(*message),
                Ok(News::History(history)) => {
                    if let Some(state) = &mut self.state {
                        state.remember(history);
                    }
                }
                Ok(News::Lost(why)) => {
                    self.view.lost = Some(why.trim_start_matches("error: ").to_owned());
                }
                Ok(News::End) | Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => return Some(is_new),
            }
            is_new = true;
        }
    }

    fn take(&mut self, message: Message) {
        let is_taken = match &mut self.state {
            Some(state) => state.apply(message),
            None => {
                self.state = State::new(message);
                self.state.is_some()
            }
        };
        if is_taken {
            self.heard = Instant::now();
            self.view.lost = None;
        }
    }

    fn draw(&mut self, screen: &mut Screen) -> std::io::Result<()> {
        self.view.heard_ms_ago = u64::try_from(self.heard.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (state, view, manner) = (&self.state, &mut self.view, &self.manner);
        screen.canvas().draw(|frame| view::draw(frame, state.as_ref(), view, manner))?;
        self.ask();
        Ok(())
    }

    /// Asks for the last hour of the sensors that are seen for the first time.
    fn ask(&mut self) {
        /// As many as the gateway answers at once.
        const ROWS_MAX: usize = 64;
        let Some(state) = &mut self.state else { return };
        let rows: Vec<u32> = self
            .view
            .visible
            .iter()
            .filter(|number| state.sensors.get(**number).is_some_and(|sensor| !sensor.asked))
            .take(ROWS_MAX)
            .filter_map(|number| u32::try_from(*number).ok())
            .collect();
        if rows.is_empty() || self.link.questions.try_send((state.epoch, rows.clone())).is_err() {
            return;
        }
        for row in rows {
            if let Some(sensor) = state.sensors.get_mut(row as usize) {
                sensor.asked = true;
            }
        }
    }
}

/// What a key does.
fn pressed(view: &mut View, key: KeyEvent) -> Wish {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Wish::Quit,
            KeyCode::Char('z') => Wish::Suspend,
            KeyCode::Char('l') => Wish::Redraw,
            _ => Wish::Draw,
        };
    }
    let sensors = panels::Panel::Sensors as usize;
    if view.is_typing {
        match key.code {
            KeyCode::Enter => view.is_typing = false,
            KeyCode::Esc => {
                view.is_typing = false;
                view.filter.clear();
            }
            KeyCode::Backspace => drop(view.filter.pop()),
            KeyCode::Char(c) if view.filter.chars().count() < FILTER_MAX => view.filter.push(c),
            _ => {}
        }
        view.offsets[sensors] = 0;
        return Wish::Draw;
    }
    let page = view.page;
    let offset = &mut view.offsets[view.panel as usize];
    match key.code {
        KeyCode::Char('q') => return Wish::Quit,
        KeyCode::Char('/') => {
            view.panel = panels::Panel::Sensors;
            view.is_typing = true;
        }
        KeyCode::Esc => view.filter.clear(),
        KeyCode::Tab | KeyCode::Right => view.panel = view.panel.step(true),
        KeyCode::BackTab | KeyCode::Left => view.panel = view.panel.step(false),
        KeyCode::Up => *offset = offset.saturating_sub(1),
        KeyCode::PageUp => *offset = offset.saturating_sub(page),
        KeyCode::Home => *offset = 0,
        // Drawing keeps it within what there is.
        KeyCode::Down => *offset = offset.saturating_add(1),
        KeyCode::PageDown => *offset = offset.saturating_add(page),
        KeyCode::End => *offset = usize::MAX,
        _ => {}
    }
    Wish::Draw
}

#[cfg(test)]
mod tests;

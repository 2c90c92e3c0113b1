//! The terminal: taken, and given back as it was on every way out.
//!
//! Owns raw mode, the alternate screen and the cursor. A panic gives them back before its message is written, so that
//! it can be read.

use std::io::{BufWriter, Stdout, Write, stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// The terminal is ours.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// What is drawn on.
pub type Canvas = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// The terminal while it is ours; given back when this is dropped.
pub struct Screen {
    canvas: Canvas,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When there is none, or it refuses.
    pub fn take() -> std::io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        let canvas = Terminal::new(CrosstermBackend::new(BufWriter::new(stdout())))?;
        let mut screen = Self { canvas };
        screen.enter()?;
        Ok(screen)
    }

    /// What is drawn on.
    pub fn canvas(&mut self) -> &mut Canvas {
        &mut self.canvas
    }

    /// Clears it, so that all is drawn again.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn anew(&mut self) -> std::io::Result<()> {
        // Not `clear`: that asks where the cursor is, and a serial console may never answer.
        let area = self.canvas.size()?;
        self.canvas.resize(area.into())
    }

    /// Stops this process as Ctrl-Z does, with the terminal given back; returns when it is continued.
    ///
    /// # Errors
    /// When the terminal cannot be taken again.
    pub fn suspend(&mut self) -> std::io::Result<()> {
        give_back();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)?;
        self.enter()
    }

    fn enter(&mut self) -> std::io::Result<()> {
        // Before the first of them, so that half of them is undone, too.
        IS_TAKEN.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen, Hide)?;
        self.anew()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back, once. What fails here fails because there is no terminal any more.
fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        let _ = stdout().flush();
    }
}

//! The local page's life: started, changed by a reload, stopped.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::stop::FAREWELL;
use crate::config::model;
use crate::counters::Counters;
use crate::ops::control::Routes;
use crate::ops::http;
use crate::shutdown::{self, Trigger};

/// The page, or none where it is off.
pub struct Page {
    routes: Routes,
    counters: Arc<Counters>,
    running: Option<(Trigger, JoinHandle<()>)>,
    followed: Option<model::Http>,
}

impl Page {
    pub fn new(routes: Routes, counters: Arc<Counters>) -> Self {
        Self { routes, counters, running: None, followed: None }
    }

    /// Serves it as configured. Called again after a reload it also takes a token that has changed in its file; open
    /// pages connect anew by themselves.
    pub async fn follow(&mut self, config: &model::Http) {
        if self.followed.as_ref() == Some(config) && config.token_file.is_none() {
            return;
        }
        self.stop().await;
        self.followed = Some(config.clone());
        self.counters.board.switch(config.enabled);
        if config.enabled {
            let (trigger, shutdown) = shutdown::channel();
            let task = http::spawn(config.clone(), self.routes.clone(), Arc::clone(&self.counters), shutdown);
            self.running = Some((trigger, task));
        }
    }

    /// Ends it; whoever is being answered may keep it for a moment.
    pub async fn stop(&mut self) {
        if let Some((trigger, mut task)) = self.running.take() {
            trigger.stop();
            if tokio::time::timeout(FAREWELL, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

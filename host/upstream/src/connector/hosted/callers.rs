//! A process for each client, for servers that keep state or ask questions.
//!
//! Begun with a client's first call, ended when the client is gone, when nobody has used it
//! for a while, or to make room for another. A process under a call is never ended for
//! that.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tidegate_wire::client::{
    Affinity,
    stdio::{Command, StdioSettings},
};
use tokio::time::Instant;

use super::process::Process;
use crate::connector::ConnectorError;

/// The most processes at once.
const MOST: usize = 64;
/// How long a process is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(600);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(60);

/// The processes of all clients.
#[derive(Debug)]
pub(super) struct Callers {
    command: Command,
    settings: StdioSettings,
    most: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    processes: HashMap<Affinity, Held>,
    watched: bool,
    shut: bool,
}

#[derive(Debug)]
struct Held {
    process: Arc<Process>,
    used: Instant,
}

impl Held {
    /// Whether a call holds it, or its start is under way.
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.process) > 1
    }
}

impl Callers {
    pub(super) fn new(command: Command, settings: StdioSettings) -> Arc<Self> {
        Self::at_most(MOST, command, settings)
    }

    pub(super) fn at_most(most: usize, command: Command, settings: StdioSettings) -> Arc<Self> {
        Arc::new(Self { command, settings, most, table: Mutex::default() })
    }

    /// The process of `affinity`, in use for as long as it is held.
    pub(super) fn process(
        self: &Arc<Self>,
        affinity: Affinity,
    ) -> Result<Arc<Process>, ConnectorError> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.shut {
            return Err(ConnectorError::Closed);
        }
        let used = Instant::now();
        if let Some(held) = table.processes.get_mut(&affinity) {
            held.used = used;
            return Ok(Arc::clone(&held.process));
        }
        if table.processes.len() >= self.most {
            let idle = table.processes.iter().filter(|(_, held)| !held.is_in_use());
            let Some(oldest) = idle.min_by_key(|(_, held)| held.used).map(|(mark, _)| *mark) else {
                return Err(ConnectorError::Busy { retry_after: Duration::from_secs(1) });
            };
            table.processes.remove(&oldest).into_iter().for_each(end);
        }
        let process = Arc::new(Process::new(self.command.clone(), self.settings.clone()));
        table.processes.insert(affinity, Held { process: Arc::clone(&process), used });
        if !std::mem::replace(&mut table.watched, true) {
            tokio::spawn(watch(Arc::downgrade(self)));
        }
        Ok(process)
    }

    /// The process of `affinity`, if there is one.
    pub(super) fn of(&self, affinity: Affinity) -> Option<Arc<Process>> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.processes.get(&affinity).map(|held| Arc::clone(&held.process))
    }

    /// Ends the process of `affinity`.
    pub(super) fn release(&self, affinity: Affinity) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.processes.remove(&affinity).into_iter().for_each(end);
    }

    /// Ends all of them; none is begun any more. Returns when they are gone.
    pub(super) async fn close(&self) {
        let all = self.shut();
        futures_util::future::join_all(all.iter().map(|held| held.process.close())).await;
    }

    /// [`Callers::close`] without waiting.
    pub(super) fn end(&self) {
        for held in self.shut() {
            held.process.shut();
        }
    }

    fn shut(&self) -> Vec<Held> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.shut = true;
        table.processes.drain().map(|(_, held)| held).collect()
    }

    /// Ends what nobody has used for a while.
    fn sweep(&self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = |held: &Held| !held.is_in_use() && held.used.elapsed() >= IDLE;
        for (_, held) in table.processes.extract_if(|_, held| gone(held)) {
            end(held);
        }
    }
}

/// Sweeps for as long as somebody holds the table.
async fn watch(callers: Weak<Callers>) {
    loop {
        tokio::time::sleep(LOOK).await;
        match callers.upgrade() {
            Some(callers) => callers.sweep(),
            None => return,
        }
    }
}

/// Ends a process; its group is gone a few seconds later at most.
fn end(held: Held) {
    // The last handle ends it when it is dropped.
    drop(held.process.shut());
}

#[cfg(test)]
mod tests;

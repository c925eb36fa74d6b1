//! Which organisations there are, and the control of each.
//!
//! The top of the configuration directory is the organisation `default`, which must be whole
//! for the process to start. Every folder `orgs/NAME` is another: added and removed while the
//! process runs, started and changed by itself, so that a fault in one touches no other. What
//! an organisation has in the store, and its key there, stay when its folder goes.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidegate_model::OrgId;
use tokio::{sync::oneshot, task::JoinHandle};

use super::{Control, FIRST_SYNC};
use crate::{
    config::{Problem, organisations},
    gateway::Gateway,
    jobs::watch::{self, Watch},
};

/// The organisations of this process.
#[derive(Debug)]
pub(crate) struct Organisations {
    pub(crate) gateway: Arc<Gateway>,
    dir: Option<PathBuf>,
    watch: Option<Arc<Watch>>,
    running: Mutex<BTreeMap<OrgId, Running>>,
    /// What is wrong with the folder of folders itself.
    problems: Mutex<Vec<Problem>>,
}

/// One organisation, and the tasks that work for it.
#[derive(Debug)]
struct Running {
    control: Arc<Control>,
    tasks: Vec<JoinHandle<()>>,
}

impl Organisations {
    /// None yet; over a configuration directory, or over what the store owns alone.
    pub(crate) fn new(gateway: Arc<Gateway>, dir: Option<PathBuf>) -> Self {
        let watch = dir.as_ref().and_then(|_| {
            Watch::new()
                .inspect_err(|error| {
                    tracing::error!(%error, "the configuration directory cannot be watched; changes need a restart");
                })
                .ok()
        });
        Self { gateway, dir, watch, running: Mutex::default(), problems: Mutex::default() }
    }

    /// Starts the organisation `default`, or says everything that is wrong with it; then all
    /// others, which are waited for a while.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), Vec<Problem>> {
        let control = self.control(OrgId::default_org(), self.dir.clone());
        control.start().await?;
        let tasks = self.attend(&control);
        self.keep(control, tasks);
        let first = futures_util::future::join_all(self.rescan().await);
        if tokio::time::timeout(FIRST_SYNC, first).await.is_err() {
            tracing::warn!("some organisations are not in service yet; they join when they are");
        }
        Ok(())
    }

    /// The control of an organisation, in service or not.
    pub(crate) fn of(&self, org: &str) -> Option<Arc<Control>> {
        self.running().get(org).map(|running| Arc::clone(&running.control))
    }

    /// The control of every organisation, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Control>> {
        self.running().values().map(|running| Arc::clone(&running.control)).collect()
    }

    /// Why a folder of `orgs/` is no organisation.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds and removes organisations as their folders come and go; runs until it is dropped.
    pub(crate) async fn watching(self: Arc<Self>) {
        let (Some(dir), Some(watch)) = (&self.dir, &self.watch) else { return };
        let mut ear = watch.ear();
        loop {
            if !ear.follow(&organisations::watched(dir)) {
                ear.quiet().await;
            }
            drop(self.rescan().await);
        }
    }

    /// Compares the folders with what runs; one receiver for each organisation that is new,
    /// which fires after the first attempt to start it.
    async fn rescan(self: &Arc<Self>) -> Vec<oneshot::Receiver<()>> {
        let Some(dir) = &self.dir else { return Vec::new() };
        let (found, problems) = organisations::read(dir);
        self.take_note(problems);
        let default = OrgId::default_org();
        let known: Vec<OrgId> = self.running().keys().cloned().collect();
        for org in known.iter().filter(|org| **org != default && !found.contains_key(*org)) {
            self.remove(org).await;
        }
        let new = found.into_iter().filter(|(org, _)| !known.contains(org));
        new.map(|(org, dir)| self.begin(org, dir)).collect()
    }

    /// Adds an organisation and starts it in a task of its own.
    fn begin(self: &Arc<Self>, org: OrgId, dir: PathBuf) -> oneshot::Receiver<()> {
        tracing::info!(%org, "an organisation is added");
        let control = self.control(org, Some(dir));
        let (done, first) = oneshot::channel();
        let (all, starting) = (Arc::clone(self), Arc::clone(&control));
        let task = tokio::spawn(async move {
            // What is wrong is remembered, and tried again when it changes.
            if let Err(problems) = starting.start().await {
                starting.keep_old(problems);
            }
            // Nobody waits any more once the start of the process is over.
            let _ = done.send(());
            let refreshing = Arc::clone(&starting).refreshing();
            tokio::join!(refreshing, all.following(&starting));
        });
        self.keep(control, vec![task]);
        first
    }

    async fn following(&self, control: &Arc<Control>) {
        if let Some(watch) = &self.watch {
            watch::run(Arc::clone(control), Arc::clone(watch)).await;
        }
    }

    /// The tasks of an organisation that has started.
    fn attend(self: &Arc<Self>, control: &Arc<Control>) -> Vec<JoinHandle<()>> {
        let (all, control) = (Arc::clone(self), Arc::clone(control));
        let refreshing = Arc::clone(&control).refreshing();
        let following = async move { all.following(&control).await };
        vec![tokio::spawn(refreshing), tokio::spawn(following)]
    }

    /// Removes an organisation: at once for its clients, then with all that works for it.
    async fn remove(&self, org: &OrgId) {
        let Some(running) = self.running().remove(org) else { return };
        tracing::info!(%org, "an organisation is removed; what it has in the store stays");
        self.gateway.remove(org);
        // Streams end now, whatever is still being done for it.
        running.control.org.withdraw();
        for task in running.tasks {
            task.abort();
            // A task that was aborted says so, which is no news.
            let _ = task.await;
        }
        running.control.end().await;
    }

    fn control(&self, org: OrgId, dir: Option<PathBuf>) -> Arc<Control> {
        let organisation = Arc::new(self.gateway.foundation.organisation(org));
        self.gateway.add(Arc::clone(&organisation));
        Arc::new(Control::new(Arc::clone(&self.gateway), organisation, dir))
    }

    fn keep(&self, control: Arc<Control>, tasks: Vec<JoinHandle<()>>) {
        self.running().insert(control.org.id.clone(), Running { control, tasks });
    }

    fn take_note(&self, problems: Vec<Problem>) {
        let mut known = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        for problem in problems.iter().filter(|problem| !known.contains(problem)) {
            tracing::error!("a folder is no organisation: {problem}");
        }
        *known = problems;
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<OrgId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every connector of every organisation; for the end of the process.
    pub(crate) async fn close(&self) {
        let all: Vec<Running> = std::mem::take(&mut *self.running()).into_values().collect();
        let closing = all.iter().map(|running| {
            running.tasks.iter().for_each(JoinHandle::abort);
            running.control.close()
        });
        futures_util::future::join_all(closing).await;
    }
}

//! Configuration changes of one organisation, one at a time.
//!
//! Holds what a watched directory owns and what the store owns, makes a revision of both
//! together and puts it into effect. A change that cannot be made whole leaves the old
//! revision serving, or the organisation out of service where there was none, and is
//! remembered for `tidegate status`. Which organisations there are is [`organisations`]'.

pub(crate) mod organisations;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError},
    time::Duration,
};

use tidegate_model::{ConnectorId, OrgId, RevisionId};
use tidegate_upstream::connector::{Connector, List};
use tokio::{
    sync::{Mutex, Notify, oneshot},
    task::JoinHandle,
};

use crate::{
    assembly::{Plan, connectors::close_later},
    config::{
        Problem, Resources, directory,
        problem::sentence,
        resources::{Change, ChangeKind},
    },
    gateway::Gateway,
    jobs::sync,
    organisation::Organisation,
    records::RecordError,
    revision::Revision,
};

/// Longest a start waits for connectors that were never seen before.
pub(crate) const FIRST_SYNC: Duration = Duration::from_secs(20);

/// How often a revision is made again whose customizers failed, and the first one tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Why a set of resources was not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// A watched directory owns some of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Owned(Vec<Problem>),
    /// Something is wrong with them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Problems(Vec<Problem>),
}

/// What decides the next revision.
#[derive(Debug, Default)]
struct State {
    /// Whether `applied` and `last` were read from the store.
    is_read: bool,
    /// Whether the organisation was removed; nothing takes effect any more.
    is_over: bool,
    directory: Resources,
    /// Component and secret files of the last revision, with size and time of change.
    files: Vec<directory::Stamp>,
    applied: Resources,
    last: RevisionId,
}

/// Makes revisions and puts them into effect.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) org: Arc<Organisation>,
    dir: Option<PathBuf>,
    state: Mutex<State>,
    syncing: StdMutex<HashMap<ConnectorId, Syncing>>,
    refresh: Notify,
    /// What is to be told once the next revision is in effect.
    announced: StdMutex<Vec<(ConnectorId, List)>>,
    /// Why the last change was not taken; empty when it was.
    problems: StdMutex<Vec<Problem>>,
}

/// A connector whose record is kept up to date.
#[derive(Debug)]
struct Syncing {
    connector: Arc<dyn Connector>,
    task: JoinHandle<()>,
}

impl Control {
    /// Over an organisation's directory, or over what the store owns alone.
    pub(crate) fn new(gateway: Arc<Gateway>, org: Arc<Organisation>, dir: Option<PathBuf>) -> Self {
        Self {
            gateway,
            org,
            dir,
            state: Mutex::default(),
            syncing: StdMutex::default(),
            refresh: Notify::new(),
            announced: StdMutex::default(),
            problems: StdMutex::default(),
        }
    }

    /// The watched directory.
    pub(crate) fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Why the last change was not taken.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the first revision, and waits a while for connectors that were never seen.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), Vec<Problem>> {
        let mut state = self.state.lock().await;
        let first = self.begin(&mut state).await?;
        drop(state);
        let waiting = self.never_seen(&first);
        if !waiting.is_empty() {
            let all = futures_util::future::join_all(waiting);
            if tokio::time::timeout(FIRST_SYNC, all).await.is_err() {
                tracing::warn!(
                    org = %self.org.id,
                    "some connectors have not shown their tools yet; they join when they do"
                );
            }
            self.refresh_now().await;
        }
        Ok(())
    }

    /// The first revision of what the directory and the store hold.
    async fn begin(self: &Arc<Self>, state: &mut State) -> Result<Arc<Revision>, Vec<Problem>> {
        let (records, org) = (self.gateway.records(), &self.org.id);
        if !state.is_read {
            let made = records.store().ensure_org(org).await;
            made.map_err(|error| fault(error.into()))?;
            let collected = records.collect(org).await.map_err(fault)?;
            tracing::debug!(%org, collected, "blobs that nothing refers to were removed");
            state.applied = records.applied(org).await.map_err(fault)?;
            state.last = records.last_revision(org).await.map_err(fault)?;
            state.is_read = true;
        }
        if let Some(dir) = &self.dir {
            state.directory = directory::read(dir)?;
        }
        self.build(state).await
    }

    /// Reads the directory again.
    pub(crate) async fn reload(self: &Arc<Self>) {
        let mut state = self.state.lock().await;
        let is_gone = self.dir.as_ref().is_some_and(|dir| !dir.exists());
        // A folder that goes takes its organisation with it, which is not for here.
        if state.is_over || is_gone && self.org.id != OrgId::default_org() {
            return;
        }
        if self.org.revision().is_none() {
            match self.begin(&mut state).await {
                Ok(revision) => {
                    tracing::info!(org = %self.org.id, revision = %revision.id, "the organisation is in service");
                }
                Err(problems) => self.keep_old(problems),
            }
            return;
        }
        let Some(dir) = &self.dir else { return };
        let read = match directory::read(dir) {
            Ok(read) => read,
            Err(problems) => return self.keep_old(problems),
        };
        let is_same = read == state.directory && directory::stamps(&read) == state.files;
        // What was wrong and has been taken back must not be told for ever.
        if is_same && self.problems().is_empty() {
            return;
        }
        let before = std::mem::replace(&mut state.directory, read);
        match self.build(&mut state).await {
            Ok(revision) => {
                let changes = before.changes(&state.directory);
                let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
                tracing::info!(org = %self.org.id, revision = %revision.id, changes = changes.join(", "), "the configuration has changed");
            }
            Err(problems) => {
                state.directory = before;
                self.keep_old(problems);
            }
        }
    }

    /// Puts resources into the store and into effect; only says what would change if `dry`.
    /// Resources of the store that `new` does not hold are removed if `prune`.
    pub(crate) async fn apply(
        self: &Arc<Self>,
        new: Resources,
        prune: bool,
        dry: bool,
    ) -> Result<Vec<Change>, ApplyError> {
        let mut state = self.state.lock().await;
        let owned: Vec<Problem> =
            state.directory.shared_names(&new).into_iter().map(|name| self.owned(&name)).collect();
        if !owned.is_empty() {
            return Err(ApplyError::Owned(owned));
        }
        let next = if prune { new } else { new.over(&state.applied) };
        let changes = state.applied.changes(&next);
        if changes.is_empty() || dry {
            return Ok(changes);
        }
        let before = std::mem::replace(&mut state.applied, next);
        if let Err(problems) = self.build(&mut state).await {
            state.applied = before;
            return Err(ApplyError::Problems(problems));
        }
        let kept = self.gateway.records().keep_applied(&self.org.id, &state.applied).await;
        let Err(error) = kept else { return Ok(changes) };
        // What is answered with an error must not go on to serve.
        state.applied = before;
        let mut problems = vec![Problem::of(Path::new("store"), error.to_string())];
        if let Err(more) = self.build(&mut state).await {
            let words = "the resources that could not be kept serve until the next reload";
            problems.push(Problem::of(Path::new("store"), words.to_owned()));
            problems.extend(more);
        }
        Err(ApplyError::Problems(problems))
    }

    /// Asks for a new revision of the same resources, because what a connector offers has
    /// changed; `announced` is told when it is in effect.
    pub(crate) fn request_refresh(&self, announced: impl Iterator<Item = (ConnectorId, List)>) {
        self.announced().extend(announced);
        self.refresh.notify_one();
    }

    /// Makes revisions whenever they are asked for; several wishes become one. One whose
    /// customizers failed is made again after a while: they may have been busy.
    pub(crate) async fn refreshing(self: Arc<Self>) {
        loop {
            let asked = tokio::time::timeout(AGAIN, self.refresh.notified()).await.is_ok();
            match self.org.revision() {
                // Mended where nobody watches: a secret, or a file somewhere else.
                None => self.reload().await,
                Some(revision) if !asked && revision.is_whole => {}
                Some(_) => self.refresh_now().await,
            }
        }
    }

    async fn refresh_now(self: &Arc<Self>) {
        let mut state = self.state.lock().await;
        if let Err(problems) = self.build(&mut state).await {
            self.keep_old(problems);
        }
    }

    fn announced(&self) -> MutexGuard<'_, Vec<(ConnectorId, List)>> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a revision of the state and puts it into effect.
    async fn build(self: &Arc<Self>, state: &mut State) -> Result<Arc<Revision>, Vec<Problem>> {
        if state.is_over {
            let words = "the organisation was removed meanwhile".to_owned();
            return Err(vec![Problem::of(&self.dir.clone().unwrap_or_default(), words)]);
        }
        let id = RevisionId(state.last.0 + 1);
        let dir = self.dir.clone().unwrap_or_default();
        let resources = state.directory.over(&state.applied);
        let plan = Plan { org: self.org.id.clone(), id, dir, resources };
        // What is announced while the records are read may not be in this revision.
        let announced = self.announced().len();
        let revision = self.org.assembly.assemble(plan).await?;
        self.gateway.records().keep_revision(&self.org.id, id).await.map_err(fault)?;
        state.last = id;
        state.files = directory::stamps(&state.directory);
        for notice in &revision.notices {
            tracing::warn!(org = %self.org.id, revision = %id, "{notice}");
        }
        revision.warn_of_administration(&self.org.id, self.org.revision().as_deref());
        let announced = self.announced().drain(..announced).collect();
        let identified = self.org.identify(&self.gateway, &revision.settings).await;
        identified.map_err(|error| vec![Problem::of(Path::new("identity"), sentence(&error))])?;
        let revision = self.org.install(revision, announced);
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.reconcile(&revision);
        Ok(revision)
    }

    /// Keeps one sync task per connector of the revision, and closes what is not in it.
    fn reconcile(self: &Arc<Self>, revision: &Arc<Revision>) {
        let mut syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        syncing.retain(|id, running| {
            let kept =
                revision.connectors.get(id).is_some_and(|now| Arc::ptr_eq(now, &running.connector));
            if !kept {
                running.task.abort();
            }
            kept
        });
        for (id, connector) in &revision.connectors {
            if !syncing.contains_key(id) {
                let task = tokio::spawn(sync::run(Arc::clone(self), Arc::clone(connector), None));
                syncing.insert(id.clone(), Syncing { connector: Arc::clone(connector), task });
            }
        }
        drop(syncing);
        self.org
            .assembly
            .connectors
            .take_others(&revision.connectors)
            .into_iter()
            .for_each(close_later);
    }

    /// One receiver for each connector without a record: it fires after the first attempt.
    fn never_seen(self: &Arc<Self>, revision: &Arc<Revision>) -> Vec<oneshot::Receiver<()>> {
        let mut syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let unseen = |id: &&ConnectorId| !revision.offers.contains_key(*id);
        let unseen: Vec<ConnectorId> = revision.connectors.keys().filter(unseen).cloned().collect();
        let mut waiting = Vec::new();
        for id in unseen {
            let Some(running) = syncing.get_mut(&id) else { continue };
            let (done, receiver) = oneshot::channel();
            running.task.abort();
            let connector = Arc::clone(&running.connector);
            running.task = tokio::spawn(sync::run(Arc::clone(self), connector, Some(done)));
            waiting.push(receiver);
        }
        waiting
    }

    /// Remembers why a change was not taken. What is known already is not said again.
    fn keep_old(&self, problems: Vec<Problem>) {
        let mut known = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let serves = self.org.revision().is_some();
        for problem in problems.iter().filter(|problem| !known.contains(problem)) {
            let org = &self.org.id;
            if serves {
                tracing::error!(%org, "the configuration was not taken, the old one serves on: {problem}");
            } else {
                tracing::error!(%org, "the organisation is out of service: {problem}");
            }
        }
        *known = problems;
    }

    fn owned(&self, name: &str) -> Problem {
        let (folder, file) = name.split_once(' ').unwrap_or((name, ""));
        let file = match folder {
            "policy" => format!("policies/{file}"),
            "identity" => "identity.toml".to_owned(),
            folder => format!("{folder}s/{file}.toml"),
        };
        let path = self.dir.as_deref().unwrap_or(Path::new("")).join(file);
        Problem::of(&path, format!("{name} is owned by this watched file"))
            .with_help("change the file instead")
    }

    /// Closes every connector; for the end of the process.
    pub(crate) async fn close(&self) {
        let running = self.quiet();
        futures_util::future::join_all(running.iter().map(|connector| connector.close())).await;
    }

    /// Withdraws what is in effect and closes the connectors once the calls that may still
    /// use them are over; for an organisation that is there no more.
    pub(crate) async fn end(&self) {
        // What is being made takes effect first, and is withdrawn with the rest.
        let mut state = self.state.lock().await;
        state.is_over = true;
        self.org.withdraw();
        drop(state);
        drop(self.quiet());
        let none = HashMap::new();
        self.org.assembly.connectors.take_others(&none).into_iter().for_each(close_later);
    }

    /// Stops keeping records of the connectors; which they are.
    fn quiet(&self) -> Vec<Arc<dyn Connector>> {
        let mut syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let running = syncing.drain().map(|(_, running)| {
            running.task.abort();
            running.connector
        });
        running.collect()
    }
}

fn fault(error: RecordError) -> Vec<Problem> {
    vec![Problem::of(Path::new("store"), error.to_string())]
}

/// How many changes of each kind, for people.
pub(crate) fn summary(changes: &[Change]) -> String {
    let count = |kind| changes.iter().filter(|change| change.kind == kind).count();
    format!(
        "{} added, {} changed, {} removed",
        count(ChangeKind::Added),
        count(ChangeKind::Changed),
        count(ChangeKind::Removed)
    )
}

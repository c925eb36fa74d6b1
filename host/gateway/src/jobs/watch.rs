//! Watches configuration directories; a change is live within a second.
//!
//! One watcher serves every organisation, since a system gives out few of them; each listens
//! to its own folders only, so that a busy one wakes no other. Editors write files in several
//! steps, so a change is acted upon once it has been quiet for a moment.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{ModifyKind, RenameMode},
};
use tokio::sync::Notify;

use crate::{config::directory, control::Control};

/// How long it must be quiet before a directory is read.
const QUIET: Duration = Duration::from_millis(120);
/// Longest wait while changes keep coming.
const BUSY: Duration = Duration::from_millis(600);

/// Who listens to which folders.
#[derive(Debug, Default)]
struct Ears {
    folders: HashMap<PathBuf, BTreeMap<u64, Arc<Notify>>>,
    /// Folders that were removed or moved: the system does not tell of them any more, even if
    /// they are there again.
    lost: HashSet<PathBuf>,
}

/// The watcher of the process.
pub(crate) struct Watch {
    /// Not used while `ears` is locked: the watcher's thread waits for that while it tells.
    watcher: Mutex<RecommendedWatcher>,
    ears: Arc<Mutex<Ears>>,
    next: AtomicU64,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// One listener; it lets its folders go when it is dropped.
#[derive(Debug)]
pub(crate) struct Ear {
    watch: Arc<Watch>,
    id: u64,
    changed: Arc<Notify>,
}

/// Reads the control's directory again whenever it has changed; runs until it is dropped.
pub(crate) async fn run(control: Arc<Control>, watch: Arc<Watch>) {
    let Some(dir) = control.dir().map(ToOwned::to_owned) else { return };
    let mut ear = watch.ear();
    loop {
        let resources = control.org.revision().map(|revision| Arc::clone(&revision.resources));
        // What happened in a folder before it was watched has been told to nobody.
        if !ear.follow(&directory::watched(&dir, &resources.unwrap_or_default())) {
            ear.quiet().await;
        }
        control.reload().await;
    }
}

impl Watch {
    /// Watches nothing yet.
    pub(crate) fn new() -> Result<Arc<Self>, notify::Error> {
        let ears = Arc::new(Mutex::new(Ears::default()));
        let told = Arc::clone(&ears);
        let watcher = notify::recommended_watcher(move |event: Result<Event, notify::Error>| {
            lock(&told).tell(event);
        })?;
        Ok(Arc::new(Self { watcher: Mutex::new(watcher), ears, next: AtomicU64::new(0) }))
    }

    /// A listener that listens to nothing yet.
    pub(crate) fn ear(self: &Arc<Self>) -> Ear {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        Ear { watch: Arc::clone(self), id, changed: Arc::default() }
    }
}

impl Ears {
    /// Wakes whoever listens to where something has happened; everybody, if that is unclear.
    fn tell(&mut self, event: Result<Event, notify::Error>) {
        let Ok(event) = event else { return self.wake_all() };
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        let is_gone = matches!(
            event.kind,
            EventKind::Remove(_)
                | EventKind::Modify(ModifyKind::Name(RenameMode::From | RenameMode::Both))
        );
        let mut was_heard = false;
        for path in &event.paths {
            if is_gone {
                let lost = self.folders.keys().filter(|folder| folder.starts_with(path));
                self.lost.extend(lost.cloned());
            }
            for folder in [Some(path.as_path()), path.parent()].into_iter().flatten() {
                for ear in self.folders.get(folder).into_iter().flat_map(BTreeMap::values) {
                    ear.notify_one();
                    was_heard = true;
                }
            }
        }
        if !was_heard || event.need_rescan() {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        self.folders.values().flat_map(BTreeMap::values).for_each(|ear| ear.notify_one());
    }
}

impl Ear {
    /// Listens to exactly those of `folders` that are there; whether one is new.
    pub(crate) fn follow(&mut self, folders: &[PathBuf]) -> bool {
        let wanted: HashSet<PathBuf> = folders
            .iter()
            .filter(|folder| folder.is_dir())
            .map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone()))
            .collect();
        // Held to the end, so that what one lets go another cannot lose that it just began with.
        let mut watcher = self.watch.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let (new, unheard) = self.exchange(&wanted);
        for folder in &unheard {
            // One that is gone is not watched any more, which is what is wanted.
            let _ = watcher.unwatch(folder);
        }
        let failed: Vec<&PathBuf> =
            new.iter().filter(|folder| listen(&mut watcher, folder).is_err()).collect();
        drop(watcher);
        let is_new = failed.len() < new.len();
        let mut ears = lock(&self.watch.ears);
        for folder in failed {
            // Tried again at the next change of another folder.
            ears.let_go(folder, self.id);
        }
        is_new
    }

    /// Notes who listens to what; the folders to be watched from now on, and those that nobody
    /// listens to any more.
    fn exchange(&self, wanted: &HashSet<PathBuf>) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let mut ears = lock(&self.watch.ears);
        let mine = |known: &BTreeMap<u64, Arc<Notify>>| known.contains_key(&self.id);
        let before: HashSet<PathBuf> = ears
            .folders
            .iter()
            .filter(|(_, known)| mine(known))
            .map(|(path, _)| path.clone())
            .collect();
        let mut unheard = Vec::new();
        for folder in before.difference(wanted) {
            if ears.let_go(folder, self.id) {
                unheard.push(folder.clone());
            }
        }
        let mut new = Vec::new();
        for folder in wanted {
            let was_lost = ears.lost.remove(folder);
            let known = ears.folders.entry(folder.clone()).or_default();
            let is_first = known.is_empty();
            known.insert(self.id, Arc::clone(&self.changed));
            if is_first || was_lost || !before.contains(folder) {
                new.push(folder.clone());
            }
        }
        (new, unheard)
    }

    /// Waits for a change, and until it has been quiet for a moment.
    pub(crate) async fn quiet(&self) {
        self.changed.notified().await;
        let since = tokio::time::Instant::now();
        while since.elapsed() < BUSY
            && tokio::time::timeout(QUIET, self.changed.notified()).await.is_ok()
        {}
    }
}

impl Ears {
    /// Whether nobody is left who listens to the folder.
    fn let_go(&mut self, folder: &Path, id: u64) -> bool {
        let Some(known) = self.folders.get_mut(folder) else { return false };
        known.remove(&id);
        let is_unheard = known.is_empty();
        if is_unheard {
            self.folders.remove(folder);
            self.lost.remove(folder);
        }
        is_unheard
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.follow(&[]);
    }
}

/// Watches a folder, anew where it is watched already: it may be another of its name.
fn listen(watcher: &mut RecommendedWatcher, folder: &Path) -> Result<(), notify::Error> {
    watcher.watch(folder, RecursiveMode::NonRecursive)
}

fn lock(ears: &Mutex<Ears>) -> MutexGuard<'_, Ears> {
    ears.lock().unwrap_or_else(PoisonError::into_inner)
}

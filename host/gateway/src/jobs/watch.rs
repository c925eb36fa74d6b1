//! Watches the configuration directory; a change is live within a second.
//!
//! Editors write files in several steps, so a change is acted upon once it has been quiet for
//! a moment.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::{config::directory, control::Control};

/// How long it must be quiet before the directory is read.
const QUIET: Duration = Duration::from_millis(120);
/// Longest wait while changes keep coming.
const BUSY: Duration = Duration::from_millis(600);

/// Runs until it is dropped.
pub(crate) async fn run(control: Arc<Control>) -> Result<(), notify::Error> {
    let Some(dir) = control.dir().map(ToOwned::to_owned) else { return Ok(()) };
    let (sender, mut changes) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: Result<Event, notify::Error>| {
        let counts = event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_)));
        if counts {
            // One waiting wish is enough.
            let _ = sender.try_send(());
        }
    })?;
    let mut watched = BTreeSet::new();
    loop {
        if follow(&mut watcher, &control, &dir, &mut watched) {
            // What happened in a folder before it was watched has been told to nobody.
            control.reload().await;
            continue;
        }
        if changes.recv().await.is_none() {
            return Ok(());
        }
        let since = tokio::time::Instant::now();
        while since.elapsed() < BUSY && tokio::time::timeout(QUIET, changes.recv()).await.is_ok() {}
        control.reload().await;
    }
}

/// Watches the folders that count now; whether one is new.
fn follow(
    watcher: &mut RecommendedWatcher,
    control: &Control,
    dir: &std::path::Path,
    watched: &mut BTreeSet<PathBuf>,
) -> bool {
    let resources =
        control.gateway.revision("default").map(|revision| Arc::clone(&revision.resources));
    let resources = resources.unwrap_or_default();
    let mut is_new = false;
    for path in directory::watched(dir, &resources) {
        if path.is_dir()
            && !watched.contains(&path)
            && watcher.watch(&path, RecursiveMode::NonRecursive).is_ok()
        {
            is_new |= watched.insert(path);
        }
    }
    watched.retain(|path| path.is_dir());
    is_new
}

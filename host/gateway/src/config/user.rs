//! What belongs to the person at the command line and not to a gateway.

use std::path::PathBuf;

/// Where their programs keep what can be made again: `$XDG_CACHE_HOME`, else `~/.cache`. None
/// where neither is an absolute path.
#[expect(clippy::disallowed_methods, reason = "configuration is where the environment is read")]
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let of = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")))
}

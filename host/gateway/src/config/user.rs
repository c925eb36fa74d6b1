//! What belongs to the person at the command line and not to a gateway.

use std::path::PathBuf;

/// Where their programs keep what can be made again: `$XDG_CACHE_HOME`, else `~/.cache`. None
/// where neither is an absolute path.
#[expect(clippy::disallowed_methods, reason = "configuration is where the environment is read")]
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let of = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    of("XDG_CACHE_HOME").or_else(|| of("HOME").map(|home| home.join(".cache")))
}

/// Where their programs keep their settings: `$XDG_CONFIG_HOME`, else `~/.config`. None where
/// neither is an absolute path.
#[expect(clippy::disallowed_methods, reason = "configuration is where the environment is read")]
pub(crate) fn settings_folder() -> Option<PathBuf> {
    let of = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    of("XDG_CONFIG_HOME").or_else(|| of("HOME").map(|home| home.join(".config")))
}

/// Whether they sit in front of a screen on which a browser could open.
#[expect(clippy::disallowed_methods, reason = "configuration is where the environment is read")]
pub(crate) fn has_screen() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

//! The admin API: one route table, every route with its Cedar action.
//!
//! Served on a Unix socket in the data directory that only the owner may open, and on the
//! public listener. Each request is about one organisation, `default` or the one before `/api`
//! (`/o/NAME/api/v1/…`), is authorized by its policies and recorded, flushed to disk, before
//! it is answered. The table is in `routes`, what a route is in `route`, the doors in `door`.

mod access;
mod allowance;
mod asked;
mod audit;
mod clients;
mod config;
mod door;
mod encryption;
mod failed;
mod grants;
mod groups;
mod keys;
mod lines;
mod machines;
mod me;
mod moment;
mod openapi;
mod payload;
mod reach;
mod roles;
mod route;
mod routes;
mod sessions;
mod signing;
mod status;
mod users;

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use tokio::net::UnixListener;

pub(crate) use access::{Ended, PasswordLink};
pub(crate) use audit::Found;
pub(crate) use clients::{ClientInfo, ClientPage, ClientRemoved};
pub(crate) use config::{Applied, Apply};
pub(crate) use door::{public, router};
pub(crate) use encryption::{
    EncryptionStatus, OrgKeyStatus, Retired, Rotated, WantedRetirement, WantedRotation, Whose,
};
pub(crate) use failed::Failure;
pub(crate) use grants::{GrantInfo, GrantPage, Revoked};
pub(crate) use groups::{GroupChange, GroupInfo, GroupPage, NewGroup, Removed};
pub(crate) use keys::{KeyInfo, KeyList, MadeKey, WantedKey};
pub(crate) use lines::{Lines, Spoken, Wanted as WantedLines};
pub(crate) use machines::{MachineLog, Wanted as WantedMachineLines};
pub(crate) use moment::Moment;
pub(crate) use openapi::document;
pub(crate) use payload::{Kept, Wanted as WantedPayloads};
pub(crate) use roles::{RoleInfo, RoleList};
pub(crate) use sessions::{SessionEnded, SessionInfo, SessionPage};
pub(crate) use signing::{SigningKeyReplaced, WantedSigningKey};
pub(crate) use status::Status;
pub(crate) use users::{
    AssignedGroups, AssignedRoles, LinkInfo, NewUser, UserChange, UserInfo, UserPage,
};

/// The socket's name in the data directory.
pub(crate) const SOCKET: &str = "admin.sock";

/// Why the admin socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "the admin socket `{path}` cannot be opened; if its path is longer than 107 bytes, choose a shorter data directory"
)]
pub(crate) struct SocketError {
    path: String,
    #[source]
    source: io::Error,
}

/// Opens the admin socket in a data directory, for its owner alone. The caller holds the
/// directory's lock, so a socket that is there already is a dead one.
pub(crate) fn listen(data: &Path) -> Result<UnixListener, SocketError> {
    let path = data.join(SOCKET);
    let opened = remove_dead(&path).and_then(|()| UnixListener::bind(&path)).and_then(|listener| {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    });
    opened.map_err(|source| SocketError { path: path.display().to_string(), source })
}

fn remove_dead(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

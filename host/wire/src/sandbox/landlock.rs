//! Landlock: which files a program may read and write, and which ports it may use.
//!
//! The kernel's rules only ever permit, so what is hidden is left out: where something below
//! a folder is hidden, its other entries are permitted one by one, as they are at the start.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::{Confinement, Network, SandboxError};

/// The newest rules that are asked for; older kernels hold those that they know.
const ABI: ABI = ABI::V6;

/// Devices that every program may write to.
const DEVICES: [&str; 6] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// Confines the calling thread, and whatever it starts, for good.
pub(super) fn apply(confinement: &Confinement) -> Result<(), SandboxError> {
    let status = restrict(confinement).map_err(|error| failed(&error.to_string()))?;
    match status {
        RulesetStatus::NotEnforced => Err(failed("this kernel has none")),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

/// The version of the kernel's rules, as far as they are known here; none where it has none.
pub(super) fn version() -> Option<u32> {
    let versions = [ABI::V6, ABI::V5, ABI::V4, ABI::V3, ABI::V2, ABI::V1];
    let holds = |abi: &ABI| {
        let asked = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let files = asked.handle_access(AccessFs::from_all(*abi));
        let asked = match (AccessNet::from_all(*abi), Scope::from_all(*abi)) {
            (net, _) if net.is_empty() => files,
            (net, scope) if scope.is_empty() => files.and_then(|asked| asked.handle_access(net)),
            (net, scope) => files
                .and_then(|asked| asked.handle_access(net))
                .and_then(|asked| asked.scope(scope)),
        };
        asked.and_then(Ruleset::create).is_ok()
    };
    versions.into_iter().find(holds).map(|abi| abi as u32)
}

fn failed(why: &str) -> SandboxError {
    SandboxError::Mechanism { mechanism: "Landlock", why: why.to_owned() }
}

fn restrict(confinement: &Confinement) -> Result<RulesetStatus, landlock::RulesetError> {
    let read = AccessFs::from_read(ABI);
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI))?
        .scope(Scope::from_all(ABI))?;
    let ruleset = match confinement.network {
        Network::Host => ruleset,
        Network::Serve(_) | Network::None => ruleset.handle_access(AccessNet::from_all(ABI))?,
    };
    let mut ruleset = ruleset.create()?;
    if let Network::Serve(port) = confinement.network {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::BindTcp))?;
    }
    for path in visible(&confinement.hidden) {
        ruleset = permit(ruleset, &path, read)?;
    }
    for path in &confinement.read {
        ruleset = permit(ruleset, path, read)?;
    }
    for path in &confinement.write {
        ruleset = permit(ruleset, path, AccessFs::from_all(ABI))?;
    }
    for device in DEVICES {
        let access = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        ruleset = permit(ruleset, Path::new(device), access)?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// Permits `access` below `path`; what is not there needs no permission.
fn permit(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let Ok(fd) = PathFd::new(path) else { return Ok(ruleset) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI) };
    ruleset.add_rule(PathBeneath::new(fd, access))
}

/// The largest trees that hold nothing hidden.
fn visible(hidden: &[PathBuf]) -> Vec<PathBuf> {
    // By their real names, too: a rule is about what a path leads to.
    let real = hidden.iter().filter_map(|path| path.canonicalize().ok());
    let hidden: Vec<PathBuf> = hidden.iter().cloned().chain(real).collect();
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::from("/")];
    while let Some(path) = waiting.pop() {
        if hidden.iter().any(|hidden| path.starts_with(hidden)) {
            continue;
        }
        if !hidden.iter().any(|hidden| hidden.starts_with(&path)) {
            found.push(path);
            continue;
        }
        for entry in path.read_dir().into_iter().flatten().flatten() {
            let below = entry.path();
            // A link is judged by where it leads.
            let leads = below.canonicalize().unwrap_or_else(|_| below.clone());
            let leads_away = leads != below;
            let is_hidden =
                |hidden: &PathBuf| leads.starts_with(hidden) || hidden.starts_with(&leads);
            if !(leads_away && hidden.iter().any(is_hidden)) {
                waiting.push(below);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_left_out_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["open/deep", "half/secret", "half/open"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::os::unix::fs::symlink(root.join("half/secret"), root.join("way")).unwrap();
        let found = visible(&[root.join("half/secret")]);
        let below: Vec<_> = found.iter().filter_map(|path| path.strip_prefix(&root).ok()).collect();
        let holds = |name: &str| below.contains(&Path::new(name));
        assert!(holds("open") && holds("half/open"), "{below:?}");
        assert!(!below.iter().any(|path| path.ends_with("secret") || path.ends_with("way")));
        assert!(!found.contains(&PathBuf::from("/")) && found.contains(&PathBuf::from("/usr")));
        assert_eq!(visible(&[]), [PathBuf::from("/")]);
    }
}

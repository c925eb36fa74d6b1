//! How key and environment come in: by stdin or by a file, never by arguments or by the
//! bridge's own environment, so that neither a list of processes nor the child can show them.

use std::{
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use tidegate_model::Secret;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Stdin},
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{BridgeError, Options};
use crate::{
    hosted::{HostedKey, Verifier},
    json::{self, Kind, Limits, Raw},
};

/// What the bridge starts with.
pub(super) struct Secrets {
    pub(super) key: HostedKey,
    pub(super) env: Environment,
    pub(super) more: More,
}

/// Where further keys come from.
pub(super) enum More {
    Stdin(BufReader<Stdin>),
    File(PathBuf),
}

/// Names and values that a child gets to see.
pub(super) type Environment = Vec<(String, Secret)>;

/// Reads the first key and the environment.
pub(super) async fn read(options: &Options) -> Result<Secrets, BridgeError> {
    match &options.key_file {
        Some(path) => {
            let key = HostedKey::read(&take(path)?).map_err(|error| unusable(path, &error))?;
            let env = match &options.env_file {
                Some(path) => {
                    environment(take(path)?.as_bytes()).map_err(|error| unusable(path, &error))?
                }
                None => Environment::new(),
            };
            Ok(Secrets { key, env, more: More::File(path.clone()) })
        }
        None => {
            let mut stdin = BufReader::new(tokio::io::stdin());
            let stdin_is = |what: &str| BridgeError::Unusable(format!("stdin: {what}"));
            let line = line(&mut stdin).await?.ok_or_else(|| stdin_is("there is no key"))?;
            let (key, env) = control(&line).map_err(|error| stdin_is(&error))?;
            Ok(Secrets { key, env: env.unwrap_or_default(), more: More::Stdin(stdin) })
        }
    }
}

/// Takes further keys as they come. The end of stdin sets `stop`.
pub(super) fn follow(more: More, verifier: Arc<Verifier>, stop: CancellationToken) {
    match more {
        More::Stdin(stdin) => drop(tokio::spawn(follow_stdin(stdin, verifier, stop))),
        More::File(path) => drop(tokio::spawn(follow_file(path, verifier))),
    }
}

async fn follow_stdin(
    mut stdin: BufReader<Stdin>,
    verifier: Arc<Verifier>,
    stop: CancellationToken,
) {
    loop {
        match line(&mut stdin).await {
            Ok(Some(line)) => match control(&line) {
                Ok((key, _)) => add(&verifier, key),
                Err(error) => tracing::warn!(error, "a line on stdin is no key"),
            },
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "stdin cannot be read any more");
                break;
            }
        }
    }
    stop.cancel();
    tracing::info!("whoever started the bridge is gone");
}

async fn follow_file(path: PathBuf, verifier: Arc<Verifier>) {
    let Ok(mut hang_ups) = signal(SignalKind::hangup()) else { return };
    while hang_ups.recv().await.is_some() {
        match take(&path).map(|text| HostedKey::read(&text)) {
            Ok(Ok(key)) => add(&verifier, key),
            Ok(Err(error)) => tracing::warn!(%error, "no new key"),
            Err(error) => tracing::warn!(%error, "no new key"),
        }
    }
}

fn add(verifier: &Verifier, key: HostedKey) {
    tracing::info!(key = key.id(), "took a further key");
    verifier.add_key(key);
}

/// The next line, wiped after use; none at the end.
async fn line(stdin: &mut BufReader<Stdin>) -> Result<Option<Zeroizing<Vec<u8>>>, BridgeError> {
    let mut line = Zeroizing::new(Vec::with_capacity(64 * 1024));
    match stdin.read_until(b'\n', &mut line).await {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(line)),
        Err(source) => Err(BridgeError::Input { what: "stdin".to_owned(), source }),
    }
}

/// Reads one line of stdin.
fn control(line: &[u8]) -> Result<(HostedKey, Option<Environment>), String> {
    let text = text(line)?;
    let raw = Raw::from_checked(text);
    if raw.kind() != Kind::Object {
        return Err("a line is a JSON object with `key`, and `env` at first".to_owned());
    }
    let (mut key, mut env) = (None, None);
    for member in raw.members() {
        match &*member.key {
            "key" => key = member.value.string().map(|text| Zeroizing::new(text.into_owned())),
            "env" => env = Some(members(member.value)?),
            other => return Err(format!("`{}` is not known; give `key`, `env`", shown(other))),
        }
    }
    let key = key.ok_or("`key` is missing, or no string")?;
    Ok((HostedKey::read(&key).map_err(|error| error.to_string())?, env))
}

/// Reads a JSON object of strings.
pub(super) fn environment(text: &[u8]) -> Result<Environment, String> {
    members(Raw::from_checked(self::text(text)?))
}

fn members(raw: Raw<'_>) -> Result<Environment, String> {
    if raw.kind() != Kind::Object {
        return Err("an environment is a JSON object of strings".to_owned());
    }
    let mut env = Environment::new();
    for member in raw.members() {
        let name = member.key.into_owned();
        let value = member.value.string().map(|value| Secret::new(value.into_owned()));
        let is_name = !name.is_empty() && !name.contains(['=', '\0']);
        match value {
            Some(value) if is_name && !value.expose().contains('\0') => env.push((name, value)),
            _ => {
                let name = shown(&name);
                return Err(format!("`{name}` cannot stand in an environment with its value"));
            }
        }
    }
    Ok(env)
}

fn text(text: &[u8]) -> Result<&str, String> {
    json::check(text, &Limits::REQUEST).map_err(|error| error.to_string())?;
    std::str::from_utf8(text).map_err(|error| error.to_string())
}

/// Reads a file that only its owner may read, and removes it.
fn take(path: &Path) -> Result<Zeroizing<String>, BridgeError> {
    let failed =
        |source: io::Error| BridgeError::Input { what: path.display().to_string(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.permissions().mode() & 0o077 != 0
        || about.uid() != rustix::process::geteuid().as_raw()
        || !about.is_file()
    {
        let what = "only its owner, who runs the bridge, may be able to read it (mode 0600)";
        return Err(unusable(path, &what));
    }
    let size = usize::try_from(about.len()).unwrap_or_default().min(1 << 20);
    let mut text = Zeroizing::new(String::with_capacity(size + 1));
    io::Read::read_to_string(&mut file, &mut text).map_err(failed)?;
    std::fs::remove_file(path).map_err(failed)?;
    Ok(text)
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> BridgeError {
    BridgeError::Unusable(format!("{}: {error}", path.display()))
}

fn shown(name: &str) -> String {
    name.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_a_key_and_at_first_an_environment() {
        let key = HostedKey::generate().unwrap();
        let secret = key.write();
        let line = |rest: &str| format!("{{\"key\":\"{}\"{rest}}}\n", secret.expose());
        let (read, env) = control(line("").as_bytes()).unwrap();
        assert_eq!((read.id(), env.is_none()), (key.id(), true));
        let (_, env) = control(line(r#","env":{"A":"1","B":"=\n"}"#).as_bytes()).unwrap();
        let env = env.unwrap();
        let shown: Vec<_> = env.iter().map(|(name, value)| (&**name, value.expose())).collect();
        assert_eq!(shown, [("A", "1"), ("B", "=\n")]);
        for bad in [
            String::new(),
            "[]".to_owned(),
            "{}".to_owned(),
            r#"{"key":7}"#.to_owned(),
            line(r#","env":[]"#),
            line(r#","env":{"A":1}"#),
            line(r#","env":{"A=B":"1"}"#),
            line(r#","env":{"":"1"}"#),
            line(r#","env":{"A":"\u0000"}"#),
            line(r#","env":{"A":"1","A":"2"}"#),
            line(r#","more":1"#),
            line("").replace(".", ""),
        ] {
            let error = control(bad.as_bytes()).map(drop).expect_err(&bad);
            assert!(!error.contains(secret.expose()), "{error}");
        }
    }

    #[test]
    fn a_file_is_its_owners_alone_and_gone_once_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "text").unwrap();
        for (mode, fits) in [(0o644, false), (0o640, false), (0o600, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(take(&path).is_ok(), fits, "{mode:o}");
        }
        assert!(!path.exists());
        assert!(matches!(take(&path), Err(BridgeError::Input { .. })));
    }
}

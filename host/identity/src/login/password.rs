//! Passwords of accounts that are the gateway's own.
//!
//! Kept as argon2id digests in the user's record. Each digest costs memory and a moment of a
//! core, so two are worked out at a time and few wait. Whether an account exists, has a
//! password, is active, or the password is wrong: one answer, and the same work.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use model::{Clock, Secret, UserId};
use tidegate_model as model;
use tokio::sync::Semaphore;

mod pace;
#[cfg(test)]
mod tests;
mod weak;

use crate::directory::{Directory, DirectoryError, Kind, Person, User};
use pace::Pace;
pub use weak::{LONGEST, SHORTEST, Weak};

/// Digests that are worked out at once.
const AT_ONCE: usize = 2;
/// How many may wait for that.
const WAITING: usize = 64;
/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// Memory of one digest in KiB, passes, lanes.
const COST: (u32, u32, u32) = (19 * 1_024, 2, 1);

/// Why a password was not taken, or nobody signed in with it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PasswordRefused {
    /// There is no such account, or its password is another.
    #[error("the e-mail address or the password is wrong")]
    Wrong,
    /// There were too many attempts.
    #[error("there were too many attempts: try again in {} seconds", .0.as_secs().max(1))]
    TooMany(Duration),
    /// Too many are at it.
    #[error("too many people are signing in: try again in a moment")]
    Busy,
    /// The password is one that others would guess.
    #[error(transparent)]
    Weak(#[from] Weak),
    /// The system failed to work out a digest.
    #[error("the password could not be digested: {0}")]
    Fault(String),
    /// The directory refused.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// Works out and compares digests, slowly.
#[derive(Debug)]
pub struct Passwords {
    /// Who may wait at all.
    doors: Arc<Semaphore>,
    /// Who may work.
    seats: Arc<Semaphore>,
    pace: Pace,
    /// What is compared where there is nothing to compare with.
    nobody: OnceLock<String>,
}

impl Passwords {
    /// One for the whole process: the bound on memory is over all organisations.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            doors: Arc::new(Semaphore::new(WAITING)),
            seats: Arc::new(Semaphore::new(AT_ONCE)),
            pace: Pace::new(clock),
            nobody: OnceLock::new(),
        }
    }

    /// The active person with this e-mail address or user name and this password.
    pub async fn sign_in(
        &self,
        directory: &Directory,
        name: &str,
        password: &Secret,
        source: Option<IpAddr>,
    ) -> Result<Arc<Person>, PasswordRefused> {
        let name = name.trim().to_lowercase();
        let attempt = self.pace.begin(directory.org(), &name, source);
        let attempt = attempt.map_err(PasswordRefused::TooMany)?;
        let found = UserId::new(&name).ok().and_then(|id| directory.user(&id));
        let found = found.or_else(|| directory.by_email(&name));
        let usable = |person: &&Arc<Person>| {
            person.user.active && person.user.kind == Kind::Person && person.user.password.is_some()
        };
        let usable = found.as_ref().filter(usable);
        let kept = usable.and_then(|person| person.user.password.clone());
        // Made once, whoever comes first: the first to name nobody must not wait longer.
        let nobody = self.nobody().await?;
        let is_known = kept.is_some();
        let fits = self.compare(kept.clone().unwrap_or(nobody), password).await?;
        let Some(person) = usable.filter(|_| fits && is_known) else {
            return Err(PasswordRefused::Wrong);
        };
        let now = directory.now();
        let is_still = |user: &User| user.active && user.password == kept;
        let noted = directory.change(&person.user.id, |user| {
            // Taken away while we compared.
            if is_still(user) {
                user.last_sign_in = Some(now);
            }
            Ok(())
        });
        let person = noted.await?;
        if !is_still(&person.user) {
            return Err(PasswordRefused::Wrong);
        }
        self.pace.succeeded(attempt);
        Ok(person)
    }

    /// The digest to keep of a new password, if it is one that nobody guesses.
    pub async fn digest(
        &self,
        password: &Secret,
        names: &[&str],
    ) -> Result<String, PasswordRefused> {
        weak::check(password.expose(), names)?;
        let password = password.clone();
        self.work(move || digest(&password)).await?
    }

    /// Gives an active person a new password and ends whatever they were signed in to.
    pub async fn set(
        &self,
        directory: &Directory,
        id: &UserId,
        password: &Secret,
    ) -> Result<Arc<Person>, PasswordRefused> {
        let person = directory.user(id).ok_or_else(|| DirectoryError::NoUser(id.clone()))?;
        let email = person.user.email.as_deref().unwrap_or_default();
        let digest = self.digest(password, &[id.as_str(), email]).await?;
        let now = directory.now();
        let edit = |user: &mut User| {
            if user.kind != Kind::Person {
                return Err(DirectoryError::Bad(format!("`{id}` is an agent: give it an API key")));
            }
            user.password = Some(digest.clone());
            user.not_before = user.not_before.max(now);
            Ok(())
        };
        Ok(directory.change(id, edit).await?)
    }

    async fn compare(&self, kept: String, password: &Secret) -> Result<bool, PasswordRefused> {
        // Nobody has a longer one, and it costs time to say so.
        let password = match password.expose().len() {
            0..=weak::BYTES => password.clone(),
            _ => Secret::new(String::new()),
        };
        self.work(move || match PasswordHash::new(&kept) {
            Ok(kept) => engine()
                .map(|engine| engine.verify_password(password.expose().as_bytes(), &kept).is_ok()),
            Err(error) => Err(PasswordRefused::Fault(error.to_string())),
        })
        .await?
    }

    /// The digest of a password that nobody has.
    async fn nobody(&self) -> Result<String, PasswordRefused> {
        if let Some(known) = self.nobody.get() {
            return Ok(known.clone());
        }
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).map_err(|e| PasswordRefused::Fault(e.to_string()))?;
        let text = random.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let made = self.work(move || digest(&Secret::new(text))).await??;
        Ok(self.nobody.get_or_init(|| made).clone())
    }

    /// Does heavy work beside the tasks, when it is its turn.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordRefused> {
        let _door = self.doors.try_acquire().map_err(|_| PasswordRefused::Busy)?;
        let seat = Arc::clone(&self.seats).acquire_owned();
        let seat = tokio::time::timeout(PATIENCE, seat).await;
        let seat = seat.ok().and_then(Result::ok).ok_or(PasswordRefused::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work is done, also where nobody waits for it any more.
            let _seat = seat;
            work()
        });
        done.await.map_err(|error| PasswordRefused::Fault(error.to_string()))
    }
}

fn engine() -> Result<Argon2<'static>, PasswordRefused> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None);
    let params = params.map_err(|error| PasswordRefused::Fault(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn digest(password: &Secret) -> Result<String, PasswordRefused> {
    let made: Result<PasswordHash, _> = engine()?.hash_password(password.expose().as_bytes());
    made.map(|made| made.to_string()).map_err(|error| PasswordRefused::Fault(error.to_string()))
}

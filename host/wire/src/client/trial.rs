//! Which resources and tasks a server takes, where it refuses some.
//!
//! A modern server takes or refuses all of a filter at once, and what many clients follow
//! is in one filter. So what is new in a filter that was refused is halved until it is known
//! which of it the server does not take, and that is left out for a while. Knows no
//! transport.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{PeerError, Wanted, wanted::Tells};

/// How long what was refused is left out.
const LEFT_OUT: Duration = Duration::from_secs(300);
/// The most refusals in a row before all that is new is left out.
const REFUSALS: usize = 64;

/// See the module; one for each time that a server is listened to.
#[derive(Debug)]
pub(super) struct Trial {
    tells: Tells,
    /// What the server has taken.
    taken: Wanted,
    /// What it is asked for now.
    asked: Wanted,
    /// Until when each is left out.
    left_out: BTreeMap<Wish, Instant>,
    /// So many of the new ones, from the first, hold one that was refused.
    suspect: usize,
    refusals: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Resource(Box<str>),
    Task(Box<str>),
}

impl Trial {
    /// Of a server that has refused nothing yet.
    pub(super) fn begin(tells: Tells) -> Self {
        Self {
            tells,
            taken: Wanted::default(),
            asked: Wanted::default(),
            left_out: BTreeMap::new(),
            suspect: 0,
            refusals: 0,
        }
    }

    /// What to ask for now, of what is wanted and the server tells.
    pub(super) fn next(&mut self, wanted: &Wanted) -> &Wanted {
        let now = Instant::now();
        self.left_out.retain(|_, until| *until > now);
        let (mut kept, mut new) = (Vec::new(), Vec::new());
        let tells = |wish: &Wish| match wish {
            Wish::Resource(_) => self.tells.updates,
            Wish::Task(_) => self.tells.tasks,
        };
        for wish in wishes(wanted).filter(tells) {
            if self.left_out.contains_key(&wish) {
                continue;
            }
            if wish.is_in(&self.taken) { kept.push(wish) } else { new.push(wish) }
        }
        if new.is_empty() {
            self.refusals = 0;
        }
        let portion = match self.suspect {
            0 => usize::MAX,
            suspect => (suspect / 2).max(1),
        };
        kept.extend(new.into_iter().take(portion));
        self.asked = kept.into_iter().collect();
        &self.asked
    }

    /// The server has taken what it was asked for last.
    pub(super) fn is_taken(&mut self) {
        self.suspect = self.suspect.saturating_sub(self.added().len());
        self.taken = self.asked.clone();
    }

    /// The server did not take it. Whether there is anything new in it, so that it is worth
    /// asking for less.
    pub(super) fn is_refused(&mut self, error: &PeerError) -> bool {
        let new = self.added();
        let may_be_one = matches!(
            error,
            PeerError::Refused { .. }
                | PeerError::Silent(_)
                | PeerError::Status { .. }
                | PeerError::Protocol(_)
        );
        if new.is_empty() || !may_be_one {
            return false;
        }
        self.refusals += 1;
        if new.len() > 1 && self.refusals < REFUSALS {
            self.suspect = new.len();
            return true;
        }
        tracing::warn!(%error, count = new.len(), "the server does not tell of what is followed");
        let until = Instant::now() + LEFT_OUT;
        self.left_out.extend(new.into_iter().map(|wish| (wish, until)));
        self.suspect = 0;
        true
    }

    /// What is asked for and was not taken before.
    fn added(&self) -> Vec<Wish> {
        wishes(&self.asked).filter(|wish| !wish.is_in(&self.taken)).collect()
    }

    /// Leaves one resource out for a while.
    pub(super) fn leave_out(&mut self, uri: Box<str>) {
        self.left_out.insert(Wish::Resource(uri), Instant::now() + LEFT_OUT);
    }

    /// Waits until something that was left out may be asked for again.
    pub(super) async fn again(&self) {
        match self.left_out.values().min() {
            Some(until) => sleep_until(*until).await,
            None => std::future::pending().await,
        }
    }
}

impl Wish {
    fn is_in(&self, wanted: &Wanted) -> bool {
        match self {
            Self::Resource(uri) => wanted.resources.contains(uri),
            Self::Task(id) => wanted.tasks.contains(id),
        }
    }
}

impl FromIterator<Wish> for Wanted {
    fn from_iter<I: IntoIterator<Item = Wish>>(all: I) -> Self {
        let (mut resources, mut tasks) = (BTreeSet::new(), BTreeSet::new());
        for wish in all {
            match wish {
                Wish::Resource(uri) => resources.insert(uri),
                Wish::Task(id) => tasks.insert(id),
            };
        }
        Self { resources, tasks, ..Self::default() }
    }
}

fn wishes(wanted: &Wanted) -> impl Iterator<Item = Wish> {
    let resources = wanted.resources.iter().cloned().map(Wish::Resource);
    resources.chain(wanted.tasks.iter().cloned().map(Wish::Task))
}

#[cfg(test)]
mod tests {
    use tidegate_model::Json;

    use super::*;
    use crate::client::PeerInfo;

    /// Of a server that tells of resources, and of tasks where that is said.
    fn begin(tasks: bool) -> Trial {
        let extensions = if tasks { r#"{"io.modelcontextprotocol/tasks":{}}"# } else { "{}" };
        let capabilities =
            format!(r#"{{"resources":{{"subscribe":true}},"extensions":{extensions}}}"#);
        let capabilities = Json::parse(capabilities).unwrap();
        Trial::begin(Tells::of(&PeerInfo { capabilities, ..PeerInfo::unknown() }))
    }

    fn refused() -> PeerError {
        PeerError::Refused { method: "subscriptions/listen", message: "no".to_owned() }
    }

    /// Asks a server that takes no filter with one of `bad`, until nothing new is left to
    /// ask for; how often it was asked.
    fn settle(trial: &mut Trial, wanted: &Wanted, bad: &[&str]) -> usize {
        let mut asked = 0;
        loop {
            let before = trial.taken.clone();
            let now = trial.next(wanted).clone();
            if now == before {
                return asked;
            }
            asked += 1;
            if bad.iter().any(|uri| now.resources.contains(*uri)) {
                assert!(trial.is_refused(&refused()));
            } else {
                trial.is_taken();
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_found_and_left_out_for_a_while() {
        let all: Vec<String> = (0..1_000).map(|number| format!("x:{number}")).collect();
        let tasks = BTreeSet::from(["t".into()]);
        let resources = all.iter().map(|uri| uri.as_str().into()).collect();
        let wanted = Wanted { resources, tasks, ..Wanted::default() };
        let mut trial = begin(true);
        assert_eq!(settle(&mut trial, &wanted, &[]), 1);
        assert_eq!(trial.taken, wanted);

        let mut trial = begin(true);
        let asked = settle(&mut trial, &wanted, &["x:7", "x:500"]);
        assert!(asked <= 30, "{asked}");
        let mut expected = wanted.clone();
        expected.resources.remove("x:7");
        expected.resources.remove("x:500");
        assert_eq!(trial.taken, expected);
        trial.again().await;
        assert_eq!(settle(&mut trial, &wanted, &[]), 1);
        assert_eq!(trial.taken, wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_everything_is_not_asked_without_end() {
        let resources = (0..1_000).map(|number| format!("x:{number}").into()).collect();
        let wanted = Wanted { resources, ..Wanted::default() };
        let mut trial = begin(true);
        let mut refusals = 0;
        while !trial.next(&wanted).is_empty() {
            assert!(trial.is_refused(&refused()));
            refusals += 1;
        }
        assert!(refusals <= 70, "{refusals}");
        assert!(!trial.is_refused(&refused()), "there is nothing new to leave out");
        let tasks = Wanted { tasks: BTreeSet::from(["t".into()]), ..Wanted::default() };
        let mut trial = begin(false);
        assert!(trial.next(&tasks).is_empty() && !trial.is_refused(&refused()), "not told of");
        trial.next(&wanted);
        assert!(!trial.is_refused(&PeerError::Closed), "that is no word on what was asked");
    }
}

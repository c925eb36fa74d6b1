//! Questions that wait for the answer of one session's client.
//!
//! Owns their ids and the match of an answer with its question. Knows neither who asks nor
//! how a question travels. What is matched is this session's alone, so that nobody can answer
//! what somebody else was asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_model::Answer;
use tokio::sync::oneshot;

/// Most questions that wait for one client.
const MOST: usize = 64;

/// The questions of one session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Questions(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    asked: u64,
    waiting: Vec<(u64, oneshot::Sender<Answer>)>,
}

/// A question that waits; it waits no more once this value is gone.
#[derive(Debug)]
pub(crate) struct Waiting {
    questions: Questions,
    id: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Questions {
    /// Takes a question in; `None` where too many wait already.
    pub(crate) fn ask(&self) -> Option<Waiting> {
        let mut inner = self.lock();
        if inner.waiting.len() >= MOST {
            return None;
        }
        inner.asked += 1;
        let id = inner.asked;
        let (sender, answer) = oneshot::channel();
        inner.waiting.push((id, sender));
        Some(Waiting { questions: self.clone(), id, answer })
    }

    /// Hands an answer to its question; whether there was one.
    pub(crate) fn answer(&self, id: u64, answer: Answer) -> bool {
        let mut inner = self.lock();
        let Some(place) = inner.waiting.iter().position(|(known, _)| *known == id) else {
            return false;
        };
        let (_, sender) = inner.waiting.swap_remove(place);
        drop(inner);
        sender.send(answer).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Its id, unique in the session.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Waits for the answer; for ever where none comes. Dropping the future loses nothing.
    pub(crate) async fn answered(&mut self) -> Answer {
        match (&mut self.answer).await {
            Ok(answer) => answer,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.questions.lock().waiting.retain(|(known, _)| *known != self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tidegate_model::Json;

    use super::*;

    fn answer(text: &'static str) -> Answer {
        Answer::Result(Json::from_checked(text.into()))
    }

    #[tokio::test]
    async fn an_answer_finds_its_question_and_no_other() {
        let (ours, theirs) = (Questions::default(), Questions::default());
        let (mut one, mut two) = (ours.ask().unwrap(), ours.ask().unwrap());
        let mut other = theirs.ask().unwrap();
        assert_ne!(one.id(), two.id());
        assert!(ours.answer(two.id(), answer("2")));
        assert!(!ours.answer(two.id(), answer("again")), "it was answered");
        assert!(!ours.answer(99, answer("never asked")));
        assert_eq!(two.answered().await.json().as_str(), "2");
        assert!(one.answered().now_or_never().is_none());
        assert!(other.answered().now_or_never().is_none(), "another session's");
        let id = one.id();
        drop(one);
        assert!(!ours.answer(id, answer("late")));
    }

    #[test]
    fn so_many_wait_and_no_more() {
        let questions = Questions::default();
        let mut waiting: Vec<_> = (0..MOST).map(|_| questions.ask().unwrap()).collect();
        assert!(questions.ask().is_none());
        let gone = waiting.pop().unwrap();
        let id = gone.id();
        drop(gone);
        assert_ne!(questions.ask().unwrap().id(), id, "an id is used once");
    }
}

//! A call under way for a modern client, with all that it tells and asks.
//!
//! Whoever holds it drives it: a connection, or the task that keeps it while it is parked.
//! Dropping it cancels the call.

use std::{
    collections::VecDeque,
    future::Future,
    mem,
    pin::Pin,
    task::{Context as Waker, Poll},
    time::Duration,
};

use tidegate_model::{Answer, Json};
use tidegate_wire::{
    client::{Event, Notification, Profile},
    json::{Kind, Raw},
};
use tokio::sync::mpsc;

use super::{
    super::Done,
    question::{Open, unasked},
};
use crate::places::Place;

/// Questions of one call that may wait at once; more are refused to the server.
const MOST_OPEN: usize = 64;

/// What happened next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Something for the client.
    Told(Notification),
    /// The call cannot go on without answers to its open questions.
    Asks,
    /// The call has ended.
    Ended(Option<Done>),
    /// Nothing, for as long as was said.
    Quiet,
}

/// A call on its way to its end; `None` where there was nothing to call.
pub(crate) type Calling = Pin<Box<dyn Future<Output = Option<Done>> + Send>>;

/// A call under way.
pub(crate) struct Live {
    call: Calling,
    inbox: mpsc::Receiver<Event>,
    /// Not told yet.
    told: VecDeque<Notification>,
    open: Vec<Open>,
    /// How many were asked so far, for their names.
    asked: u32,
    ended: Option<Option<Done>>,
    /// Its place among the parked, from the first time on.
    pub(super) place: Option<Place>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

impl Live {
    /// A call and the other end of its channel.
    pub(crate) fn new(call: Calling, inbox: mpsc::Receiver<Event>) -> Self {
        let (told, open) = (VecDeque::new(), Vec::new());
        Self { call, inbox, told, open, asked: 0, ended: None, place: None }
    }

    /// What happens next, within `quiet`. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self, quiet: Duration) -> Step {
        loop {
            if let Some(note) = self.told.pop_front() {
                return Step::Told(note);
            }
            if let Some(ended) = self.ended.take() {
                // The call may have told something in the very step in which it ended.
                self.empty_inbox();
                if self.told.is_empty() {
                    return Step::Ended(ended);
                }
                self.ended = Some(ended);
                continue;
            }
            if !self.open.is_empty() {
                self.gather().await;
                self.open.retain(|open| !open.is_moot());
                if self.told.is_empty() && self.ended.is_none() && !self.open.is_empty() {
                    return Step::Asks;
                }
                continue;
            }
            tokio::select! {
                biased;
                // Once the channel is closed only the call can still say anything.
                Some(event) = self.inbox.recv() => self.take_in(event),
                ended = &mut self.call => self.ended = Some(ended),
                () = tokio::time::sleep(quiet) => return Step::Quiet,
            }
        }
    }

    /// Drives the call while nobody is there to be told; returns when it has ended, and never
    /// again after that. Dropping the future loses nothing.
    pub(super) async fn go_on(&mut self) {
        match self.ended {
            None => self.ended = Some((&mut self.call).await),
            Some(_) => std::future::pending().await,
        }
    }

    /// The open questions.
    pub(super) fn open(&self) -> &[Open] {
        &self.open
    }

    /// Answers open questions: each gets the response of its name. One without a response, or
    /// with one that is no object, stays open; responses to nothing are left alone.
    pub(crate) fn answer(&mut self, responses: &Json) {
        let given = Raw::from(responses);
        for open in mem::take(&mut self.open) {
            match given.get(&open.key).filter(|response| response.kind() == Kind::Object) {
                Some(response) => open.answer(Answer::Result(response.within(responses))),
                None => self.open.push(open),
            }
        }
    }

    /// Refuses those open questions that a client with this profile cannot be asked: each
    /// request says anew what it can (SEP-2575).
    pub(super) fn refuse_beyond(&mut self, profile: Profile) {
        for open in mem::take(&mut self.open) {
            match open.is_for(profile) {
                Ok(()) => self.open.push(open),
                Err(words) => open.answer(unasked(words)),
            }
        }
    }

    /// Refuses all open questions to the server.
    pub(super) fn refuse(&mut self, words: &str) {
        self.open.drain(..).for_each(|open| open.answer(unasked(words)));
    }

    fn take_in(&mut self, event: Event) {
        match event {
            Event::Notification(note) => self.told.push_back(note),
            Event::Question(question) => {
                self.asked += 1;
                let open = Open { key: format!("question-{}", self.asked), question };
                if self.open.len() < MOST_OPEN {
                    self.open.push(open);
                } else {
                    open.answer(unasked("too many questions at once"));
                }
            }
        }
    }

    fn empty_inbox(&mut self) {
        while let Ok(event) = self.inbox.try_recv() {
            // A question of a call that has ended has nobody to answer to.
            if let Event::Notification(note) = event {
                self.told.push_back(note);
            }
        }
    }

    /// Lets the call go as far as it comes by itself, so that what it asks at once is asked
    /// together.
    async fn gather(&mut self) {
        std::future::poll_fn(|waker| {
            self.poll_on(waker);
            Poll::Ready(())
        })
        .await;
    }

    fn poll_on(&mut self, waker: &mut Waker<'_>) {
        // Bounded: an endless chatter of the server is told before it is asked on.
        for _ in 0..MOST_OPEN {
            let mut moved = false;
            while let Poll::Ready(Some(event)) = self.inbox.poll_recv(waker) {
                self.take_in(event);
                moved = true;
                if self.told.len() > MOST_OPEN {
                    return;
                }
            }
            if let Poll::Ready(ended) = self.call.as_mut().poll(waker) {
                self.ended = Some(ended);
                return;
            }
            // The call may have said something while it was polled.
            if !moved && self.inbox.is_empty() {
                return;
            }
        }
    }
}

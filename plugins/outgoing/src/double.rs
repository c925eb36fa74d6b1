//! A double of the network, for native tests: one per thread.

use std::cell::RefCell;

use crate::{Error, Request, Response};

/// What was asked, and what is answered, in order.
#[derive(Debug, Default)]
pub struct Double {
    /// Every request so far.
    pub requests: Vec<Request>,
    /// Answers to come; the next one first. Without any, requests are denied.
    pub answers: Vec<Result<Response, Error>>,
}

thread_local! {
    static DOUBLE: RefCell<Double> = RefCell::default();
}

/// Looks at this thread's double, or changes it.
pub fn with<T>(look: impl FnOnce(&mut Double) -> T) -> T {
    DOUBLE.with_borrow_mut(look)
}

/// Begins anew, with these answers to come.
pub fn answering(answers: Vec<Result<Response, Error>>) {
    with(|double| *double = Double { requests: Vec::new(), answers });
}

pub(crate) fn send(request: &Request) -> Result<Response, Error> {
    with(|double| {
        double.requests.push(request.clone());
        if double.answers.is_empty() {
            return Err(Error::Denied);
        }
        let response = double.answers.remove(0)?;
        if response.body.len() > request.most { Err(Error::TooLarge) } else { Ok(response) }
    })
}

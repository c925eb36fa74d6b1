//! Asks an external service what is to become of an operation.
//!
//! Sends the event, its context and its JSON as it is, signed after the Standard Webhooks
//! scheme by the host, which alone holds the key. Whatever is not a clear answer refuses.

mod decision;
mod message;
mod settings;
mod sign;

use outgoing::Error;
use tidegate_plugin::{Answer, Context, Decision, Interceptor, Outcome, Review, Round};

use decision::Verdict;
use message::{Event, Payload};
use settings::{Settings, Unanswered};

struct Webhook {
    settings: Settings,
}

impl Interceptor for Webhook {
    const SCHEMA: &'static str = include_str!("../schema.json");

    fn configure(config: &str) -> Result<Self, String> {
        Settings::read(config).map(|settings| Self { settings })
    }

    fn before_call(&self, context: &Context, arguments: &str, _round: &Round) -> Outcome {
        self.before(Event::CALL, context, Some(arguments))
    }

    fn after_call(&self, context: &Context, answer: &Answer, _state: Option<&[u8]>) -> Review {
        self.after(Event::CALL, context, answer)
    }

    fn before_prompt(&self, context: &Context, arguments: &str, _round: &Round) -> Outcome {
        self.before(Event::PROMPT, context, Some(arguments))
    }

    fn after_prompt(&self, context: &Context, answer: &Answer, _state: Option<&[u8]>) -> Review {
        self.after(Event::PROMPT, context, answer)
    }

    fn before_read(&self, context: &Context, _round: &Round) -> Outcome {
        self.before(Event::READ, context, None)
    }

    fn after_read(&self, context: &Context, answer: &Answer, _state: Option<&[u8]>) -> Review {
        self.after(Event::READ, context, answer)
    }
}

impl Webhook {
    fn before(&self, event: Event, context: &Context, arguments: Option<&str>) -> Outcome {
        if !self.settings.wants(event.request()) {
            return Decision::Proceed.into();
        }
        let payload = arguments.map_or(Payload::None, Payload::Arguments);
        match self.ask(event.request(), context, payload) {
            Ok(Verdict::Proceed) => Decision::Proceed,
            // A resource is asked for by its URI alone: there is nothing to replace.
            Ok(Verdict::Replace(_)) if arguments.is_none() => {
                Decision::Refuse("The decision service gave arguments where there are none.".into())
            }
            Ok(Verdict::Replace(json)) => Decision::Replace(json),
            Ok(Verdict::Answer(json)) => Decision::Answer(json),
            Ok(Verdict::Refuse(text)) | Err(text) => Decision::Refuse(text),
        }
        .into()
    }

    fn after(&self, event: Event, context: &Context, answer: &Answer) -> Review {
        if !self.settings.wants(event.response()) {
            return Review::Proceed;
        }
        let payload = match answer {
            Answer::Result(json) => Payload::Result(json),
            Answer::Error(json) => Payload::Error(json),
        };
        match self.ask(event.response(), context, payload) {
            Ok(Verdict::Proceed) => Review::Proceed,
            Ok(Verdict::Replace(json)) => Review::Replace(json),
            Ok(Verdict::Answer(_)) => {
                Review::Refuse("The decision service answered what was answered already.".into())
            }
            Ok(Verdict::Refuse(text)) | Err(text) => Review::Refuse(text),
        }
    }

    /// Asks once. Nothing is asked again: the service may have counted the first time.
    fn ask(
        &self,
        event: Event,
        context: &Context,
        payload: Payload<'_>,
    ) -> Result<Verdict, String> {
        let body = message::body(event, context, payload);
        if body.len() > self.settings.most_sent() {
            return Err("This is too large for the decision service to see.".to_owned());
        }
        let request = self.settings.request(event, context, body)?;
        let answer = match request {
            Some(request) => outgoing::send(&request),
            None => Err(Error::TimedOut),
        };
        let answer = answer.map_err(|error| self.settings.unasked(&error));
        match answer.and_then(|response| decision::read(&response)) {
            // A trap is how a hook fails: the binding's `fail` decides then.
            Err(text) if self.settings.unanswered == Unanswered::Fail => panic!("{text}"),
            said => said,
        }
    }
}

tidegate_plugin::export!(interceptor Webhook:
    before_call, after_call, before_prompt, after_prompt, before_read, after_read);

#[cfg(test)]
mod tests;

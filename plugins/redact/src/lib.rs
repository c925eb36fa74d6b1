//! Finds personal data and secrets on their way to a connector and back, and blocks, masks,
//! hashes or reports them.
//!
//! Looks at every string value of the JSON, wherever it stands; member names and numbers are
//! left alone. Bytes around a changed value stay as they were, and where nothing is found the
//! operation proceeds untouched. What counts as a find is in [`find`], what becomes of it in
//! [`review`], which parts of a message are looked at in [`message`].

mod find;
mod message;
mod review;
mod settings;
mod walk;

use tidegate_plugin::{
    Answer, Context, Decision, Interceptor, Outcome, QuestionDecision, Review, Round,
};

use message::{Message, Verdict};
use settings::Direction;

struct Redact {
    config: String,
}

impl Redact {
    fn arguments(&self, context: &Context, json: &str, changeable: Option<&[&str]>) -> Outcome {
        let direction = Direction::Arguments;
        let message = Message { direction, what: "arguments", target: &context.target, changeable };
        decision(message.judge(&self.config, json)).into()
    }

    fn answer(&self, target: &str, answer: &Answer) -> Review {
        let direction = Direction::Results;
        let message = Message { direction, what: "results", target, changeable: None };
        match message.judge(&self.config, answer.json()) {
            Verdict::Proceed => Review::Proceed,
            Verdict::Replace(json) => Review::Replace(json),
            Verdict::Refuse(text) => Review::Refuse(text),
        }
    }
}

fn decision(verdict: Verdict) -> Decision {
    match verdict {
        Verdict::Proceed => Decision::Proceed,
        Verdict::Replace(json) => Decision::Replace(json),
        Verdict::Refuse(text) => Decision::Refuse(text),
    }
}

impl Interceptor for Redact {
    const SCHEMA: &'static str = include_str!("../schema.json");

    // Read per message, for one direction only.
    fn configure(config: &str) -> Result<Self, String> {
        Ok(Self { config: config.to_owned() })
    }

    fn before_call(&self, context: &Context, arguments: &str, _round: &Round) -> Outcome {
        self.arguments(context, arguments, None)
    }

    fn after_call(&self, context: &Context, answer: &Answer, _state: Option<&[u8]>) -> Review {
        self.answer(&context.target, answer)
    }

    fn before_prompt(&self, context: &Context, arguments: &str, _round: &Round) -> Outcome {
        self.arguments(context, arguments, None)
    }

    fn after_prompt(&self, context: &Context, answer: &Answer, _state: Option<&[u8]>) -> Review {
        self.answer(&context.target, answer)
    }

    fn before_read(&self, context: &Context, _round: &Round) -> Outcome {
        let direction = Direction::Arguments;
        // A refusal must not hold the URI, which holds what it is refused for.
        let message =
            Message { direction, what: "URI", target: &context.connector, changeable: None };
        decision(message.judge_fixed(&self.config, &context.target)).into()
    }

    fn after_read(&self, context: &Context, answer: &Answer, _state: Option<&[u8]>) -> Review {
        // The URI may hold what is found in it.
        self.answer(&context.connector, answer)
    }

    fn before_completion(&self, context: &Context, argument: &str) -> Outcome {
        self.arguments(context, argument, Some(&["value"]))
    }

    fn after_completion(
        &self,
        context: &Context,
        answer: &Answer,
        _state: Option<&[u8]>,
    ) -> Review {
        self.answer(&context.target, answer)
    }

    fn on_question(&self, context: &Context, params: &str) -> QuestionDecision {
        let message = Message {
            direction: Direction::Questions,
            what: "questions",
            // What is asked about may be a URI.
            target: &context.connector,
            changeable: Some(message::of_question(&context.method)),
        };
        match message.judge(&self.config, params) {
            Verdict::Proceed => QuestionDecision::Proceed,
            Verdict::Replace(json) => QuestionDecision::Replace(json),
            Verdict::Refuse(text) => QuestionDecision::Refuse(text),
        }
    }
}

tidegate_plugin::export!(interceptor Redact:
    before_call, after_call, before_prompt, after_prompt, before_read, after_read,
    before_completion, after_completion, on_question);

#[cfg(test)]
mod tests;

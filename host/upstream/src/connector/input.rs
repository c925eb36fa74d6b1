//! What a modern server asks for before it goes on (SEP-2322), put to a legacy client.
//!
//! Reads an `input_required` result, asks each of its questions over the exchange and
//! gathers the answers for the next round. Which client is behind it, and how a question
//! looks to it, is the exchange's business.

use futures_util::future::join_all;
use tidegate_model::{Answer, Given, Json};
use tidegate_wire::{
    client::Exchange,
    json::{Kind, Raw, write_string},
    mcp::{
        method::Method,
        peek::{ErrorObject, ResultPeek, ResultType},
    },
};

/// The most times that one call is sent again with answers.
pub(super) const ROUNDS: usize = 16;
/// The most questions of one round.
const QUESTIONS: usize = 64;

/// What a server needs to know before it goes on.
#[derive(Debug)]
pub(super) struct Needed {
    questions: Vec<Question>,
    state: Option<Box<str>>,
}

#[derive(Debug)]
struct Question {
    key: Box<str>,
    method: Method,
    params: Json,
}

/// Why a call cannot go on after its server asked for input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unanswered {
    /// The method of the question.
    pub(super) method: &'static str,
    /// What the client said instead of an answer.
    pub(super) why: String,
}

/// Whether a modern server's answer asks for input first.
pub(super) fn is_asked_for(answer: &Answer) -> bool {
    let Answer::Result(result) = answer else { return false };
    ResultPeek::read(Raw::from(result))
        .is_ok_and(|peek| peek.result_type == ResultType::InputRequired)
}

impl Needed {
    /// Reads an `input_required` result; `Err` says what is wrong with it.
    pub(super) fn read(result: &Json) -> Result<Self, String> {
        let raw = Raw::from(result);
        let state = match raw.get("requestState") {
            None => None,
            Some(state) => Some(state.string().ok_or("`requestState` is no string")?.into()),
        };
        let mut questions = Vec::new();
        if let Some(requests) = raw.get("inputRequests") {
            if requests.kind() != Kind::Object {
                return Err("`inputRequests` is no object".to_owned());
            }
            for member in requests.members() {
                if questions.len() == QUESTIONS {
                    return Err(format!("it asks more than {QUESTIONS} questions at once"));
                }
                questions.push(question(result, &member.key, member.value)?);
            }
        }
        if questions.is_empty() && state.is_none() {
            return Err("it asks for input and says not which".to_owned());
        }
        Ok(Self { questions, state })
    }

    /// Asks all questions, side by side, and waits for all answers.
    pub(super) async fn ask(self, exchange: &Exchange) -> Result<Given, Unanswered> {
        let asked = self
            .questions
            .iter()
            .map(|question| exchange.ask(question.method, question.params.clone()));
        let answers = join_all(asked).await;
        let mut responses = vec![b'{'];
        for (question, answer) in self.questions.iter().zip(&answers) {
            if responses.len() > 1 {
                responses.push(b',');
            }
            write_string(&mut responses, &question.key);
            responses.push(b':');
            responses.extend_from_slice(response(question.method, answer)?);
        }
        responses.push(b'}');
        let responses = (!self.questions.is_empty()).then(|| Json::from_checked(responses.into()));
        Ok(Given { responses, state: self.state })
    }
}

fn question(result: &Json, key: &str, request: Raw<'_>) -> Result<Question, String> {
    let named = request.get("method").and_then(Raw::string);
    let named = named.ok_or("an input request has no `method`")?;
    let method = match Method::parse(&named) {
        Some(known @ (Method::CreateMessage | Method::Elicit | Method::ListRoots)) => known,
        _ => {
            let named: String = named.chars().take(80).collect();
            return Err(format!("no client can be asked `{}`", named.escape_default()));
        }
    };
    let params = match request.get("params") {
        None => Json::empty_object(),
        Some(params) if params.kind() == Kind::Object => params.within(result),
        Some(_) => return Err("the `params` of an input request are no object".to_owned()),
    };
    Ok(Question { key: key.into(), method, params })
}

/// The text of one response. Nobody there to fill in a form is the same as a form that was
/// put aside; a question to a model or for roots has no such way out.
fn response(method: Method, answer: &Answer) -> Result<&[u8], Unanswered> {
    match answer {
        Answer::Result(result) => Ok(result.bytes()),
        Answer::Error(_) if method == Method::Elicit => Ok(br#"{"action":"cancel"}"#),
        Answer::Error(error) => {
            let said = ErrorObject::read(Raw::from(error)).map(|error| error.message.into_owned());
            let why = said.unwrap_or_else(|| "it answered with an error".to_owned());
            Err(Unanswered { method: method.name(), why: why.chars().take(200).collect() })
        }
    }
}

impl Unanswered {
    /// How the call ends: as a tool's own failure where it was a tool (the model reads it),
    /// else as an error.
    pub(super) fn answer(&self, is_tool: bool) -> Answer {
        let text = format!(
            "the server asked for `{}` and the client could not answer: {}",
            self.method, self.why
        );
        let (before, after): (&[u8], &[u8]) = match is_tool {
            true => (br#"{"content":[{"type":"text","text":"#, br#"}],"isError":true}"#),
            false => (br#"{"code":-32603,"message":"#, b"}"),
        };
        let mut out = before.to_vec();
        write_string(&mut out, &text);
        out.extend_from_slice(after);
        let json = Json::from_checked(out.into());
        if is_tool { Answer::Result(json) } else { Answer::Error(json) }
    }
}

#[cfg(test)]
mod tests;

//! Questions of connectors on their way to the client, as plugins see them.
//!
//! A question comes over the channel of a call under way ([`Passage::carrying`]: servers of
//! the legacy era, and all servers for a legacy client), or stands in an answer that asks for
//! input ([`Passage::asked`]: a modern server for a modern client). Either way the same hooks
//! judge it before anybody is asked. Knows no park and no seal.

use std::pin::pin;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tidegate_governance::audit::Record;
use tidegate_model::{Answer, Given, Json, Refusal, RefusalCode, Verdict};
use tidegate_upstream::Exchange;
use tidegate_wire::{
    client::{Event, Question},
    json::{Kind, Raw, write_string},
    mcp::{
        method::Method,
        peek::{ResultPeek, ResultType},
        splice::{self, Edit},
    },
};
use tokio::sync::mpsc;

use super::{Passage, Ran, failed, passage::Way, refused};
use crate::call::refusal;
use tidegate_wasm::Interface;

/// Events that may wait for the hooks of a question.
const WAITING: usize = 64;
/// Most questions of one call that wait for the client at a time, as in a session, and most in
/// one answer.
const AT_ONCE: usize = 64;
/// Most questions of one call that plugins judge: a connector decides how many there are, and
/// each costs hooks.
const JUDGED: usize = 256;
/// Longest answers that plugins gave while others wait for the client, in bytes: they travel
/// to the client and back, sealed.
const LONGEST_KEPT: usize = 16 * 1024;
/// The members of an answer that asks for input (SEP-2322).
const INPUT_REQUIRED: [&str; 4] = ["resultType", "inputRequests", "requestState", "_meta"];

/// What becomes of one question.
#[derive(Debug)]
enum Judged {
    /// It is put to the client, with these parameters.
    Ask(Json),
    /// It is answered with this result.
    Answer(Json),
    /// Nobody is asked; the words are for the record.
    Decline(String),
}

/// What an answer comes to once its questions have been judged.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It asks nothing.
    Nothing(Answer),
    /// It asks the client this, and what plugins have answered already goes with its reply.
    Client(Json, Option<Json>),
    /// Plugins have answered all of it: the connector goes on with this.
    Nobody(Given),
}

/// Whether an answer asks for input first.
fn asks(answer: &Answer) -> Option<&Json> {
    let Answer::Result(result) = answer else { return None };
    let raw = Raw::from(result);
    let is_asking = raw.may_say("input_required")
        && ResultPeek::read(raw).is_ok_and(|peek| peek.result_type == ResultType::InputRequired);
    is_asking.then_some(result)
}

impl Passage<'_> {
    /// Has a connector carry a call out, and shows the plugins each question that it asks
    /// meanwhile. An error where a plugin failed; the call is then given up.
    pub(crate) async fn carrying<T, F: Future<Output = T>>(
        &mut self,
        record: &mut Record,
        exchange: Exchange,
        send: impl FnOnce(Exchange) -> F,
    ) -> Result<T, Refusal> {
        let sees_questions = self.sees_questions() && exchange.events.is_some();
        let Some(way) = self.way().filter(|_| sees_questions) else {
            return Ok(send(exchange).await);
        };
        let (sender, mut inbox) = mpsc::channel(WAITING);
        // Who asks is put in front once the plugins have seen the message.
        let inner = Exchange { events: Some(sender), asker: None, ..exchange.clone() };
        let mut sent = pin!(send(inner));
        let mut asked = FuturesUnordered::new();
        let output = loop {
            tokio::select! {
                biased;
                Some(event) = inbox.recv() => match event {
                    Event::Notification(note) => exchange.tell(note),
                    Event::Question(question) if asked.len() >= AT_ONCE => busy(question),
                    Event::Question(question) => {
                        if let Some(question) = way.sift(question, record).await? {
                            asked.push(pass(&exchange, question));
                        }
                    }
                },
                Some(()) = asked.next() => {}
                output = &mut sent => break output,
            }
        };
        // It may have told something in the very step in which it ended.
        while let Ok(event) = inbox.try_recv() {
            if let Event::Notification(note) = event {
                exchange.tell(note);
            }
        }
        Ok(output)
    }

    /// What an answer for a modern client comes to: where it asks for input, each question is
    /// judged on its own.
    pub(crate) async fn asked(
        &mut self,
        answer: Answer,
        record: &mut Record,
    ) -> Result<Asked, Refusal> {
        let (sees_questions, sees_answers) = (self.sees_questions(), self.sees_answers());
        let Some(result) = asks(&answer) else { return Ok(Asked::Nothing(answer)) };
        // No hook of the way back sees it, so it may hold nothing that such a one would.
        let members = Raw::from(result).members();
        if sees_answers && members.into_iter().any(|it| !INPUT_REQUIRED.contains(&&*it.key)) {
            return Err(asks_and_answers());
        }
        let Some(way) = self.way().filter(|_| sees_questions) else {
            return Ok(Asked::Client(result.clone(), None));
        };
        let sifted = way.sift_all(result, record).await?;
        let Some(answered) = sifted.answered else {
            return Ok(Asked::Client(sifted.object, None));
        };
        if sifted.left > 0 {
            if answered.len() > LONGEST_KEPT {
                return Err(too_long());
            }
            return Ok(Asked::Client(sifted.object, Some(answered)));
        }
        let state = Raw::from(result).get("requestState").filter(|state| !state.is_null());
        let state = state.and_then(Raw::string).map(|state| state.as_ref().into());
        Ok(Asked::Nobody(Given { responses: Some(answered), state }))
    }

    /// A task that waits for input, with its questions as plugins want them asked. None of
    /// them can be answered in the client's place here.
    pub(crate) async fn asked_by_task(
        &mut self,
        task: Json,
        record: &mut Record,
    ) -> Result<Json, Refusal> {
        let asks = Raw::from(&task).get("inputRequests").is_some();
        let sees_questions = asks && self.sees_questions();
        let Some(way) = self.way().filter(|_| sees_questions) else { return Ok(task) };
        let sifted = way.sift_all(&task, record).await?;
        match sifted.answered {
            None => Ok(sifted.object),
            Some(_) => Err(refused("a plugin withholds what the task asks".to_owned())
                .with_next("the task cannot go on: cancel it")),
        }
    }
}

/// An object whose `inputRequests` have been judged.
struct Sifted {
    /// The same without those that were answered.
    object: Json,
    /// The answers by name, where there are any.
    answered: Option<Json>,
    /// How many questions are left.
    left: usize,
}

impl Way<'_> {
    /// Judges one question of a call under way: `None` where it has been answered.
    async fn sift(
        &mut self,
        question: Question,
        record: &mut Record,
    ) -> Result<Option<Question>, Refusal> {
        let answer = match self.judge(question.method, &question.params, record).await? {
            Judged::Ask(params) => return Ok(Some(Question { params, ..question })),
            Judged::Answer(result) => Answer::Result(result),
            Judged::Decline(_) => declined(question.method),
        };
        // Who asked may be gone by now.
        drop(question.reply.send(answer));
        Ok(None)
    }

    /// Judges all of `inputRequests`.
    async fn sift_all(&mut self, object: &Json, record: &mut Record) -> Result<Sifted, Refusal> {
        let requests = Raw::from(object).get("inputRequests").unwrap_or(Raw::EMPTY_OBJECT);
        if requests.members().count() > AT_ONCE {
            return Err(too_many());
        }
        let (mut changed, mut answered, mut left) = (Vec::new(), vec![b'{'], 0);
        for member in requests.members() {
            let method = member.value.get("method").and_then(Raw::string);
            let method = method.and_then(|name| Method::parse(&name));
            let params = member.value.get("params").filter(|it| it.kind() == Kind::Object);
            let (Some(method), Some(params)) = (method, params) else {
                left += 1;
                continue;
            };
            let params = params.within(object);
            let answer = match self.judge(method, &params, record).await? {
                Judged::Ask(asked) => {
                    left += 1;
                    if asked != params {
                        changed.push((member.key, Some(asked)));
                    }
                    continue;
                }
                Judged::Answer(result) => result,
                Judged::Decline(words) => match declined(method) {
                    Answer::Result(result) => result,
                    // The protocol has no reply to say so in.
                    Answer::Error(_) => return Err(refused(words)),
                },
            };
            if answered.len() > 1 {
                answered.push(b',');
            }
            write_string(&mut answered, &member.key);
            answered.push(b':');
            answered.extend_from_slice(answer.bytes());
            changed.push((member.key, None));
        }
        answered.push(b'}');
        let answered = (answered.len() > 2).then(|| Json::from_checked(answered.into()));
        let object = edited(object, &changed)?;
        Ok(Sifted { object, answered, left })
    }

    /// What the plugins make of a question, one after the other.
    async fn judge(
        &mut self,
        method: Method,
        params: &Json,
        record: &mut Record,
    ) -> Result<Judged, Refusal> {
        let mut params = params.clone();
        if !matches!(method, Method::Elicit | Method::CreateMessage) {
            return Ok(Judged::Ask(params));
        }
        self.judged += 1;
        if self.judged > JUDGED {
            return Err(too_many());
        }
        let hooks = self.hooks;
        for bound in &hooks.questions {
            let deadline = self.deadline();
            let context = self.context().asking(method.name(), deadline);
            let ran = Ran::begin(Interface::OnQuestion);
            let said = bound.interceptor.question(&context, &params).await;
            match bound.settle(ran, said, Verdict::name, record)? {
                None | Some(Verdict::Proceed) => {}
                Some(Verdict::Replace(other)) => params = other,
                Some(Verdict::Answer(result)) => return Ok(Judged::Answer(result)),
                Some(Verdict::Refuse(words)) => {
                    record.remark(&format!("plugin `{}`: {words}", bound.plugin));
                    return Ok(Judged::Decline(words));
                }
                // The contract has no such decision here.
                Some(Verdict::Ask(_)) => return Err(failed(bound)),
            }
        }
        Ok(Judged::Ask(params))
    }
}

/// Puts a question to the client and hands the reply to whoever asked.
async fn pass(exchange: &Exchange, question: Question) {
    let Question { method, params, mut reply, .. } = question;
    let answer = tokio::select! {
        biased;
        () = reply.closed() => return,
        answer = exchange.ask(method, params) => answer,
    };
    // Who asked may be gone by now.
    drop(reply.send(answer));
}

/// Tells a connector that asks too much at once, before any plugin has looked.
fn busy(question: Question) {
    let error = br#"{"code":-32000,"message":"too many questions are waiting for the client"}"#;
    // Who asked may be gone by now.
    drop(question.reply.send(Answer::Error(Json::from_checked(error.as_slice().into()))));
}

/// What a connector hears of a question that was not put.
fn declined(method: Method) -> Answer {
    let text: &'static [u8] = match method {
        Method::Elicit => br#"{"action":"decline"}"#,
        // As a client says that its person rejected it (2025-11-25, sampling).
        _ => br#"{"code":-1,"message":"the request was declined"}"#,
    };
    let json = Json::from_checked(text.into());
    match method {
        Method::Elicit => Answer::Result(json),
        _ => Answer::Error(json),
    }
}

/// The object with other parameters of some of its `inputRequests`, and without others.
fn edited(
    object: &Json,
    changed: &[(std::borrow::Cow<'_, str>, Option<Json>)],
) -> Result<Json, Refusal> {
    if changed.is_empty() {
        return Ok(object.clone());
    }
    let params: Vec<Option<[Edit<'_>; 1]>> = changed
        .iter()
        .map(|(_, params)| params.as_ref().map(|json| [Edit::set("params", Raw::from(json))]))
        .collect();
    let edits: Vec<Edit<'_>> = changed
        .iter()
        .zip(&params)
        .map(|((key, _), params)| match params {
            Some(edit) => Edit::within(key, edit),
            None => Edit::remove(key),
        })
        .collect();
    let edit = [Edit::within("inputRequests", &edits)];
    splice::object(Raw::from(object), &edit).map_err(refusal::internal)
}

fn asks_and_answers() -> Refusal {
    let words = "the server asks for input and answers in the same message";
    Refusal::new(RefusalCode::ConnectorProtocol, words)
        .with_next("ask an administrator to look at the connector")
}

fn too_many() -> Refusal {
    let words = "the server asks more questions than the gateway puts to anybody";
    Refusal::new(RefusalCode::ConnectorProtocol, words)
        .with_next("ask an administrator to look at the connector")
}

fn too_long() -> Refusal {
    let words = "what plugins answered in your place is too long to be kept until you reply";
    Refusal::new(RefusalCode::PluginFailed, words)
        .with_next("ask an administrator to look at the plugins")
}

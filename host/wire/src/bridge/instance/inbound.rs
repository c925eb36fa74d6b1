//! What the child says: to whom each message goes, and what is exchanged in it.

use std::sync::Arc;

use tidegate_model::Json;

use super::{
    super::{
        rewrite::{self, Pieces},
        table::{Nature, NotPut, Said},
    },
    Instance,
};
use crate::{
    json::{Kind, Raw},
    mcp::{
        Message, code,
        envelope::{Id, Notification, Request, Response},
        method::Method,
        peek::{ErrorObject, key},
    },
};

/// The largest notification that is passed on: those who wait have a bound on their number.
const LONGEST_NOTE: usize = 1 << 20;

impl Instance {
    /// Deals with one line of the child, which is one message, or several where its revision
    /// has batches.
    pub(super) fn take(self: &Arc<Self>, text: &Json) {
        let raw = Raw::from(text);
        if raw.kind() == Kind::Array {
            return raw.elements().for_each(|element| self.take_one(&element.within(text)));
        }
        self.take_one(text);
    }

    fn take_one(self: &Arc<Self>, text: &Json) {
        match Message::parse(Raw::from(text)) {
            Ok(Message::Response(response)) => self.answer(text, &response),
            Ok(Message::Notification(note)) if text.len() <= LONGEST_NOTE => {
                self.notification(text, &note);
            }
            Ok(Message::Notification(_)) => self.count_junk(&"a notification of over 1 MiB"),
            Ok(Message::Request(request)) => self.question(text, &request),
            Err(malformed) => self.count_junk(&malformed),
        }
    }

    fn answer(&self, text: &Json, response: &Response<'_>) {
        let Some(id) = response.id else {
            return self.count_junk(&"an answer without an id");
        };
        let Some(entry) = id.number().and_then(|id| self.table().leave(id)) else {
            return tracing::debug!(connector = self.name, "nobody waits for an answer");
        };
        let error = response.outcome.err().and_then(ErrorObject::read);
        let pieces = Pieces::exchanged(text, id.as_str(), entry.id.as_str());
        let pieces = match entry.nature {
            Nature::Listen => untagged(&pieces, entry.id.as_str(), "result"),
            _ => pieces,
        };
        entry.finish(Said::Answer(pieces, error.map(|error| error.code)));
    }

    fn notification(&self, text: &Json, note: &Notification<'_>) {
        let member = |name| note.params.and_then(|params| params.get(name));
        let method = Method::parse(&note.method);
        match method {
            Some(Method::Progress) => {
                let token = member(key::PROGRESS_TOKEN);
                let Some((token, id)) = token.and_then(|it| Some((it, Id::read(it)?.number()?)))
                else {
                    return;
                };
                let table = self.table();
                if let Some(entry) = table.entry(id)
                    && let Some(own) = &entry.token
                {
                    entry.tell(Pieces::exchanged(text, token.as_str(), own.as_str()));
                }
            }
            Some(Method::Cancelled) => self.withdrawal(text, member("requestId")),
            Some(Method::LogMessage) => {
                if let Some(entry) = self.table().who_logs() {
                    entry.tell(Pieces::whole(text));
                }
            }
            _ => match note.params.and_then(subscription) {
                Some((tag, id)) => {
                    let table = self.table();
                    if let Some(entry) = table.entry(id).filter(|it| it.nature == Nature::Listen)
                        && !entry.tell(Pieces::exchanged(text, tag.as_str(), entry.id.as_str()))
                    {
                        let method = &*note.method;
                        tracing::warn!(connector = self.name, method, "a notification was lost");
                    }
                }
                None => self.announce(text, method, member("uri")),
            },
        }
    }

    /// What is told apart from any request: to every session; about a resource, to those that
    /// follow it. What is no announcement goes to the client whose call is under way.
    fn announce(&self, text: &Json, method: Option<Method>, uri: Option<Raw<'_>>) {
        let mut table = self.table();
        let uri = uri.and_then(Raw::string);
        let updated = method == Some(Method::ResourceUpdated);
        let is_announcement = matches!(
            method,
            Some(
                Method::ToolsChanged
                    | Method::PromptsChanged
                    | Method::ResourcesChanged
                    | Method::ResourceUpdated
                    | Method::TaskStatus
                    | Method::ElicitComplete
            )
        );
        if !is_announcement {
            if let Some(entry) = table.who_hears() {
                entry.tell(Pieces::whole(text));
            }
            return;
        }
        let mut is_told = false;
        for session in table.sessions() {
            is_told = true;
            let follows = uri.as_deref().is_some_and(|uri| session.subscribed.contains(uri));
            if (!updated || follows) && session.stream.try_send(Pieces::whole(text)).is_err() {
                let method = method.map(Method::name);
                tracing::debug!(connector = self.name, method, "a notification was lost");
            }
        }
        // A modern server that does not say which subscription it is for: whose call is under
        // way hears it.
        if !is_told && let Some(entry) = table.who_hears() {
            entry.tell(Pieces::whole(text));
        }
    }

    /// The child takes a question back, or ends a stream.
    fn withdrawal(&self, text: &Json, id: Option<Raw<'_>>) {
        let Some((raw, id)) = id.and_then(|raw| Some((raw, Id::read(raw)?))) else { return };
        let mut table = self.table();
        if let Some(entry) = table.withdraw(&id.into_owned()) {
            entry.tell(Pieces::whole(text));
        } else if let Some(number) = id.number()
            && table.entry(number).is_some_and(|entry| entry.nature == Nature::Listen)
            && let Some(entry) = table.leave(number)
        {
            let own = Pieces::exchanged(text, raw.as_str(), entry.id.as_str());
            // Nothing comes after it, and without an answer the stream just ends.
            entry.tell(own);
        }
    }

    fn question(&self, text: &Json, request: &Request<'_>) {
        let method = match Method::parse(&request.method) {
            Some(Method::Ping) => {
                let mut pong = Vec::new();
                crate::mcp::envelope::result(&mut pong, request.id, &Json::empty_object());
                return self.aside(pong, "pong");
            }
            Some(method @ (Method::CreateMessage | Method::ListRoots | Method::Elicit)) => method,
            _ => {
                let words = "this client does not know the method";
                return self.refuse(request.id, code::METHOD_NOT_FOUND, words);
            }
        };
        let params = request.params.unwrap_or(Raw::EMPTY_OBJECT);
        let put = {
            let mut table = self.table();
            let id = request.id.into_owned();
            let told = table
                .question(id.clone(), method, params)
                .map(|entry| entry.tell(Pieces::whole(text)));
            match told {
                Ok(true) => Ok(()),
                Ok(false) => {
                    table.withdraw(&id);
                    Err(NotPut::TooMany)
                }
                Err(why) => Err(why),
            }
        };
        if let Err(why) = put {
            let code = match why {
                NotPut::Unable(code, _) => code,
                NotPut::Twice => code::INVALID_REQUEST,
                _ => code::INTERNAL_ERROR,
            };
            tracing::debug!(connector = self.name, method = method.name(), %why, "not asked");
            self.refuse(request.id, code, &why.to_string());
        }
    }

    fn refuse(&self, id: Id<'_>, code: i64, words: &str) {
        self.aside(rewrite::refusal(id, code, words), "that a question is refused");
    }
}

/// The tag of a modern child's notification, and the listen request that it names.
fn subscription(params: Raw<'_>) -> Option<(Raw<'_>, u64)> {
    let tag = params.get("_meta")?.get(key::SUBSCRIPTION_ID)?;
    Some((tag, Id::read(tag)?.number()?))
}

/// A message whose `member`, too, names the client's id where it named ours.
fn untagged(pieces: &Pieces, own: &str, member: &str) -> Pieces {
    let text = Json::from_checked(pieces.0.concat().into());
    let tag = Raw::from(&text).get(member).and_then(subscription);
    match tag {
        Some((tag, _)) => Pieces::exchanged(&text, tag.as_str(), own),
        None => pieces.clone(),
    }
}

//! Questions of a legacy server: put to a client beside the reading, bounded, and ended with
//! the call or when the server withdraws them.

use std::sync::Arc;

use tidegate_model::Answer;
use tokio::{sync::oneshot, time::timeout};

use super::{
    ASIDE, Channel,
    table::{NotPut, Over},
};
use crate::{
    client::{
        Exchange, Notification,
        inbound::{self, Asked},
    },
    json::Raw,
    mcp::{code, method::Method, peek::CancelledParams, revision::Era},
};

impl Channel {
    /// Deals with a question: answered at once where it concerns no client or reaches none.
    pub(super) fn question(self: &Arc<Self>, asked: Asked) {
        let modern = self.info.get().is_some_and(|info| info.revision.era() == Era::Modern);
        let method = match Method::parse(&asked.method) {
            Some(method @ (Method::CreateMessage | Method::ListRoots | Method::Elicit))
                if !modern =>
            {
                method
            }
            found => {
                if modern && found != Some(Method::Ping) {
                    self.count_junk(&"a request, which modern servers do not send");
                }
                return self.refuse(&asked, &inbound::own_answer(&asked.method));
            }
        };
        let chosen = self.table().question(&asked.id, method, &asked.params);
        match chosen {
            Ok((exchange, ended)) => {
                tokio::spawn(Arc::clone(self).put(asked, method, exchange, ended));
            }
            Err(why) => {
                tracing::debug!(connector = self.start.name, asked.method, %why, "not asked");
                self.refuse(&asked, &refusal(why));
            }
        }
    }

    /// The other side does not go on: with a question of its own (legacy), or with a listen
    /// request of ours (modern).
    pub(super) fn cancelled(&self, note: &Notification, modern: bool) {
        let Ok(params) = CancelledParams::read(Some(Raw::from(&note.params))) else { return };
        let Some(id) = params.request_id else { return };
        if !modern {
            self.table().withdraw(&id.into_owned());
        } else if let Some(id) = id.number() {
            self.unlisten(id);
        }
    }

    async fn put(
        self: Arc<Self>,
        asked: Asked,
        method: Method,
        exchange: Exchange,
        ended: oneshot::Receiver<Over>,
    ) {
        let answer = tokio::select! {
            answer = exchange.ask(method, asked.params.clone()) => Some(answer),
            over = ended => match over {
                Ok(Over::Withdrawn) => None,
                _ => Some(error(code::INTERNAL_ERROR, "the call it belonged to is over")),
            },
        };
        if let Some(answer) = answer
            && !self.is_closed()
        {
            let reply = inbound::response(&asked.id, &answer);
            match timeout(ASIDE, self.send(reply)).await {
                Ok(Ok(())) => {}
                _ => tracing::debug!(connector = self.start.name, asked.method, "no reply taken"),
            }
        }
        self.table().answered(&asked.id);
    }

    fn refuse(&self, asked: &Asked, answer: &Answer) {
        self.aside(inbound::response(&asked.id, answer), &asked.method);
    }
}

fn refusal(why: NotPut) -> Answer {
    let code = match why {
        NotPut::Twice => code::INVALID_REQUEST,
        NotPut::Nobody | NotPut::Several | NotPut::TooMany | NotPut::TooManyOfCall => {
            code::INTERNAL_ERROR
        }
    };
    error(code, &why.to_string())
}

/// A JSON-RPC error as an answer. The words are constants of this module and its table, and
/// need no escape.
fn error(code: i64, words: &str) -> Answer {
    let text = format!(r#"{{"code":{code},"message":"{words}"}}"#);
    Answer::Error(tidegate_model::Json::from_checked(text.into()))
}

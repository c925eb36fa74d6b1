//! `subscriptions/listen`: what a modern client asked to be told, for as long as it listens.
//!
//! Owns the stream: the acknowledgement first, then notifications, each with the id of the
//! request, and a result where the gateway ends it. What may be told is the
//! [`Follower`]'s word.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use tidegate_governance::catalog::{PublishedVmcp, Rewrite};
use tidegate_model::{ConnectorId, Json, OrgId, ToolName, VmcpId};
use tidegate_wire::{
    json::{Kind, Raw},
    mcp::{
        Era, Id, OwnedId, code, envelope,
        method::{Method, TASK_CHANGED},
        peek::{PeekError, key},
        splice::{self, Edit},
    },
    server::{self, Accept, Rejection},
    sse,
};

use super::{admit::Admitted, modern::event};
use crate::{
    call::{
        Context,
        methods::{self, Spoken},
        refusal, tasks,
    },
    gateway::Gateway,
    notices::follower::{Follower, Told, Wanted},
    places::Place,
};

/// How long the stream may stay silent.
const QUIET: Duration = Duration::from_secs(15);
/// Most resources, and most tasks, that one stream follows.
const MOST: usize = 1_000;

/// Tasks that a client follows: connector and its own id, to the published one and the tool.
type Tasks = HashMap<(ConnectorId, Box<str>), (String, ToolName)>;

/// What a client asks to be told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    wanted: Wanted,
    /// Published ids.
    tasks: BTreeSet<String>,
}

/// Answers with the stream.
pub(super) async fn respond(
    gateway: Arc<Gateway>,
    admitted: Admitted,
    spoken: &Spoken<'_>,
    params: Option<Raw<'_>>,
    id: Id<'_>,
    accept: Accept,
) -> Result<Response<Body>, Rejection> {
    if !accept.events {
        let words = "this answer is a stream; send `Accept: application/json, text/event-stream`";
        return Err(Rejection::new(StatusCode::NOT_ACCEPTABLE, code::INVALID_REQUEST, words));
    }
    let Filter { wanted, tasks } =
        Filter::read(params).map_err(|error| Rejection::params(Era::Modern, &error))?;
    if !tasks.is_empty() && !spoken.takes_tasks() {
        return Err(methods::undeclared_tasks("`taskIds`"));
    }
    let context = &admitted.context;
    let place = gateway.listening.take(&context.caller).ok_or_else(crowded)?;
    let record = gateway.open_record(context, &admitted.vmcp, Method::Listen.name());
    record.done().await.map_err(|error| {
        let words = refusal::sentence(&refusal::audit(error));
        Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL_ERROR, words)
    })?;
    let published = admitted.published()?;
    let follower = Follower::new(&gateway, context, published, wanted);
    let mut tasks = own(&gateway, &admitted, published, tasks);
    let places = tasks.keys().cloned().collect();
    let followed = follower.follows().follow_tasks(&context.revision, published, places);
    tasks.retain(|place, _| followed.contains(place));
    follower.follows().in_force().await;
    let listening = Listening {
        // Not the context: a stream that stays would keep its revision alive.
        org: context.caller.org().clone(),
        vmcp: admitted.vmcp.clone(),
        id: id.into_owned(),
        gateway,
        follower,
        tasks,
        _place: place,
    };
    Ok(server::event_stream(listening.body()))
}

fn crowded() -> Rejection {
    let words = "you have as many listen streams open as you may; close one first";
    Rejection::new(StatusCode::TOO_MANY_REQUESTS, code::SERVER_ERROR, words)
}

/// Those of the tasks that are this person's, and whose tools they may know of.
fn own(
    gateway: &Gateway,
    admitted: &Admitted,
    vmcp: &PublishedVmcp,
    published: BTreeSet<String>,
) -> Tasks {
    let Context { revision, caller, .. } = &admitted.context;
    let open = |id: String| {
        let known = tasks::open(gateway, caller, &admitted.vmcp, &id)?;
        let tool = (&known.connector, &known.tool);
        let may_know = tasks::may_know(revision, caller, vmcp, tool);
        may_know.then_some(((known.connector, known.id), (id, known.tool)))
    };
    published.into_iter().filter_map(open).collect()
}

impl Filter {
    /// Reads the parameters; what it does not know is not asked for.
    fn read(params: Option<Raw<'_>>) -> Result<Self, PeekError> {
        let filter = params.and_then(|params| params.get("notifications"));
        let filter = filter.ok_or(PeekError::Missing("notifications"))?;
        if filter.kind() != Kind::Object {
            return Err(PeekError::Type("notifications", "an object"));
        }
        let mut read = Self::default();
        for member in filter.members() {
            let (wanted, value) = (&mut read.wanted, member.value);
            match &*member.key {
                "toolsListChanged" => wanted.tools = boolean(value, "toolsListChanged")?,
                "promptsListChanged" => wanted.prompts = boolean(value, "promptsListChanged")?,
                "resourcesListChanged" => {
                    wanted.resources = boolean(value, "resourcesListChanged")?;
                }
                "resourceSubscriptions" => wanted.uris = texts(value, "resourceSubscriptions")?,
                "taskIds" => read.tasks = texts(value, "taskIds")?,
                _ => {}
            }
        }
        Ok(read)
    }
}

fn boolean(value: Raw<'_>, name: &'static str) -> Result<bool, PeekError> {
    value.boolean().ok_or(PeekError::Type(name, "a boolean"))
}

fn texts(value: Raw<'_>, name: &'static str) -> Result<BTreeSet<String>, PeekError> {
    let wrong = || PeekError::Type(name, "an array of at most 1000 strings");
    if value.kind() != Kind::Array || value.elements().nth(MOST).is_some() {
        return Err(wrong());
    }
    let text = |one: Raw<'_>| one.string().map(std::borrow::Cow::into_owned);
    value.elements().map(text).collect::<Option<_>>().ok_or_else(wrong)
}

/// An open stream.
struct Listening {
    gateway: Arc<Gateway>,
    org: OrgId,
    vmcp: VmcpId,
    id: OwnedId,
    follower: Follower,
    tasks: Tasks,
    _place: Place,
}

impl Listening {
    /// The body, pulled by the connection. What a slow client misses it is told in one.
    fn body(self) -> Body {
        let first = event(&self.acknowledgement());
        let state = (Some(first), Some(self));
        Body::from_stream(stream::unfold(state, |(first, listening)| async move {
            if let Some(first) = first {
                return Some((Ok::<_, Infallible>(first), (None, listening)));
            }
            let mut listening = listening?;
            Some(match listening.next().await {
                Some(event) => (Ok(event), (None, Some(listening))),
                None => (Ok(event(&listening.end())), (None, None)),
            })
        }))
    }

    /// The next event; `None` when there will be no more.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let told = tokio::select! {
                biased;
                () = self.gateway.stopping.cancelled() => return None,
                told = self.follower.next() => told?,
                () = tokio::time::sleep(QUIET) => return Some(Bytes::from_static(sse::KEEP_ALIVE)),
            };
            if let Some(message) = self.message(told) {
                return Some(event(&message));
            }
        }
    }

    /// What the client will be told of, and nothing else.
    fn acknowledgement(&self) -> Vec<u8> {
        let accepted = self.follower.accepted();
        let mut filter = Map::new();
        for (name, is_told) in [
            ("toolsListChanged", accepted.tools),
            ("promptsListChanged", accepted.prompts),
            ("resourcesListChanged", accepted.resources),
        ] {
            if is_told {
                filter.insert(name.to_owned(), Value::Bool(true));
            }
        }
        let list = |texts: Vec<&String>| texts.into_iter().cloned().map(Value::from).collect();
        if !accepted.uris.is_empty() {
            let uris = Value::Array(list(accepted.uris.iter().collect()));
            filter.insert("resourceSubscriptions".to_owned(), uris);
        }
        if !self.tasks.is_empty() {
            let mut ids: Vec<&String> = self.tasks.values().map(|(id, _)| id).collect();
            ids.sort();
            filter.insert("taskIds".to_owned(), Value::Array(list(ids)));
        }
        let params = Json::of(&json!({ "notifications": filter }));
        let params = params.unwrap_or_else(|_| Json::empty_object());
        self.notification(Method::SubscriptionsAcknowledged.name(), &params)
    }

    fn message(&self, told: Told) -> Option<Vec<u8>> {
        let plain = |method: Method| Some(self.notification(method.name(), &Json::empty_object()));
        match told {
            Told::ToolsChanged => plain(Method::ToolsChanged),
            Told::PromptsChanged => plain(Method::PromptsChanged),
            Told::ResourcesChanged => plain(Method::ResourcesChanged),
            Told::ResourceUpdated(params) => {
                Some(self.notification(Method::ResourceUpdated.name(), &params))
            }
            Told::TaskStatus { connector, params } => {
                Some(self.notification(TASK_CHANGED, &self.task(connector, &params)?))
            }
        }
    }

    /// A task's new state in published terms; `None` for a task of somebody else, or of a tool
    /// that the caller may not know of any more.
    fn task(&self, connector: ConnectorId, params: &Json) -> Option<Json> {
        let own = Raw::from(params).get("taskId")?.string()?;
        let place = (connector, Box::from(own.as_ref()));
        let (published, tool) = self.tasks.get(&place)?;
        let published = Json::of(published).ok()?;
        let revision = self.gateway.revision(self.org.as_str())?;
        let vmcp = revision.snapshot.vmcp(self.vmcp.as_str())?;
        if !tasks::may_know(&revision, self.follower.caller(), vmcp, (&place.0, tool)) {
            return None;
        }
        let params = vmcp.uris.rewrite(&place.0, Rewrite::Task, params);
        let edits = [Edit::set("taskId", Raw::from_checked(published.as_str()))];
        splice::object(Raw::from(&params), &edits).ok()
    }

    /// A notification with the mark of this stream.
    fn notification(&self, method: &str, params: &Json) -> Vec<u8> {
        let mark = [Edit::set(key::SUBSCRIPTION_ID, Raw::from_checked(self.id.as_str()))];
        let edits = [Edit::within("_meta", &mark)];
        let params = splice::object(Raw::from(params), &edits);
        let params = params.unwrap_or_else(|_| Json::empty_object());
        let mut out = Vec::with_capacity(params.len() + 96);
        envelope::notification(&mut out, method, Some(Raw::from_checked(params.as_str())));
        out
    }

    /// The response that ends the stream.
    fn end(&self) -> Vec<u8> {
        let (id, name) = (self.id.as_str(), key::SUBSCRIPTION_ID);
        let text = format!(r#"{{"resultType":"complete","_meta":{{"{name}":{id}}}}}"#);
        let mut out = Vec::new();
        envelope::result(&mut out, self.id.borrow(), &Json::from_checked(text.into()));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Filter, PeekError> {
        Filter::read(Some(Raw::from(&Json::parse(text.to_owned()).unwrap())))
    }

    #[test]
    fn only_what_is_asked_for_is_wanted() {
        let filter = read(
            r#"{"notifications":{"toolsListChanged":true,"promptsListChanged":false,
                "resourceSubscriptions":["a://b","a://b"],"taskIds":["t"],"x":[1]}}"#,
        )
        .unwrap();
        let wanted =
            Wanted { tools: true, uris: BTreeSet::from(["a://b".to_owned()]), ..Wanted::default() };
        assert_eq!(filter, Filter { wanted, tasks: BTreeSet::from(["t".to_owned()]) });
        assert_eq!(read(r#"{"notifications":{}}"#).unwrap(), Filter::default());
    }

    #[test]
    fn a_filter_of_another_shape_is_refused() {
        let many = vec!["\"a://b\""; MOST + 1].join(",");
        for text in [
            "{}".to_owned(),
            r#"{"notifications":[]}"#.to_owned(),
            r#"{"notifications":{"toolsListChanged":"yes"}}"#.to_owned(),
            r#"{"notifications":{"resourceSubscriptions":"a://b"}}"#.to_owned(),
            r#"{"notifications":{"resourceSubscriptions":[1]}}"#.to_owned(),
            format!(r#"{{"notifications":{{"resourceSubscriptions":[{many}]}}}}"#),
            format!(r#"{{"notifications":{{"taskIds":[{many}]}}}}"#),
        ] {
            assert!(read(&text).is_err(), "{text}");
        }
    }
}

//! What a route is: where it is, who may use it, what it takes and what it answers.
//!
//! A route can be made by [`route!`] only, which holds its description and its handler to the
//! same types. What the routes are stands in `routes`; how one is served in `door`.

use std::pin::Pin;

use axum::extract::Query as AxumQuery;
use http::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tidegate_governance::policy::AdminAction;
use utoipa::{IntoParams, ToSchema, openapi::path::ParameterIn};

use super::{asked::Asked, failed::Failed};

/// Whom a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Whomever policies permit this.
    Action(AdminAction),
    /// Everybody, for what is theirs; the text stands in audit rows.
    Own(&'static str),
}

impl Need {
    /// What audit rows call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Action(action) => action.name(),
            Self::Own(name) => name,
        }
    }
}

/// What a route did: its answer, and a note for the audit row.
#[derive(Debug)]
pub(super) struct Done<T> {
    pub(super) answer: T,
    pub(super) note: Option<String>,
}

impl<T> Done<T> {
    /// An answer that changed nothing.
    pub(super) fn of(answer: T) -> Self {
        Self { answer, note: None }
    }

    /// An answer, and what there is to remember of it; never a secret.
    pub(super) fn noted(answer: T, note: String) -> Self {
        Self { answer, note: Some(note) }
    }
}

impl<T: Serialize> Done<T> {
    /// The same as bytes.
    pub(super) fn written(self) -> Result<Done<Vec<u8>>, Failed> {
        let answer = serde_json::to_vec(&self.answer).map_err(|error| Failed::internal(&error))?;
        Ok(Done { answer, note: self.note })
    }
}

/// A request under way.
pub(super) type Handling = Pin<Box<dyn Future<Output = Result<Done<Vec<u8>>, Failed>> + Send>>;

/// Schemas by name, as they are collected.
pub(super) type Schemas = Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>;

/// One admin route.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) need: Need,
    /// `users::list`
    pub(super) handler: &'static str,
    pub(super) summary: &'static str,
    pub(super) takes: fn(&mut Schemas) -> Value,
    pub(super) answers: fn(&mut Schemas) -> Value,
    pub(super) handle: fn(Asked) -> Handling,
}

/// What a route takes beside the parameters in its path.
pub(super) trait Taken: Sized {
    /// Reads it from a request.
    fn read(asked: &Asked) -> Result<Self, Failed>;

    /// Its members of an OpenAPI operation.
    fn describe(schemas: &mut Schemas) -> Value;
}

/// A body of JSON.
pub(super) struct Body<T>(pub(super) T);

/// Parameters in the query.
pub(super) struct Query<T>(pub(super) T);

impl Taken for () {
    fn read(_: &Asked) -> Result<Self, Failed> {
        Ok(())
    }

    fn describe(_: &mut Schemas) -> Value {
        json!({})
    }
}

impl<T: DeserializeOwned + ToSchema> Taken for Body<T> {
    fn read(asked: &Asked) -> Result<Self, Failed> {
        let mut deserializer = serde_json::Deserializer::from_slice(&asked.body);
        let read = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let (path, inner) = (error.path().to_string(), error.into_inner());
            // At the root there is no place to name.
            let place = if path == "." { String::new() } else { format!("at `{path}`: ") };
            Failed::bad_request(&format!("{place}{inner}"))
        })?;
        deserializer.end().map_err(|error| Failed::bad_request(&error.to_string()))?;
        Ok(Self(read))
    }

    fn describe(schemas: &mut Schemas) -> Value {
        let content = json!({ "application/json": { "schema": reference::<T>(schemas) } });
        json!({ "requestBody": { "required": true, "content": content } })
    }
}

impl<T: DeserializeOwned + IntoParams> Taken for Query<T> {
    fn read(asked: &Asked) -> Result<Self, Failed> {
        let AxumQuery(read) = AxumQuery::try_from_uri(&asked.uri).map_err(|error| {
            let error: &dyn std::error::Error = &error;
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            Failed::bad_request(&format!("in the query: {why}"))
        })?;
        Ok(Self(read))
    }

    fn describe(_: &mut Schemas) -> Value {
        let parameters = T::into_params(|| Some(ParameterIn::Query));
        json!({ "parameters": serde_json::to_value(parameters).unwrap_or_default() })
    }
}

/// A reference to the schema of a type, which is added to those that are needed.
pub(super) fn reference<T: ToSchema>(schemas: &mut Schemas) -> Value {
    let name = T::name();
    schemas.push((name.clone().into_owned(), T::schema()));
    T::schemas(schemas);
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// One route: method, path, need, handler with what it takes and answers, and a sentence.
macro_rules! route {
    ($method:ident $path:literal, $need:expr,
     $module:ident :: $handler:ident ($taken:ty) -> $answer:ty, $summary:literal) => {
        $crate::http::admin::route::Route {
            method: http::Method::$method,
            path: $path,
            need: $need,
            handler: concat!(stringify!($module), "_", stringify!($handler)),
            summary: $summary,
            takes: <$taken as $crate::http::admin::route::Taken>::describe,
            answers: $crate::http::admin::route::reference::<$answer>,
            handle: |asked| {
                Box::pin(async move {
                    let taken = <$taken as $crate::http::admin::route::Taken>::read(&asked)?;
                    let done: $crate::http::admin::route::Done<$answer> =
                        $module::$handler(&asked, taken).await?;
                    done.written()
                })
            },
        }
    };
}

pub(super) use route;

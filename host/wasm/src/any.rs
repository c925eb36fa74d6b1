//! Components that were not written for Tidegate: each exported function is a tool.
//!
//! Names come from the functions and their interfaces ([`names`]), schemas from their types
//! ([`shape`], [`schema`]), descriptions from the comments that the file carries ([`docs`]).
//! Values are converted both ways ([`value`], [`text`]). A function whose types have no JSON
//! is left out with a reason. Knows nothing of `tidegate:plugin`.

use std::{fmt, sync::Arc};

use wasmtime::{Result, component::InstancePre};

use crate::{
    CallContext, CallError, Description, Exports, Interface, ListKind,
    state::State,
    world::{Guest, Pending, World},
};

mod docs;
mod function;
mod misfit;
mod names;
mod number;
mod schema;
mod shape;
mod text;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use function::Functions;

/// A component whose functions are tools.
pub(crate) struct AnyComponent {
    pre: InstancePre<State>,
    functions: Arc<Functions>,
}

impl fmt::Debug for AnyComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyComponent").field(&self.functions).finish()
    }
}

impl AnyComponent {
    pub(crate) fn new(pre: InstancePre<State>, functions: &Arc<Functions>) -> Self {
        Self { pre, functions: Arc::clone(functions) }
    }
}

impl World for AnyComponent {
    fn exports(&self) -> Exports {
        [Interface::Server, Interface::Tools].into_iter().collect()
    }

    fn pre(&self) -> &InstancePre<State> {
        &self.pre
    }

    fn describe<'a>(
        &'a self,
        _guest: Guest<'a>,
        _config: &'a str,
    ) -> Pending<'a, Result<Description, String>> {
        let said =
            Description { title: "Component".into(), version: "0".into(), instructions: None };
        Box::pin(async move { Ok(Ok(said)) })
    }

    fn list<'a>(
        &'a self,
        _guest: Guest<'a>,
        _kind: ListKind,
        _config: &'a str,
    ) -> Pending<'a, Result<Vec<String>, String>> {
        let tools = self.functions.definitions();
        Box::pin(async move { Ok(Ok(tools)) })
    }

    fn call<'a>(
        &'a self,
        guest: Guest<'a>,
        call: &'a CallContext,
        _config: &'a str,
        arguments: &'a str,
    ) -> Pending<'a, Result<String, CallError>> {
        Box::pin(async move {
            let Some(function) = self.functions.get(&call.target) else {
                return Ok(Err(CallError::Unknown));
            };
            let arguments = match function.arguments(arguments) {
                Ok(arguments) => arguments,
                Err(text) => return Ok(Err(CallError::InvalidArguments(text))),
            };
            let (store, instance) = guest.open(&self.pre).await?;
            let Some(entry) = instance.get_func(&mut *store, function.index) else {
                return Ok(Err(CallError::Unknown));
            };
            let mut results = function.results();
            entry.call_async(&mut *store, &arguments, &mut results).await?;
            Ok(Ok(function.answer(&results)?))
        })
    }
}

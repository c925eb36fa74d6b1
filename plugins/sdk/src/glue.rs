//! Between the generated exports and the traits of this crate.

use std::marker::PhantomData;

use crate::{
    After, Answer, Before, CallError, Connector, Context, Customizer, Edit, Interceptor, Scope,
    bindings::{after, before, customize, tools},
    connector::Description,
};

use after::exports::tidegate::plugin::after_call as wire_after;
use before::exports::tidegate::plugin::before_call as wire_before;

/// Exports a plugin type; named by [`export!`](crate::export) only.
#[doc(hidden)]
#[derive(Debug)]
pub struct Glue<T>(PhantomData<T>);

impl<T: Interceptor> wire_before::Guest for Glue<T> {
    fn before(context: Context, config: String, arguments: String) -> wire_before::Outcome {
        let outcome = match T::configure(&config) {
            Ok(plugin) => plugin.before(&context, &arguments),
            Err(text) => Before::Refuse(text).into(),
        };
        let decision = match outcome.decision {
            Before::Proceed => wire_before::Decision::Proceed,
            Before::Replace(json) => wire_before::Decision::Replace(json),
            Before::Refuse(text) => wire_before::Decision::Refuse(text),
            Before::Answer(json) => wire_before::Decision::Answer(json),
        };
        wire_before::Outcome { decision, state: outcome.state }
    }
}

impl<T: Interceptor> wire_after::Guest for Glue<T> {
    fn after(
        context: Context,
        config: String,
        answer: wire_after::Answer,
        state: Option<Vec<u8>>,
    ) -> wire_after::Decision {
        let answer = match &answer {
            wire_after::Answer::Result(json) => Answer::Result(json),
            wire_after::Answer::Error(json) => Answer::Error(json),
        };
        let decision = match T::configure(&config) {
            Ok(plugin) => plugin.after(&context, answer, state.as_deref()),
            Err(text) => After::Refuse(text),
        };
        match decision {
            After::Proceed => wire_after::Decision::Proceed,
            After::Replace(json) => wire_after::Decision::Replace(json),
            After::Refuse(text) => wire_after::Decision::Refuse(text),
        }
    }
}

impl<T: Customizer> customize::exports::tidegate::plugin::customize::Guest for Glue<T> {
    fn edits(scope: Scope, config: String, tools: Vec<String>) -> Result<Vec<Edit>, String> {
        T::configure(&config)?.edits(&scope, &tools)
    }
}

impl<T: Connector> tools::exports::tidegate::plugin::tools::Guest for Glue<T> {
    fn describe(config: String) -> Result<Description, String> {
        T::configure(&config).map(|plugin| plugin.describe())
    }

    fn list(config: String) -> Result<Vec<String>, String> {
        T::configure(&config).map(|plugin| plugin.tools())
    }

    fn call(context: Context, config: String, arguments: String) -> Result<String, CallError> {
        T::configure(&config).map_err(CallError::Failed)?.call(&context, &arguments)
    }
}

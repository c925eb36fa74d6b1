//! Between the generated exports and the traits of this crate.

use std::marker::PhantomData;

use crate::{
    Answer, Connector, Context, Customizer, Decision, Edit, Failure, Interceptor, Outcome, Review,
    Round, Scope,
    bindings::{
        after_call, after_completion, after_prompt, after_read, before_call, before_completion,
        before_prompt, before_read, customize, on_question, prompts, resources, server, shown,
        tools,
    },
    connector::Description,
    interceptor::{ListKind, QuestionDecision, Shown},
};

/// Exports a plugin type; named by [`export!`](crate::export) only.
#[doc(hidden)]
#[derive(Debug)]
pub struct Glue<T>(PhantomData<T>);

/// Without a configuration that can be read, nothing is let through.
fn refused(text: String) -> Outcome {
    Decision::Refuse(text).into()
}

macro_rules! before {
    ($module:ident, $method:ident) => {
        impl<T: Interceptor> $module::exports::tidegate::plugin::$module::Guest for Glue<T> {
            fn before(
                context: Context,
                config: String,
                arguments: String,
                round: Round,
            ) -> Outcome {
                let plugin = T::configure(&config);
                plugin.map_or_else(refused, |it| it.$method(&context, &arguments, &round))
            }
        }
    };
}

macro_rules! after {
    ($module:ident, $method:ident) => {
        impl<T: Interceptor> $module::exports::tidegate::plugin::$module::Guest for Glue<T> {
            fn after(
                context: Context,
                config: String,
                answer: Answer,
                state: Option<Vec<u8>>,
            ) -> Review {
                let plugin = T::configure(&config);
                plugin.map_or_else(Review::Refuse, |it| {
                    it.$method(&context, &answer, state.as_deref())
                })
            }
        }
    };
}

before!(before_call, before_call);
before!(before_prompt, before_prompt);
after!(after_call, after_call);
after!(after_prompt, after_prompt);
after!(after_read, after_read);
after!(after_completion, after_completion);

impl<T: Interceptor> before_read::exports::tidegate::plugin::before_read::Guest for Glue<T> {
    fn before(context: Context, config: String, round: Round) -> Outcome {
        T::configure(&config).map_or_else(refused, |it| it.before_read(&context, &round))
    }
}

impl<T: Interceptor> before_completion::exports::tidegate::plugin::before_completion::Guest
    for Glue<T>
{
    fn before(context: Context, config: String, argument: String) -> Outcome {
        T::configure(&config).map_or_else(refused, |it| it.before_completion(&context, &argument))
    }
}

impl<T: Interceptor> shown::exports::tidegate::plugin::shown::Guest for Glue<T> {
    fn shown(context: Context, config: String, kind: ListKind, items: Vec<String>) -> Vec<Shown> {
        match T::configure(&config) {
            Ok(plugin) => plugin.shown(&context, kind, &items),
            // No verdicts for items fail the hook.
            Err(_) => Vec::new(),
        }
    }
}

impl<T: Interceptor> on_question::exports::tidegate::plugin::on_question::Guest for Glue<T> {
    fn question(context: Context, config: String, params: String) -> QuestionDecision {
        let plugin = T::configure(&config);
        plugin.map_or_else(QuestionDecision::Refuse, |it| it.on_question(&context, &params))
    }
}

impl<T: Customizer> customize::exports::tidegate::plugin::customize::Guest for Glue<T> {
    fn edits(scope: Scope, config: String, tools: Vec<String>) -> Result<Vec<Edit>, String> {
        T::configure(&config)?.edits(&scope, &tools)
    }
}

impl<T: Connector> server::exports::tidegate::plugin::server::Guest for Glue<T> {
    fn describe(config: String) -> Result<Description, String> {
        T::configure(&config).map(|plugin| plugin.describe())
    }
}

impl<T: Connector> tools::exports::tidegate::plugin::tools::Guest for Glue<T> {
    fn list(config: String) -> Result<Vec<String>, String> {
        T::configure(&config).map(|plugin| plugin.tools())
    }

    fn call(context: Context, config: String, arguments: String) -> Result<String, Failure> {
        T::configure(&config).map_err(Failure::Failed)?.call(&context, &arguments)
    }
}

impl<T: Connector> prompts::exports::tidegate::plugin::prompts::Guest for Glue<T> {
    fn list(config: String) -> Result<Vec<String>, String> {
        T::configure(&config).map(|plugin| plugin.prompts())
    }

    fn get(context: Context, config: String, arguments: String) -> Result<String, Failure> {
        T::configure(&config).map_err(Failure::Failed)?.prompt(&context, &arguments)
    }
}

impl<T: Connector> resources::exports::tidegate::plugin::resources::Guest for Glue<T> {
    fn list(config: String) -> Result<Vec<String>, String> {
        T::configure(&config).map(|plugin| plugin.resources())
    }

    fn templates(config: String) -> Result<Vec<String>, String> {
        T::configure(&config).map(|plugin| plugin.templates())
    }

    fn read(context: Context, config: String) -> Result<String, Failure> {
        T::configure(&config).map_err(Failure::Failed)?.read(&context)
    }
}

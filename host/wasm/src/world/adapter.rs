//! What all versions of the contract have in common so far: conversions and the calls
//! themselves, over the `bindings` of the module that invokes the macro.
//!
//! What differs from version to version, so far `told`, stands in the version's own module.

/// Defines `VERSION` and `Adapter` over a sibling module `bindings`.
macro_rules! adapter {
    ($version:literal) => {
        use tidegate_model::{Answer, Reply, Round};
        use wasmtime::{
            Result, Store,
            component::{Instance, InstancePre},
        };

        use super::{Guest, Pending, RawShown, RawVerdict, World, not_exported};
        use crate::{
            CallContext, CallError, Description, Event, Exports, Interface, ListKind, Scope,
            customizer::RawEdit, state::State,
        };
        use bindings::{
            exports::tidegate::plugin::{
                after_call, after_completion, after_prompt, after_read, before_call,
                before_completion, before_prompt, before_read, configuration, customize,
                on_question, prompts, resources, server, shown, tools,
            },
            tidegate::plugin as host,
        };

        /// The version in the names of this contract.
        pub(crate) const VERSION: &str = $version;

        /// A component of this version, ready to be instantiated.
        pub(crate) struct Adapter {
            pre: InstancePre<State>,
            exports: Exports,
            configuration: Option<configuration::GuestIndices>,
            before_call: Option<before_call::GuestIndices>,
            after_call: Option<after_call::GuestIndices>,
            before_prompt: Option<before_prompt::GuestIndices>,
            after_prompt: Option<after_prompt::GuestIndices>,
            before_read: Option<before_read::GuestIndices>,
            after_read: Option<after_read::GuestIndices>,
            before_completion: Option<before_completion::GuestIndices>,
            after_completion: Option<after_completion::GuestIndices>,
            shown: Option<shown::GuestIndices>,
            on_question: Option<on_question::GuestIndices>,
            customize: Option<customize::GuestIndices>,
            server: Option<server::GuestIndices>,
            tools: Option<tools::GuestIndices>,
            prompts: Option<prompts::GuestIndices>,
            resources: Option<resources::GuestIndices>,
        }

        impl std::fmt::Debug for Adapter {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Adapter").field("exports", &self.exports).finish_non_exhaustive()
            }
        }

        impl Adapter {
            pub(crate) fn new(pre: InstancePre<State>) -> Result<Self> {
                let component = pre.component();
                let has = |interface: &Interface| {
                    let name = format!("{}{interface}@{VERSION}", super::PACKAGE);
                    component.get_export_index(None, name).is_some()
                };
                let exports: Exports = Interface::ALL.into_iter().filter(has).collect();
                // An export of the right name and the wrong shape is an error, not an absence.
                macro_rules! found {
                    ($interface:ident, $module:ident) => {
                        exports
                            .has(Interface::$interface)
                            .then(|| $module::GuestIndices::new(&pre))
                            .transpose()?
                    };
                }
                Ok(Self {
                    configuration: found!(Configuration, configuration),
                    before_call: found!(BeforeCall, before_call),
                    after_call: found!(AfterCall, after_call),
                    before_prompt: found!(BeforePrompt, before_prompt),
                    after_prompt: found!(AfterPrompt, after_prompt),
                    before_read: found!(BeforeRead, before_read),
                    after_read: found!(AfterRead, after_read),
                    before_completion: found!(BeforeCompletion, before_completion),
                    after_completion: found!(AfterCompletion, after_completion),
                    shown: found!(Shown, shown),
                    on_question: found!(OnQuestion, on_question),
                    customize: found!(Customize, customize),
                    server: found!(Server, server),
                    tools: found!(Tools, tools),
                    prompts: found!(Prompts, prompts),
                    resources: found!(Resources, resources),
                    exports,
                    pre,
                })
            }

            async fn open<'a>(&self, guest: Guest<'a>) -> Result<(&'a mut Store<State>, Instance)> {
                guest.open(&self.pre).await
            }
        }

        /// Opens an instance and one of its interfaces.
        macro_rules! open {
            ($self:ident, $guest:ident, $field:ident, $interface:ident) => {{
                let indices =
                    $self.$field.as_ref().ok_or_else(|| not_exported(Interface::$interface))?;
                let (store, instance) = $self.open($guest).await?;
                let exported = indices.load(&mut *store, &instance)?;
                (store, exported)
            }};
        }

        fn groups(call: &CallContext) -> Vec<&str> {
            call.groups.iter().map(String::as_str).collect()
        }

        fn round(round: &Round) -> host::types::Round<'_> {
            host::types::Round {
                number: round.number,
                reply: round.reply.as_ref().map(|reply| match reply {
                    Reply::Accept(json) => host::types::Reply::Accept(json.as_str()),
                    Reply::Decline => host::types::Reply::Decline,
                    Reply::Cancel => host::types::Reply::Cancel,
                }),
                state: round.state.as_deref(),
            }
        }

        fn outcome(outcome: host::types::Outcome) -> (RawVerdict, Option<Vec<u8>>) {
            let verdict = match outcome.decision {
                host::types::Decision::Proceed => RawVerdict::Proceed,
                host::types::Decision::Replace(json) => RawVerdict::Replace(json),
                host::types::Decision::Refuse(text) => RawVerdict::Refuse(text),
                host::types::Decision::Answer(json) => RawVerdict::Answer(json),
                host::types::Decision::Ask(question) => {
                    RawVerdict::Ask { message: question.message, schema: question.schema }
                }
            };
            (verdict, outcome.state)
        }

        fn answer(answer: &Answer) -> host::types::Answer<'_> {
            match answer {
                Answer::Result(json) => host::types::Answer::Result(json.as_str()),
                Answer::Error(json) => host::types::Answer::Error(json.as_str()),
            }
        }

        fn review(review: host::types::Review) -> RawVerdict {
            match review {
                host::types::Review::Proceed => RawVerdict::Proceed,
                host::types::Review::Replace(json) => RawVerdict::Replace(json),
                host::types::Review::Refuse(text) => RawVerdict::Refuse(text),
            }
        }

        fn failure(failure: host::types::Failure) -> CallError {
            match failure {
                host::types::Failure::Unknown => CallError::Unknown,
                host::types::Failure::InvalidArguments(text) => CallError::InvalidArguments(text),
                host::types::Failure::Failed(text) => CallError::Failed(text),
            }
        }

        impl World for Adapter {
            fn exports(&self) -> Exports {
                self.exports
            }

            fn pre(&self) -> &InstancePre<State> {
                &self.pre
            }

            fn schema<'a>(&'a self, guest: Guest<'a>) -> Pending<'a, String> {
                Box::pin(async move {
                    let (store, it) = open!(self, guest, configuration, Configuration);
                    it.call_schema(store).await
                })
            }

            fn before<'a>(
                &'a self,
                guest: Guest<'a>,
                event: Event,
                call: &'a CallContext,
                config: &'a str,
                (arguments, reached): (&'a str, &'a Round),
            ) -> Pending<'a, (RawVerdict, Option<Vec<u8>>)> {
                Box::pin(async move {
                    let groups = groups(call);
                    let told = told(call, &groups);
                    let reached = round(reached);
                    let said = match event {
                        Event::Call => {
                            let (store, it) = open!(self, guest, before_call, BeforeCall);
                            it.call_before(store, told, config, arguments, reached).await?
                        }
                        Event::Prompt => {
                            let (store, it) = open!(self, guest, before_prompt, BeforePrompt);
                            it.call_before(store, told, config, arguments, reached).await?
                        }
                        Event::Read => {
                            let (store, it) = open!(self, guest, before_read, BeforeRead);
                            it.call_before(store, told, config, reached).await?
                        }
                        Event::Completion => {
                            let (store, it) =
                                open!(self, guest, before_completion, BeforeCompletion);
                            it.call_before(store, told, config, arguments).await?
                        }
                    };
                    Ok(outcome(said))
                })
            }

            fn after<'a>(
                &'a self,
                guest: Guest<'a>,
                event: Event,
                call: &'a CallContext,
                config: &'a str,
                (said, state): (&'a Answer, Option<&'a [u8]>),
            ) -> Pending<'a, RawVerdict> {
                Box::pin(async move {
                    let groups = groups(call);
                    let (told, said) = (told(call, &groups), answer(said));
                    macro_rules! look {
                        ($field:ident, $interface:ident) => {{
                            let (store, it) = open!(self, guest, $field, $interface);
                            it.call_after(store, told, config, said, state).await?
                        }};
                    }
                    Ok(review(match event {
                        Event::Call => look!(after_call, AfterCall),
                        Event::Prompt => look!(after_prompt, AfterPrompt),
                        Event::Read => look!(after_read, AfterRead),
                        Event::Completion => look!(after_completion, AfterCompletion),
                    }))
                })
            }

            fn shown<'a>(
                &'a self,
                guest: Guest<'a>,
                call: &'a CallContext,
                config: &'a str,
                kind: ListKind,
                items: &'a [&'a str],
            ) -> Pending<'a, Vec<RawShown>> {
                Box::pin(async move {
                    let groups = groups(call);
                    let kind = match kind {
                        ListKind::Tools => shown::Kind::Tools,
                        ListKind::Prompts => shown::Kind::Prompts,
                        ListKind::Resources => shown::Kind::Resources,
                        ListKind::Templates => shown::Kind::ResourceTemplates,
                    };
                    let (store, it) = open!(self, guest, shown, Shown);
                    let said =
                        it.call_shown(store, told(call, &groups), config, kind, items).await?;
                    let verdict = |said| match said {
                        shown::Verdict::Show => RawShown::Show,
                        shown::Verdict::Hide => RawShown::Hide,
                        shown::Verdict::Relabel(json) => RawShown::Relabel(json),
                    };
                    Ok(said.into_iter().map(verdict).collect())
                })
            }

            fn question<'a>(
                &'a self,
                guest: Guest<'a>,
                call: &'a CallContext,
                config: &'a str,
                params: &'a str,
            ) -> Pending<'a, RawVerdict> {
                Box::pin(async move {
                    let groups = groups(call);
                    let (store, it) = open!(self, guest, on_question, OnQuestion);
                    let said = it.call_question(store, told(call, &groups), config, params).await?;
                    Ok(match said {
                        on_question::Decision::Proceed => RawVerdict::Proceed,
                        on_question::Decision::Replace(json) => RawVerdict::Replace(json),
                        on_question::Decision::Refuse(text) => RawVerdict::Refuse(text),
                        on_question::Decision::Answer(json) => RawVerdict::Answer(json),
                    })
                })
            }

            fn edits<'a>(
                &'a self,
                guest: Guest<'a>,
                scope: &'a Scope,
                config: &'a str,
                tools: &'a [&'a str],
            ) -> Pending<'a, Result<Vec<RawEdit>, String>> {
                Box::pin(async move {
                    let scope = customize::Scope {
                        org: scope.org.as_str(),
                        vmcp: scope.vmcp.as_str(),
                        connector: scope.connector.as_str(),
                    };
                    let (store, it) = open!(self, guest, customize, Customize);
                    let edits = it.call_edits(store, scope, config, tools).await?;
                    Ok(edits.map(|edits| edits.into_iter().map(raw_edit).collect()))
                })
            }

            fn describe<'a>(
                &'a self,
                guest: Guest<'a>,
                config: &'a str,
            ) -> Pending<'a, Result<Description, String>> {
                Box::pin(async move {
                    let (store, it) = open!(self, guest, server, Server);
                    let said = it.call_describe(store, config).await?;
                    Ok(said.map(|said| Description {
                        title: said.title,
                        version: said.version,
                        instructions: said.instructions,
                    }))
                })
            }

            fn list<'a>(
                &'a self,
                guest: Guest<'a>,
                kind: ListKind,
                config: &'a str,
            ) -> Pending<'a, Result<Vec<String>, String>> {
                Box::pin(async move {
                    match kind {
                        ListKind::Tools => {
                            let (store, it) = open!(self, guest, tools, Tools);
                            it.call_list(store, config).await
                        }
                        ListKind::Prompts => {
                            let (store, it) = open!(self, guest, prompts, Prompts);
                            it.call_list(store, config).await
                        }
                        ListKind::Resources => {
                            let (store, it) = open!(self, guest, resources, Resources);
                            it.call_list(store, config).await
                        }
                        ListKind::Templates => {
                            let (store, it) = open!(self, guest, resources, Resources);
                            it.call_templates(store, config).await
                        }
                    }
                })
            }

            fn call<'a>(
                &'a self,
                guest: Guest<'a>,
                call: &'a CallContext,
                config: &'a str,
                arguments: &'a str,
            ) -> Pending<'a, Result<String, CallError>> {
                Box::pin(async move {
                    let groups = groups(call);
                    let (store, it) = open!(self, guest, tools, Tools);
                    let said = it.call_call(store, told(call, &groups), config, arguments).await?;
                    Ok(said.map_err(failure))
                })
            }

            fn prompt<'a>(
                &'a self,
                guest: Guest<'a>,
                call: &'a CallContext,
                config: &'a str,
                arguments: &'a str,
            ) -> Pending<'a, Result<String, CallError>> {
                Box::pin(async move {
                    let groups = groups(call);
                    let (store, it) = open!(self, guest, prompts, Prompts);
                    let said = it.call_get(store, told(call, &groups), config, arguments).await?;
                    Ok(said.map_err(failure))
                })
            }

            fn read<'a>(
                &'a self,
                guest: Guest<'a>,
                call: &'a CallContext,
                config: &'a str,
            ) -> Pending<'a, Result<String, CallError>> {
                Box::pin(async move {
                    let groups = groups(call);
                    let (store, it) = open!(self, guest, resources, Resources);
                    let said = it.call_read(store, told(call, &groups), config).await?;
                    Ok(said.map_err(failure))
                })
            }
        }

        fn raw_edit(edit: customize::Edit) -> RawEdit {
            RawEdit {
                tool: edit.tool,
                name: edit.name,
                title: edit.title,
                description: edit.description,
                hidden: edit.hidden,
                defaults: edit.defaults,
                locked: edit.locked,
                input_schema: edit.input_schema,
            }
        }
    };
}

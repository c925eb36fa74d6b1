//! The adapter of `wit/v0.1.0-draft`: bindings, capabilities and conversions.

use tidegate_model::Answer;
use wasmtime::{
    Result, Store,
    component::{HasSelf, InstancePre, Linker},
};

use super::{Pending, RawVerdict, World};
use crate::{
    CallContext, CallError, Capability, Description, Exports, Grants, Scope,
    capabilities::{call as call_capability, clock, log, random},
    customizer::RawEdit,
    state::State,
};

use bindings::{
    exports::tidegate::plugin::{
        after_call as after, before_call as before, configuration, customize, tools,
    },
    tidegate::plugin as host,
};

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
    wasmtime::component::bindgen!({
        inline: "
            package tidegate:host;
            world everything {
                import tidegate:plugin/log@0.1.0-draft;
                import tidegate:plugin/clock@0.1.0-draft;
                import tidegate:plugin/random@0.1.0-draft;
                import tidegate:plugin/call@0.1.0-draft;
                import tidegate:plugin/progress@0.1.0-draft;
                export tidegate:plugin/configuration@0.1.0-draft;
                export tidegate:plugin/before-call@0.1.0-draft;
                export tidegate:plugin/after-call@0.1.0-draft;
                export tidegate:plugin/customize@0.1.0-draft;
                export tidegate:plugin/tools@0.1.0-draft;
            }
        ",
        path: "../../wit/v0.1.0-draft",
        world: "tidegate:host/everything",
        imports: { default: trappable },
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// The version in the names of this contract.
pub(crate) const VERSION: &str = "0.1.0-draft";

/// Adds what a component may import; capabilities only as granted.
pub(crate) fn link(linker: &mut Linker<State>, grants: Grants) -> Result<()> {
    fn itself(state: &mut State) -> &mut State {
        state
    }
    host::types::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
    host::call::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
    host::progress::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
    if grants.has(Capability::Log) {
        host::log::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
    }
    if grants.has(Capability::Clock) {
        host::clock::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
    }
    if grants.has(Capability::Random) {
        host::random::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
    }
    Ok(())
}

impl host::types::Host for State {}

impl host::log::Host for State {
    fn write(&mut self, level: host::log::Level, message: String) -> Result<()> {
        self.host_call()?;
        let level = match level {
            host::log::Level::Debug => log::Level::Debug,
            host::log::Level::Info => log::Level::Info,
            host::log::Level::Warn => log::Level::Warn,
            host::log::Level::Error => log::Level::Error,
        };
        log::write(self, level, &message);
        Ok(())
    }
}

impl host::clock::Host for State {
    fn now(&mut self) -> Result<u64> {
        self.host_call()?;
        Ok(clock::now(self))
    }
}

impl host::random::Host for State {
    fn bytes(&mut self, length: u32) -> Result<Vec<u8>> {
        self.host_call()?;
        random::bytes(self, length)
    }
}

impl host::call::Host for State {
    fn cancelled(&mut self) -> Result<bool> {
        self.host_call()?;
        Ok(call_capability::cancelled(self))
    }
}

impl host::progress::Host for State {
    fn report(&mut self, progress: f64, total: Option<f64>, message: Option<String>) -> Result<()> {
        self.host_call()?;
        call_capability::progress(self, progress, total, message);
        Ok(())
    }
}

/// A component of this version, ready to be instantiated.
pub(crate) struct Adapter {
    pre: InstancePre<State>,
    configuration: Option<configuration::GuestIndices>,
    before: Option<before::GuestIndices>,
    after: Option<after::GuestIndices>,
    customize: Option<customize::GuestIndices>,
    tools: Option<tools::GuestIndices>,
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter").field("exports", &self.exports()).finish_non_exhaustive()
    }
}

impl Adapter {
    pub(crate) fn new(pre: InstancePre<State>) -> Result<Self> {
        let component = pre.component();
        let has = |interface: &str| {
            component.get_export_index(None, format!("{}{interface}@{VERSION}", super::PACKAGE))
        };
        // An export of the right name and the wrong shape is an error, not an absence.
        macro_rules! found {
            ($interface:literal, $module:ident) => {
                has($interface).map(|_| $module::GuestIndices::new(&pre)).transpose()?
            };
        }
        Ok(Self {
            configuration: found!("configuration", configuration),
            before: found!("before-call", before),
            after: found!("after-call", after),
            customize: found!("customize", customize),
            tools: found!("tools", tools),
            pre,
        })
    }
}

/// Instantiates the component and loads one of its interfaces.
macro_rules! open {
    ($self:ident, $store:ident, $interface:ident) => {{
        let indices =
            $self.$interface.as_ref().ok_or_else(|| super::not_exported(stringify!($interface)))?;
        let instance = $self.pre.instantiate_async(&mut *$store).await?;
        indices.load(&mut *$store, &instance)?
    }};
}

/// The context record borrows everything but the list of groups.
macro_rules! context {
    ($context:path, $call:ident, $groups:ident) => {{
        $context {
            call_id: &$call.id,
            org: &$call.org,
            vmcp: &$call.vmcp,
            connector: &$call.connector,
            tool: &$call.tool,
            method: $call.method,
            user: &$call.user,
            groups: &$groups,
            client: $call.client.as_deref(),
        }
    }};
}

fn groups(call: &CallContext) -> Vec<&str> {
    call.groups.iter().map(String::as_str).collect()
}

impl World for Adapter {
    fn exports(&self) -> Exports {
        Exports {
            configuration: self.configuration.is_some(),
            before_call: self.before.is_some(),
            after_call: self.after.is_some(),
            customize: self.customize.is_some(),
            tools: self.tools.is_some(),
        }
    }

    fn schema<'a>(&'a self, store: &'a mut Store<State>) -> Pending<'a, String> {
        Box::pin(async move { open!(self, store, configuration).call_schema(store).await })
    }

    fn before<'a>(
        &'a self,
        store: &'a mut Store<State>,
        call: &'a CallContext,
        config: &'a str,
        arguments: &'a str,
    ) -> Pending<'a, (RawVerdict, Option<Vec<u8>>)> {
        Box::pin(async move {
            let guest = open!(self, store, before);
            let groups = groups(call);
            let context = context!(before::Context, call, groups);
            let outcome = guest.call_before(store, context, config, arguments).await?;
            let verdict = match outcome.decision {
                before::Decision::Proceed => RawVerdict::Proceed,
                before::Decision::Replace(json) => RawVerdict::Replace(json),
                before::Decision::Refuse(text) => RawVerdict::Refuse(text),
                before::Decision::Answer(json) => RawVerdict::Answer(json),
            };
            Ok((verdict, outcome.state))
        })
    }

    fn after<'a>(
        &'a self,
        store: &'a mut Store<State>,
        call: &'a CallContext,
        config: &'a str,
        (answer, state): (&'a Answer, Option<&'a [u8]>),
    ) -> Pending<'a, RawVerdict> {
        Box::pin(async move {
            let guest = open!(self, store, after);
            let groups = groups(call);
            let context = context!(after::Context, call, groups);
            let answer = match answer {
                Answer::Result(json) => after::Answer::Result(json.as_str()),
                Answer::Error(json) => after::Answer::Error(json.as_str()),
            };
            let decision = guest.call_after(store, context, config, answer, state).await?;
            Ok(match decision {
                after::Decision::Proceed => RawVerdict::Proceed,
                after::Decision::Replace(json) => RawVerdict::Replace(json),
                after::Decision::Refuse(text) => RawVerdict::Refuse(text),
            })
        })
    }

    fn edits<'a>(
        &'a self,
        store: &'a mut Store<State>,
        scope: &'a Scope,
        config: &'a str,
        tools: &'a [&'a str],
    ) -> Pending<'a, Result<Vec<RawEdit>, String>> {
        Box::pin(async move {
            let guest = open!(self, store, customize);
            let scope = customize::Scope {
                org: scope.org.as_str(),
                vmcp: scope.vmcp.as_str(),
                connector: scope.connector.as_str(),
            };
            let edits = guest.call_edits(store, scope, config, tools).await?;
            Ok(edits.map(|edits| edits.into_iter().map(raw_edit).collect()))
        })
    }

    fn describe<'a>(
        &'a self,
        store: &'a mut Store<State>,
        config: &'a str,
    ) -> Pending<'a, Result<Description, String>> {
        Box::pin(async move {
            let said = open!(self, store, tools).call_describe(store, config).await?;
            Ok(said.map(|said| Description {
                title: said.title,
                version: said.version,
                instructions: said.instructions,
            }))
        })
    }

    fn list<'a>(
        &'a self,
        store: &'a mut Store<State>,
        config: &'a str,
    ) -> Pending<'a, Result<Vec<String>, String>> {
        Box::pin(async move { open!(self, store, tools).call_list(store, config).await })
    }

    fn call<'a>(
        &'a self,
        store: &'a mut Store<State>,
        call: &'a CallContext,
        config: &'a str,
        arguments: &'a str,
    ) -> Pending<'a, Result<String, CallError>> {
        Box::pin(async move {
            let guest = open!(self, store, tools);
            let groups = groups(call);
            let context = context!(tools::Context, call, groups);
            let result = guest.call_call(store, context, config, arguments).await?;
            Ok(result.map_err(|error| match error {
                tools::CallError::UnknownTool => CallError::UnknownTool,
                tools::CallError::InvalidArguments(text) => CallError::InvalidArguments(text),
                tools::CallError::Failed(text) => CallError::Failed(text),
            }))
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

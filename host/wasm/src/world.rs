//! One adapter per version of the contract, behind one trait.
//!
//! The version is read from the component's own export names. Nothing outside an adapter
//! mentions a generated type; nothing but this file matches on versions.

use std::{fmt, pin::Pin, sync::Arc};

use tidegate_model::{Answer, Json, Round, Verdict};
use wasmtime::{
    Result, Store,
    component::{Instance, InstancePre, Linker},
};

use crate::{
    CallContext, CallError, Description, Event, Exports, Grants, Interface, ListKind, Scope,
    any::{AnyComponent, Functions},
    customizer::RawEdit,
    state::State,
};

#[macro_use]
mod adapter;
#[macro_use]
mod imports;
pub(crate) mod v0_1;
pub(crate) mod v0_2_draft;

/// The package of the contract, in front of every name it defines.
pub(crate) const PACKAGE: &str = "tidegate:plugin/";

/// A hook under way.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Where a hook runs: a store, and the instance in it where one was made ahead.
pub(crate) struct Guest<'a> {
    pub(crate) store: &'a mut Store<State>,
    pub(crate) ready: Option<Instance>,
}

impl<'a> Guest<'a> {
    /// The instance, made now where there is none.
    pub(crate) async fn open(
        self,
        pre: &InstancePre<State>,
    ) -> Result<(&'a mut Store<State>, Instance)> {
        let Self { store, ready } = self;
        let instance = match ready {
            Some(instance) => instance,
            None => pre.instantiate_async(&mut *store).await?,
        };
        Ok((store, instance))
    }
}

/// What a version of the contract can be asked. Each method runs one fresh instance, and is
/// only called for what [`World::exports`] lists.
pub(crate) trait World: Send + Sync + fmt::Debug {
    fn exports(&self) -> Exports;

    /// What instances are made from.
    fn pre(&self) -> &InstancePre<State>;

    fn schema<'a>(&'a self, _guest: Guest<'a>) -> Pending<'a, String> {
        absent(Interface::Configuration)
    }

    fn before<'a>(
        &'a self,
        _guest: Guest<'a>,
        event: Event,
        _call: &'a CallContext,
        _config: &'a str,
        _arguments: (&'a str, &'a Round),
    ) -> Pending<'a, (RawVerdict, Option<Vec<u8>>)> {
        absent(event.before())
    }

    fn after<'a>(
        &'a self,
        _guest: Guest<'a>,
        event: Event,
        _call: &'a CallContext,
        _config: &'a str,
        _answer: (&'a Answer, Option<&'a [u8]>),
    ) -> Pending<'a, RawVerdict> {
        absent(event.after())
    }

    fn shown<'a>(
        &'a self,
        _guest: Guest<'a>,
        _call: &'a CallContext,
        _config: &'a str,
        _kind: ListKind,
        _items: &'a [&'a str],
    ) -> Pending<'a, Vec<RawShown>> {
        absent(Interface::Shown)
    }

    fn question<'a>(
        &'a self,
        _guest: Guest<'a>,
        _call: &'a CallContext,
        _config: &'a str,
        _params: &'a str,
    ) -> Pending<'a, RawVerdict> {
        absent(Interface::OnQuestion)
    }

    fn edits<'a>(
        &'a self,
        _guest: Guest<'a>,
        _scope: &'a Scope,
        _config: &'a str,
        _tools: &'a [&'a str],
    ) -> Pending<'a, Result<Vec<RawEdit>, String>> {
        absent(Interface::Customize)
    }

    fn describe<'a>(
        &'a self,
        _guest: Guest<'a>,
        _config: &'a str,
    ) -> Pending<'a, Result<Description, String>> {
        absent(Interface::Server)
    }

    fn list<'a>(
        &'a self,
        _guest: Guest<'a>,
        kind: ListKind,
        _config: &'a str,
    ) -> Pending<'a, Result<Vec<String>, String>> {
        absent(match kind {
            ListKind::Tools => Interface::Tools,
            ListKind::Prompts => Interface::Prompts,
            ListKind::Resources | ListKind::Templates => Interface::Resources,
        })
    }

    fn call<'a>(
        &'a self,
        _guest: Guest<'a>,
        _call: &'a CallContext,
        _config: &'a str,
        _arguments: &'a str,
    ) -> Pending<'a, Result<String, CallError>> {
        absent(Interface::Tools)
    }

    fn prompt<'a>(
        &'a self,
        _guest: Guest<'a>,
        _call: &'a CallContext,
        _config: &'a str,
        _arguments: &'a str,
    ) -> Pending<'a, Result<String, CallError>> {
        absent(Interface::Prompts)
    }

    fn read<'a>(
        &'a self,
        _guest: Guest<'a>,
        _call: &'a CallContext,
        _config: &'a str,
    ) -> Pending<'a, Result<String, CallError>> {
        absent(Interface::Resources)
    }
}

fn absent<'a, T: Send + 'a>(interface: Interface) -> Pending<'a, T> {
    Box::pin(async move { Err(not_exported(interface)) })
}

fn not_exported(interface: Interface) -> wasmtime::Error {
    wasmtime::Error::msg(format!("the component does not export `{interface}`"))
}

/// A [`Verdict`] whose JSON has not been checked yet.
#[derive(Debug)]
pub(crate) enum RawVerdict {
    Proceed,
    Replace(String),
    Refuse(String),
    Answer(String),
    Ask { message: String, schema: String },
}

/// What becomes of one item of a list; its JSON has not been checked yet.
#[derive(Debug)]
pub(crate) enum RawShown {
    Show,
    Hide,
    Relabel(String),
}

impl RawVerdict {
    /// Checks the JSON, if there is any.
    pub(crate) fn checked<E>(
        self,
        check: impl FnOnce(String) -> Result<Json, E>,
    ) -> Result<Verdict, E> {
        Ok(match self {
            Self::Proceed => Verdict::Proceed,
            Self::Replace(text) => Verdict::Replace(check(text)?),
            Self::Refuse(text) => Verdict::Refuse(text),
            Self::Answer(text) => Verdict::Answer(check(text)?),
            Self::Ask { message, schema } => {
                Verdict::Ask(tidegate_model::Ask { message, schema: check(schema)? })
            }
        })
    }
}

/// A version of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// `wit/v0.1.0`.
    V0_1,
    /// `wit/v0.2.0-draft`.
    V0_2Draft,
    /// None: a component that knows nothing of Tidegate.
    Any,
}

impl Version {
    /// Every version of the contract that this gateway runs, oldest first; the last one may
    /// be a draft.
    pub(crate) const ALL: [Self; 2] = [Self::V0_1, Self::V0_2Draft];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == text)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V0_1 => v0_1::VERSION,
            Self::V0_2Draft => v0_2_draft::VERSION,
            Self::Any => "none",
        }
    }

    /// Adds what a component of this version may import; capabilities only as granted.
    pub(crate) fn link(self, linker: &mut Linker<State>, grants: Grants) -> Result<()> {
        match self {
            Self::V0_1 => v0_1::link(linker, grants),
            Self::V0_2Draft => v0_2_draft::link(linker, grants),
            Self::Any => Ok(()),
        }
    }

    /// Looks the exports up once, so that no hook has to.
    pub(crate) fn adapt(
        self,
        pre: InstancePre<State>,
        functions: &Arc<Functions>,
    ) -> Result<Arc<dyn World>> {
        match self {
            Self::V0_1 => v0_1::Adapter::new(pre).map(shared),
            Self::V0_2Draft => v0_2_draft::Adapter::new(pre).map(shared),
            Self::Any => Ok(Arc::new(AnyComponent::new(pre, functions))),
        }
    }
}

fn shared(adapter: impl World + 'static) -> Arc<dyn World> {
    Arc::new(adapter)
}

//! One adapter per version of the contract, behind one trait.
//!
//! The version is read from the component's own export names. Nothing outside an adapter
//! mentions a generated type; nothing but this file matches on versions.

use std::{fmt, pin::Pin};

use tidegate_model::{Answer, Verdict};
use wasmtime::{
    Result, Store,
    component::{InstancePre, Linker},
};

use crate::{
    CallContext, CallError, Description, Exports, Grants, Scope, any::AnyComponent,
    customizer::RawEdit, state::State,
};

pub(crate) mod v0_1_draft;

pub(crate) use v0_1_draft as latest;

/// The package of the contract, in front of every name it defines.
pub(crate) const PACKAGE: &str = "tidegate:plugin/";

/// A hook under way.
pub(crate) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What a version of the contract can be asked. Each method runs one fresh instance in
/// `store`, and is only called for what [`World::exports`] lists.
pub(crate) trait World: Send + Sync + fmt::Debug {
    fn exports(&self) -> Exports;

    fn schema<'a>(&'a self, _store: &'a mut Store<State>) -> Pending<'a, String> {
        absent("configuration")
    }

    fn before<'a>(
        &'a self,
        _store: &'a mut Store<State>,
        _call: &'a CallContext,
        _config: &'a str,
        _arguments: &'a str,
    ) -> Pending<'a, (RawVerdict, Option<Vec<u8>>)> {
        absent("before-call")
    }

    fn after<'a>(
        &'a self,
        _store: &'a mut Store<State>,
        _call: &'a CallContext,
        _config: &'a str,
        _answer: (&'a Answer, Option<&'a [u8]>),
    ) -> Pending<'a, RawVerdict> {
        absent("after-call")
    }

    fn edits<'a>(
        &'a self,
        _store: &'a mut Store<State>,
        _scope: &'a Scope,
        _config: &'a str,
        _tools: &'a [&'a str],
    ) -> Pending<'a, Result<Vec<RawEdit>, String>> {
        absent("customize")
    }

    fn describe<'a>(
        &'a self,
        _store: &'a mut Store<State>,
        _config: &'a str,
    ) -> Pending<'a, Result<Description, String>> {
        absent("tools")
    }

    fn list<'a>(
        &'a self,
        _store: &'a mut Store<State>,
        _config: &'a str,
    ) -> Pending<'a, Result<Vec<String>, String>> {
        absent("tools")
    }

    fn call<'a>(
        &'a self,
        _store: &'a mut Store<State>,
        _call: &'a CallContext,
        _config: &'a str,
        _arguments: &'a str,
    ) -> Pending<'a, Result<String, CallError>> {
        absent("tools")
    }
}

fn absent<'a, T: Send + 'a>(interface: &'static str) -> Pending<'a, T> {
    Box::pin(async move { Err(not_exported(interface)) })
}

fn not_exported(interface: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("the component does not export `{interface}`"))
}

/// A [`Verdict`] whose JSON has not been checked yet.
#[derive(Debug)]
pub(crate) enum RawVerdict {
    Proceed,
    Replace(String),
    Refuse(String),
    Answer(String),
}

impl RawVerdict {
    /// Checks the JSON, if there is any.
    pub(crate) fn checked<E>(
        self,
        check: impl FnOnce(String) -> Result<tidegate_model::Json, E>,
    ) -> Result<Verdict, E> {
        Ok(match self {
            Self::Proceed => Verdict::Proceed,
            Self::Replace(text) => Verdict::Replace(check(text)?),
            Self::Refuse(text) => Verdict::Refuse(text),
            Self::Answer(text) => Verdict::Answer(check(text)?),
        })
    }
}

/// A version of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// `wit/v0.1.0-draft`.
    V0_1Draft,
    /// None: a component that knows nothing of Tidegate.
    Any,
}

impl Version {
    /// Every version of the contract that this gateway runs, oldest first.
    const ALL: [Self; 1] = [Self::V0_1Draft];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == text)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V0_1Draft => latest::VERSION,
            Self::Any => "none",
        }
    }

    /// Adds what a component of this version may import; capabilities only as granted.
    pub(crate) fn link(self, linker: &mut Linker<State>, grants: Grants) -> Result<()> {
        match self {
            Self::V0_1Draft => v0_1_draft::link(linker, grants),
            Self::Any => Ok(()),
        }
    }

    /// Looks the exports up once, so that no hook has to.
    pub(crate) fn adapt(self, pre: InstancePre<State>) -> Result<Box<dyn World>> {
        match self {
            Self::V0_1Draft => {
                v0_1_draft::Adapter::new(pre).map(|adapter| Box::new(adapter) as Box<dyn World>)
            }
            Self::Any => Ok(Box::new(AnyComponent::new(pre))),
        }
    }
}

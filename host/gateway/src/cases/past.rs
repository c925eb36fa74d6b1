//! The past on the stand: what an interceptor would have said of operations that were recorded.
//!
//! Goes through them in their order, so that what the plugin keeps and notes builds up as it
//! would have: state and facts begin empty, the clock stands where each operation stood, and
//! nothing is sent anywhere.

use std::sync::Arc;

use tidegate_model::{Answer, Clock, Json, OrgId, PluginId, Round, Timestamp, Verdict};
use tidegate_store::{EmbeddedStore, FixedKeys, Store};
use tidegate_wasm::{
    BindError, Binding, Component, Event, Failure, Grants, Interceptor, Limits, Reach,
    capabilities::{facts::Facts, http::Hosts, state::KeyValue},
};

use super::{
    doubles::{self, CaseClock, QUOTA},
    file::CredentialsGiven,
    said::Said,
    scene::{About, Scene},
    stand::Chosen,
};
use crate::{
    facts::FactBook,
    plugin_state::{Owner, PluginState},
};

/// One operation as far as it was recorded.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) at: Timestamp,
    pub(crate) event: Event,
    pub(crate) scene: Scene,
    /// Its arguments, where they are known.
    pub(crate) arguments: Option<Json>,
    /// Its answer, where it is known.
    pub(crate) answer: Option<Answer>,
}

/// What an interceptor would have said.
#[derive(Debug)]
pub(crate) struct Gone {
    /// On the way in; nothing where there is no such hook, or the arguments are not known.
    pub(crate) before: Option<Said>,
    /// On the way back.
    pub(crate) after: Option<Said>,
}

/// An interceptor that goes through the past.
#[derive(Debug)]
pub(crate) struct Past {
    clock: Arc<CaseClock>,
    component: Component,
    config: Json,
    grants: Grants,
    limits: Limits,
    reach: Reach,
    facts: FactBook,
    interceptor: Interceptor,
    bound: usize,
}

impl Past {
    /// Binds a component as somebody chose; what it imports is granted where they chose
    /// nothing.
    pub(crate) async fn new(
        clock: Arc<CaseClock>,
        component: &Component,
        chosen: &Chosen,
    ) -> anyhow::Result<Self> {
        let at = Arc::clone(&clock) as Arc<dyn Clock>;
        let keys = Arc::new(FixedKeys::new([[1; 32]]));
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::memory(keys, Arc::clone(&at))?);
        let org = OrgId::default_org();
        store.ensure_org(&org).await?;
        let owner = Owner::Plugin(PluginId::new("replayed")?);
        let state = PluginState::new(Arc::clone(&store), Arc::clone(&at));
        let space: Arc<dyn KeyValue> = state.space(&org, owner, QUOTA);
        let names = CredentialsGiven::Names(chosen.credentials.clone());
        let credentials = doubles::credentials(Some(&names), &Hosts::default());
        let reach = Reach { state: Some(space), http: None, credentials };
        let needed = || component.capabilities().iter().copied().collect();
        let limits = chosen.limits.clone().unwrap_or_default().over(Limits::INTERCEPTOR);
        let (grants, config) = (chosen.grants.unwrap_or_else(needed), chosen.config.clone());
        let config = config.unwrap_or_else(Json::empty_object);
        let limits = Limits { spares: Some(0), ..limits };
        let interceptor = bind(0, component, &config, (grants, limits, &reach))?;
        Ok(Self {
            clock,
            component: component.clone(),
            config,
            grants,
            limits,
            reach,
            facts: FactBook::new(store, at),
            interceptor,
            bound: 0,
        })
    }

    /// What it would have said of one operation.
    pub(crate) async fn go(&mut self, recorded: &Recorded) -> anyhow::Result<Gone> {
        self.clock.set(Some(recorded.at.as_millis()));
        let Scene { org, user, vmcp, .. } = &recorded.scene;
        let facts = self.facts.of(org, user, vmcp).await?;
        let about = match recorded.event {
            Event::Call => About::Tool,
            Event::Prompt => About::Prompt,
            Event::Read => About::Resource,
            Event::Completion => About::Completion,
        };
        let call = recorded.scene.of_operation(about, Some(facts as Arc<dyn Facts>))?;
        let guest = &self.interceptor;
        let mut gone = Gone { before: None, after: None };
        let mut state = None;
        if let Some(arguments) = &recorded.arguments
            && guest.has(recorded.event.before())
        {
            let said = guest.before(recorded.event, &call, arguments, &Round::default()).await;
            let said = match said {
                Ok(before) => {
                    state = before.state;
                    Said::Verdict(before.verdict)
                }
                Err(failure) => self.failed(&failure)?,
            };
            let goes_on = matches!(said, Said::Verdict(Verdict::Proceed | Verdict::Replace(_)));
            gone.before = Some(said);
            if !goes_on {
                return Ok(gone);
            }
        }
        let guest = &self.interceptor;
        if let Some(answer) = &recorded.answer
            && guest.has(recorded.event.after())
        {
            let said = guest.after(recorded.event, &call, answer, state).await;
            gone.after = Some(match said {
                Ok(verdict) => Said::Verdict(verdict),
                Err(failure) => self.failed(&failure)?,
            });
        }
        Ok(gone)
    }

    /// Many failures in a moment would open the breaker, as they would not have in days.
    fn failed(&mut self, failure: &Failure) -> anyhow::Result<Said> {
        self.bound += 1;
        let granted = (self.grants, self.limits, &self.reach);
        self.interceptor = bind(self.bound, &self.component, &self.config, granted)?;
        Ok(Said::failed(failure))
    }
}

fn bind(
    number: usize,
    component: &Component,
    config: &Json,
    (grants, limits, reach): (Grants, Limits, &Reach),
) -> Result<Interceptor, BindError> {
    let name = format!("replayed-{number}");
    let reach = reach.clone();
    Interceptor::new(&Binding { name: &name, component, config, grants, limits, reach })
}

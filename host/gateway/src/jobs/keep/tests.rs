//! When the space of a plugin goes.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_model::{Clock, PluginId};
use tidegate_store::{Batch, EmbeddedStore, FixedKeys, Store, Table};

use super::*;
use crate::{config::plugin::PluginConfig, notices::stand::Hand};

fn with(names: &[&str]) -> Resources {
    let plugin = |name: &&str| {
        let config: PluginConfig = toml::from_str("component = \"a.wasm\"").unwrap();
        (PluginId::new(name).unwrap(), config)
    };
    Resources { plugins: names.iter().map(plugin).collect(), ..Resources::default() }
}

#[tokio::test]
async fn a_space_goes_when_its_plugin_has_been_gone_for_a_while() {
    let clock = Arc::new(Hand::default());
    let keys = Arc::new(FixedKeys::new([[7; 32]]));
    let store = EmbeddedStore::memory(keys, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let state = PluginState::new(store, Arc::clone(&clock) as Arc<dyn Clock>);
    let org = OrgId::default_org();
    let owner = |name: &str| Owner::Plugin(PluginId::new(name).unwrap());
    for name in ["goes", "stays"] {
        let space = state.space(&org, owner(name), 1_000);
        space.set("k", Bytes::from_static(b"v"), None).await.unwrap();
        space.set("short", Bytes::from_static(b"v"), Some(1)).await.unwrap();
    }
    let mut gone = Gone::new();
    let mut round = async |minute: u64, names: &[&str]| {
        let now = minute * 60_000;
        clock.set(now);
        let (resources, now) = (with(names), Timestamp::from_millis(now));
        tidy(&state, &org, &resources, &mut gone, now).await.unwrap();
        state.owners(&org).await.unwrap().len()
    };
    assert_eq!(round(1, &["goes", "stays"]).await, 2);
    // Away for a moment, and back: the time begins anew.
    assert_eq!(round(2, &["stays"]).await, 2);
    assert_eq!(round(61, &["stays"]).await, 2);
    assert_eq!(round(62, &["goes", "stays"]).await, 2);
    assert_eq!(round(63, &["stays"]).await, 2);
    assert_eq!(round(122, &["stays"]).await, 2);
    assert_eq!(round(123, &["stays"]).await, 1);
    assert_eq!(round(124, &["stays"]).await, 1);
    // What was over went by itself.
    assert_eq!(state.expire(&org, owner("stays")).await, Ok(0));
    let space = state.space(&org, owner("stays"), 1_000);
    assert_eq!(space.get("k").await, Ok(Some(Bytes::from_static(b"v"))));
    assert_eq!(space.get("short").await, Ok(None));
}

#[tokio::test]
async fn what_is_broken_of_one_holds_up_nobody_else() {
    let clock = Arc::new(Hand::default());
    let keys = Arc::new(FixedKeys::new([[7; 32]]));
    let store = EmbeddedStore::memory(keys, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let state = PluginState::new(Arc::clone(&store), Arc::clone(&clock) as Arc<dyn Clock>);
    let org = OrgId::default_org();
    // It comes first, and no moment can be read from it.
    let batch = Batch::new().put(Table::PluginState, &org, b"plugin/a\0x\x01", Vec::new());
    store.commit(batch).await.unwrap();
    let owner = |name: &str| Owner::Plugin(PluginId::new(name).unwrap());
    assert!(state.expire(&org, owner("a")).await.is_err());
    let space = state.space(&org, owner("b"), 1_000);
    space.set("short", Bytes::from_static(b"v"), Some(1)).await.unwrap();
    clock.set(60_000);
    let now = Timestamp::from_millis(60_000);
    tidy(&state, &org, &with(&["a", "b"]), &mut Gone::new(), now).await.unwrap();
    assert_eq!(state.expire(&org, owner("b")).await, Ok(0));
}

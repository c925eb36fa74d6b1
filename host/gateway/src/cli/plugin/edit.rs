//! One plugin's file in the making: changed as text, so that comments and order stay.
//!
//! Owns where each setting stands in the file. Whether the result is in order is the check's
//! that comes before it is written.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use tidegate_model::PluginId;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value};

use crate::config::{
    Problem,
    plugin::{BindConfig, HeldConfig, PREVIOUS, PluginConfig, VersionConfig},
};

/// A plugin's file, with what has been changed and not yet written.
#[derive(Debug)]
pub(super) struct Edit {
    id: PluginId,
    file: PathBuf,
    document: DocumentMut,
    config: Option<PluginConfig>,
}

impl Edit {
    /// Reads the file; nothing where there is none.
    pub(super) fn read(id: &PluginId, file: &Path) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read `{}`", file.display()));
            }
        };
        let config = if text.is_empty() {
            None
        } else {
            let read = toml::from_str(&text);
            Some(read.map_err(|error| anyhow!("{}", Problem::toml(file, &text, &error)))?)
        };
        let document = text.parse().map_err(|error: toml_edit::TomlError| {
            anyhow!("`{}` cannot be read: {}", file.display(), error.message())
        })?;
        Ok(Self { id: id.clone(), file: file.to_owned(), document, config })
    }

    /// The plugin.
    pub(super) fn id(&self) -> &PluginId {
        &self.id
    }

    /// Its file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether there is no such file yet.
    pub(super) fn is_new(&self) -> bool {
        self.config.is_none()
    }

    /// The file as it was read.
    pub(super) fn config(&self) -> Option<&PluginConfig> {
        self.config.as_ref()
    }

    /// The file as it would be.
    pub(super) fn text(&self) -> String {
        self.document.to_string()
    }

    /// The version in force as it was read.
    pub(super) fn in_force(&self) -> Option<VersionConfig> {
        let config = self.config.as_ref()?;
        Some(VersionConfig {
            component: config.component.clone()?,
            digest: config.digest.clone(),
            source: config.source.clone(),
            signed_by: config.signed_by.clone(),
        })
    }

    /// The version that waits for grants, as it was read.
    pub(super) fn held(&self) -> Option<VersionConfig> {
        let held = self.config.as_ref()?.held.as_ref()?;
        Some(VersionConfig {
            component: held.component.clone(),
            digest: Some(held.digest.clone()),
            source: held.source.clone(),
            signed_by: held.signed_by.clone(),
        })
    }

    /// Every version in the file as it was read.
    pub(super) fn versions(&self) -> Vec<VersionConfig> {
        let previous = self.config.iter().flat_map(|config| config.previous.iter().cloned());
        self.in_force().into_iter().chain(self.held()).chain(previous).collect()
    }

    /// Sets a key of the file; what stands around an old value stays.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        put(self.document.as_table_mut(), key, value.into());
    }

    /// Removes a key or a table.
    pub(super) fn unset(&mut self, key: &str) {
        self.document.remove(key);
    }

    /// Sets the capabilities.
    pub(super) fn set_grants<'a>(&mut self, grants: impl IntoIterator<Item = &'a str>) {
        self.set("grants", Value::Array(grants.into_iter().collect::<Array>()));
    }

    /// Sets a value in a table of the file, whose path has dots; makes tables on the way.
    pub(super) fn set_in(&mut self, table: &str, path: &str, value: Value) -> anyhow::Result<()> {
        let keys: Vec<&str> = path.split('.').collect();
        let Some((last, way)) = keys.split_last().filter(|_| !keys.contains(&"")) else {
            return Err(anyhow!("`{path}` is no name of a setting"));
        };
        let mut item = self.document.entry(table).or_insert_with(|| Item::Table(Table::new()));
        for key in way {
            let inner = item.as_table_like_mut().ok_or_else(|| no_table(table, path))?;
            item = inner.entry(key).or_insert_with(|| Item::Value(InlineTable::new().into()));
        }
        match item {
            Item::Table(inner) => put(inner, last, value),
            other => {
                let inner = other.as_table_like_mut().ok_or_else(|| no_table(table, path))?;
                inner.insert(last, Item::Value(value));
            }
        }
        Ok(())
    }

    /// Puts a whole table in place of the one there is.
    pub(super) fn set_table(&mut self, name: &str, table: Table) {
        let position = self.document.get(name).and_then(Item::as_table).and_then(Table::position);
        let mut table = table;
        table.set_position(position);
        self.document.insert(name, Item::Table(table));
    }

    /// Puts a version in force; the one before becomes the newest of the previous ones.
    pub(super) fn put_in_force(&mut self, version: &VersionConfig) {
        let before = self.in_force();
        self.set("component", path(&version.component));
        let about = [
            ("digest", &version.digest),
            ("source", &version.source),
            ("signed_by", &version.signed_by),
        ];
        for (key, value) in about {
            match value {
                Some(text) => self.set(key, text.as_str()),
                None => self.unset(key),
            }
        }
        if let Some(before) = before {
            self.remember(before, version);
        }
        let is_held = self.held().is_some_and(|held| held.digest == version.digest);
        if is_held {
            self.unset("held");
        }
    }

    /// `before` becomes the first of the previous versions, among which `now` is no longer.
    fn remember(&mut self, before: VersionConfig, now: &VersionConfig) {
        let old = self.config.iter().flat_map(|config| config.previous.iter().cloned());
        let others =
            old.filter(|it| it.component != now.component && it.component != before.component);
        let mut tables = ArrayOfTables::new();
        for version in std::iter::once(before.clone()).chain(others).take(PREVIOUS) {
            tables.push(table(&version));
        }
        self.document.insert("previous", Item::ArrayOfTables(tables));
    }

    /// Keeps a version that asks for more than is granted.
    pub(super) fn hold(&mut self, held: &HeldConfig) {
        let mut kept = table(&VersionConfig {
            component: held.component.clone(),
            digest: Some(held.digest.clone()),
            source: held.source.clone(),
            signed_by: held.signed_by.clone(),
        });
        let needs: Array = held.needs.iter().map(String::as_str).collect();
        kept.insert("needs", Item::Value(needs.into()));
        self.set_table("held", kept);
    }

    /// Binds the plugin at a place; one where it is bound already keeps its order unless
    /// another is given.
    pub(super) fn bind(&mut self, place: &BindConfig, order: Option<i32>) {
        let known = self.places().iter().position(|known| is_same(known, place));
        let made = BindConfig { order: order.unwrap_or_default(), ..place.clone() };
        let order = order.map(|order| Value::from(i64::from(order)));
        match self
            .document
            .entry("bind")
            .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
        {
            Item::ArrayOfTables(tables) => match known.and_then(|known| tables.get_mut(known)) {
                Some(table) => order.into_iter().for_each(|order| put(table, "order", order)),
                None => {
                    let mut table = Table::new();
                    keys(&made).into_iter().for_each(|(key, value)| put(&mut table, key, value));
                    tables.push(table);
                }
            },
            Item::Value(Value::Array(array)) => {
                let known = known.and_then(|known| array.get_mut(known));
                match known.and_then(Value::as_inline_table_mut) {
                    Some(table) => order.into_iter().for_each(|order| {
                        table.insert("order", order);
                    }),
                    None => array.push(keys(&made).into_iter().collect::<InlineTable>()),
                }
            }
            // Whatever else it is was refused when the file was read.
            _ => {}
        }
    }

    /// Removes the bindings at a place; how many there were.
    pub(super) fn unbind(&mut self, fits: impl Fn(&BindConfig) -> bool) -> usize {
        let gone: Vec<usize> = self
            .places()
            .iter()
            .enumerate()
            .filter(|(_, bind)| fits(bind))
            .map(|(place, _)| place)
            .collect();
        for place in gone.iter().rev() {
            match self.document.get_mut("bind") {
                Some(Item::ArrayOfTables(tables)) => drop(tables.remove(*place)),
                Some(Item::Value(Value::Array(array))) => drop(array.remove(*place)),
                _ => {}
            }
        }
        gone.len()
    }

    fn places(&self) -> &[BindConfig] {
        self.config.as_ref().map_or(&[], |config| &config.bind)
    }
}

/// Whether both bind at the same place.
fn is_same(one: &BindConfig, other: &BindConfig) -> bool {
    (&one.vmcp, &one.connector, &one.tool) == (&other.vmcp, &other.connector, &other.tool)
}

fn keys(bind: &BindConfig) -> Vec<(&'static str, Value)> {
    let narrowed =
        [("vmcp", &bind.vmcp), ("connector", &bind.connector), ("tool", &bind.tool)].into_iter();
    let mut keys: Vec<(&str, Value)> =
        narrowed.filter_map(|(key, value)| Some((key, value.as_deref()?.into()))).collect();
    // An empty table would look like a mistake.
    if bind.order != 0 || keys.is_empty() {
        keys.push(("order", i64::from(bind.order).into()));
    }
    keys
}

fn table(version: &VersionConfig) -> Table {
    let mut table = Table::new();
    put(&mut table, "component", path(&version.component));
    let about = [
        ("digest", &version.digest),
        ("source", &version.source),
        ("signed_by", &version.signed_by),
    ];
    for (key, value) in about {
        if let Some(text) = value {
            put(&mut table, key, text.as_str().into());
        }
    }
    table
}

fn path(path: &Path) -> Value {
    path.to_string_lossy().as_ref().into()
}

/// Sets a key; spaces and comments around an old value stay.
fn put(table: &mut Table, key: &str, mut value: Value) {
    match table.get_mut(key) {
        Some(Item::Value(old)) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        _ => {
            table.insert(key, Item::Value(value));
        }
    }
}

fn no_table(table: &str, path: &str) -> anyhow::Error {
    anyhow!("`{table}.{path}` lies within a value that is no table")
}

#[cfg(test)]
mod tests;

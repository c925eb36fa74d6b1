//! Components that were not written for Tidegate: each exported function is a tool.
//!
//! Names come from the functions, schemas from their types ([`schema`]), values are converted
//! both ways ([`value`]). A function whose types have no JSON (resources, streams, futures)
//! is left out with a reason. Knows nothing of `tidegate:plugin`.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value, json};
use wasmtime::{
    Engine, Result,
    component::{
        Component as Compiled, ComponentExportIndex, InstancePre, Val,
        types::{ComponentFunc, ComponentItem, Type},
    },
};

use crate::{
    CallContext, CallError, Description, Exports, Interface, ListKind,
    state::State,
    world::{Guest, Pending, World},
};

mod schema;
mod value;

/// One exported function.
struct Function {
    index: ComponentExportIndex,
    parameters: Vec<(String, Type)>,
    result: Option<Type>,
    definition: Map<String, Value>,
}

/// A component whose functions are tools.
pub(crate) struct AnyComponent {
    pre: InstancePre<State>,
    functions: BTreeMap<String, Function>,
}

impl fmt::Debug for AnyComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.functions.keys()).finish()
    }
}

impl AnyComponent {
    pub(crate) fn new(pre: InstancePre<State>) -> Self {
        let functions = functions(pre.component());
        Self { pre, functions }
    }
}

/// Whether the component exports any function that can be a tool.
pub(crate) fn has_functions(component: &Compiled) -> bool {
    !functions(component).is_empty()
}

fn functions(component: &Compiled) -> BTreeMap<String, Function> {
    let mut found = BTreeMap::new();
    for (interface, name, index, function) in exported(component) {
        match tool(&interface, &name, index, &function) {
            Ok(tool) => {
                let short = published(&name);
                // The same name in two interfaces: the later ones are told apart by theirs.
                let name = if found.contains_key(&short) {
                    published(&format!("{interface}.{name}"))
                } else {
                    short
                };
                found.insert(name, tool);
            }
            Err(reason) => {
                tracing::warn!(interface, function = name, "the function is no tool: {reason}")
            }
        }
    }
    for (name, function) in &mut found {
        function.definition.insert("name".into(), name.as_str().into());
    }
    found
}

/// Interface (empty at the root), name, place and type of every exported function.
fn exported(component: &Compiled) -> Vec<(String, String, ComponentExportIndex, ComponentFunc)> {
    let engine: &Engine = component.engine();
    let mut found = Vec::new();
    for (name, export) in component.component_type().exports(engine) {
        let Some(outer) = component.get_export_index(None, name) else { continue };
        match export.ty {
            ComponentItem::ComponentFunc(function) => {
                found.push((String::new(), name.to_owned(), outer, function));
            }
            ComponentItem::ComponentInstance(instance) => {
                for (inner, item) in instance.exports(engine) {
                    let index = component.get_export_index(Some(&outer), inner);
                    if let (ComponentItem::ComponentFunc(function), Some(index)) = (item.ty, index)
                    {
                        found.push((name.to_owned(), inner.to_owned(), index, function));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// What may stand in a tool's name.
fn published(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .take(64)
        .collect()
}

fn tool(
    interface: &str,
    name: &str,
    index: ComponentExportIndex,
    function: &ComponentFunc,
) -> Result<Function, String> {
    if name.starts_with('[') {
        return Err("it belongs to a resource, which has no json".into());
    }
    if function.async_() {
        return Err("it is asynchronous".into());
    }
    let parameters: Vec<(String, Type)> =
        function.params().map(|(name, ty)| (name.to_owned(), ty)).collect();
    let result = function.results().next();
    let input = schema::object(parameters.iter().map(|(name, ty)| (name.as_str(), ty.clone())))?;
    let output = match &result {
        Some(Type::Result(result)) => result.ok().map(|ok| schema::of(&ok)).transpose()?,
        Some(ty) => Some(schema::of(ty)?),
        None => None,
    };
    let origin = if interface.is_empty() { String::new() } else { format!(" of `{interface}`") };
    let mut definition = Map::new();
    definition.insert("description".into(), format!("The function `{name}`{origin}.").into());
    definition.insert("inputSchema".into(), input);
    if let Some(output) = output {
        let output = json!({
            "type": "object", "properties": { "result": output }, "required": ["result"],
        });
        definition.insert("outputSchema".into(), output);
    }
    Ok(Function { index, parameters, result, definition })
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
        let definitions = self.functions.values().map(|function| &function.definition);
        let tools = definitions.map(serde_json::to_string).collect::<Result<_, _>>();
        Box::pin(async move { Ok(tools.map_err(|error| error.to_string())) })
    }

    fn call<'a>(
        &'a self,
        guest: Guest<'a>,
        call: &'a CallContext,
        _config: &'a str,
        arguments: &'a str,
    ) -> Pending<'a, Result<String, CallError>> {
        Box::pin(async move {
            let Some(function) = self.functions.get(&*call.target) else {
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
            let mut results = vec![Val::Bool(false); usize::from(function.result.is_some())];
            entry.call_async(&mut *store, &arguments, &mut results).await?;
            Ok(Ok(answer(results.first())))
        })
    }
}

impl Function {
    fn arguments(&self, text: &str) -> Result<Vec<Val>, String> {
        let given: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Value::Object(mut given) = given else {
            return Err("the arguments are no object".into());
        };
        let mut values = Vec::with_capacity(self.parameters.len());
        for (name, ty) in &self.parameters {
            let value = given.remove(name).unwrap_or_default();
            values.push(value::to_val(&value, ty).map_err(|error| format!("`{name}`{error}"))?);
        }
        match given.keys().next() {
            Some(name) => Err(format!("there is no argument `{name}`")),
            None => Ok(values),
        }
    }
}

/// A `CallToolResult`; the error of a `result` is one that the model should see.
fn answer(result: Option<&Val>) -> String {
    let (value, is_error) = match result {
        None | Some(Val::Result(Ok(None))) => {
            return json!({ "content": [{ "type": "text", "text": "done" }] }).to_string();
        }
        Some(Val::Result(Ok(Some(value)))) => (value::to_json(value), false),
        Some(Val::Result(Err(value))) => {
            (value.as_deref().map_or(Value::Null, value::to_json), true)
        }
        Some(value) => (value::to_json(value), false),
    };
    let text = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let content = json!([{ "type": "text", "text": text }]);
    if is_error {
        json!({ "content": content, "isError": true }).to_string()
    } else {
        json!({ "content": content, "structuredContent": { "result": value } }).to_string()
    }
}

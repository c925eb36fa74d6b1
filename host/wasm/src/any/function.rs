//! The functions of a component as tools: which there are, what is said of each, and what one
//! call takes and gives.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};
use tidegate_wire::json::{Raw, write_string};
use wasmtime::component::{
    Component as Compiled, ComponentExportIndex, Val,
    types::{ComponentFunc, ComponentItem},
};

use super::{
    docs::Docs,
    names,
    schema::{self, Way},
    shape::{Reader, Resources, Shape},
    text::{self, NotOfShape},
    value,
};

/// What a function costs besides its types when all of a component are counted.
const COST: usize = 1 << 10;

/// One exported function.
pub(super) struct Function {
    pub(super) index: ComponentExportIndex,
    parameters: Vec<(String, Shape)>,
    result: Option<Shape>,
    definition: String,
}

/// The functions of a component: those that are tools, by the tool's name, and the others.
#[derive(Default)]
pub(crate) struct Functions {
    tools: BTreeMap<String, Function>,
    refused: Vec<(String, String)>,
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.tools.keys()).finish()
    }
}

/// One export, as the engine sees it.
struct Export {
    path: names::Path,
    index: ComponentExportIndex,
    function: ComponentFunc,
}

impl Functions {
    /// Reads a component's exports; `file` is the file that it was compiled from.
    pub(crate) fn read(component: &Compiled, file: &[u8]) -> Self {
        let (exports, resources) = exported(component);
        let docs = Docs::read(file);
        let mut reader = Reader::new(&resources);
        let mut accepted = Vec::new();
        let mut refused = Vec::new();
        for export in exports {
            match signature(&mut reader, &export.path.1, &export.function) {
                Ok(signature) => accepted.push((export, signature)),
                Err(reason) => refused.push((full_name(&export.path), reason)),
            }
        }
        let paths: Vec<_> = accepted.iter().map(|(export, _)| export.path.clone()).collect();
        let mut tools = BTreeMap::new();
        for (name, (export, (parameters, result))) in names::of(&paths).into_iter().zip(accepted) {
            if tools.contains_key(&name) {
                let reason = format!("another function is the tool `{name}` already");
                refused.push((full_name(&export.path), reason));
                continue;
            }
            let said = Said { name: &name, path: &export.path, docs: &docs };
            let definition = said.definition(&parameters, result.as_ref());
            let index = export.index;
            tools.insert(name, Function { index, parameters, result, definition });
        }
        Self { tools, refused }
    }

    /// The function that is the tool of this name.
    pub(super) fn get(&self, tool: &str) -> Option<&Function> {
        self.tools.get(tool)
    }

    /// Every MCP `Tool` object, by name.
    pub(super) fn definitions(&self) -> Vec<String> {
        self.tools.values().map(|function| function.definition.clone()).collect()
    }

    /// Whether there is no tool.
    pub(crate) fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// The functions that are no tools, each with the reason.
    pub(crate) fn refused(&self) -> &[(String, String)] {
        &self.refused
    }
}

fn full_name((interface, name): &names::Path) -> String {
    if interface.is_empty() { name.clone() } else { format!("{interface}#{name}") }
}

/// Every exported function, and the resource types that their types may name.
fn exported(component: &Compiled) -> (Vec<Export>, Resources) {
    let engine = component.engine();
    let ty = component.component_type();
    let mut exports = Vec::new();
    let mut resources = Resources::default();
    for (_, import) in ty.imports(engine) {
        if let ComponentItem::ComponentInstance(instance) = import.ty {
            for (name, item) in instance.exports(engine) {
                if let ComponentItem::Resource(resource) = item.ty {
                    resources.add(resource, name);
                }
            }
        }
    }
    for (name, export) in ty.exports(engine) {
        let Some(outer) = component.get_export_index(None, name) else { continue };
        match export.ty {
            ComponentItem::ComponentFunc(function) => {
                let path = (String::new(), name.to_owned());
                exports.push(Export { path, index: outer, function });
            }
            ComponentItem::Resource(resource) => resources.add(resource, name),
            ComponentItem::ComponentInstance(instance) => {
                for (inner, item) in instance.exports(engine) {
                    let index = component.get_export_index(Some(&outer), inner);
                    match (item.ty, index) {
                        (ComponentItem::ComponentFunc(function), Some(index)) => {
                            let path = (name.to_owned(), inner.to_owned());
                            exports.push(Export { path, index, function });
                        }
                        (ComponentItem::Resource(resource), _) => resources.add(resource, inner),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    (exports, resources)
}

type Signature = (Vec<(String, Shape)>, Option<Shape>);

/// What a function takes and gives, or why it cannot be a tool.
fn signature(
    reader: &mut Reader<'_>,
    name: &str,
    function: &ComponentFunc,
) -> Result<Signature, String> {
    reader.function(COST + name.len() * 2)?;
    // `[method]book.title`, `[constructor]book` and the like.
    if let Some((_, of)) = name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let resource = of.split_once('.').map_or(of, |(resource, _)| resource);
        return Err(format!("it belongs to the resource `{resource}`, which has no json"));
    }
    if function.async_() {
        return Err("it is asynchronous; only plain functions can be called".into());
    }
    let parameters = reader.members(function.params())?;
    let result = function.results().next().map(|ty| reader.shape(&ty)).transpose()?;
    Ok((parameters, result))
}

/// What is known of a function besides its types.
struct Said<'a> {
    name: &'a str,
    path: &'a names::Path,
    docs: &'a Docs,
}

impl Said<'_> {
    fn definition(&self, parameters: &[(String, Shape)], result: Option<&Shape>) -> String {
        let (interface, function) = self.path;
        let description = self.docs.of(interface, function).unwrap_or_else(|| {
            let origin =
                if interface.is_empty() { String::new() } else { format!(" of `{interface}`") };
            format!("The function `{function}`{origin}.")
        });
        let mut definition = json!({
            "name": self.name,
            "description": description,
            "inputSchema": schema::object(parameters, Way::In),
        });
        if let Value::Object(members) = &mut definition {
            if !interface.is_empty() {
                let title = format!("{}: {function}", names::short(interface));
                members.insert("title".into(), title.into());
            }
            if let Some(result) = given(result) {
                let result = json!({
                    "type": "object", "properties": { "result": schema::of(result, Way::Out) },
                    "required": ["result"],
                });
                members.insert("outputSchema".into(), result);
            }
        }
        definition.to_string()
    }
}

/// What a call gives when it succeeds: a `result` is the answer itself, not a part of it.
fn given(result: Option<&Shape>) -> Option<&Shape> {
    match result {
        Some(Shape::Result(ok, _)) => ok.as_deref(),
        other => other,
    }
}

impl Function {
    /// The arguments of a call, or what is wrong with them and where.
    pub(super) fn arguments(&self, json: &str) -> Result<Vec<Val>, String> {
        value::arguments(Raw::from_checked(json), &self.parameters)
            .map_err(|misfit| misfit.to_string())
    }

    /// Room for what the function returns.
    pub(super) fn results(&self) -> Vec<Val> {
        vec![Val::Bool(false); usize::from(self.result.is_some())]
    }

    /// The `CallToolResult` of what it returned; the error of a `result` is for the model.
    pub(super) fn answer(&self, results: &[Val]) -> Result<String, NotOfShape> {
        let (value, shape, failed) = match (results.first(), &self.result) {
            (None, None) => (None, None, false),
            (Some(Val::Result(Ok(value))), Some(Shape::Result(shape, _))) => {
                (value.as_deref(), shape.as_deref(), false)
            }
            (Some(Val::Result(Err(value))), Some(Shape::Result(_, shape))) => {
                (value.as_deref(), shape.as_deref(), true)
            }
            (Some(value), Some(shape)) => (Some(value), Some(shape), false),
            _ => return Err(NotOfShape),
        };
        let mut json = Vec::new();
        match (value, shape) {
            (Some(value), Some(shape)) => text::write(&mut json, value, shape)?,
            (None, None) => {}
            _ => return Err(NotOfShape),
        }
        let json = String::from_utf8(json).map_err(|_| NotOfShape)?;
        let shown = match value {
            Some(Val::String(text)) => text,
            Some(_) => &json,
            None if failed => "the function failed without saying why",
            None => "done",
        };
        let mut out = br#"{"content":[{"type":"text","text":"#.to_vec();
        write_string(&mut out, shown);
        out.extend(b"}]");
        if failed {
            out.extend(br#","isError":true"#);
        } else if value.is_some() {
            out.extend(br#","structuredContent":{"result":"#);
            out.extend(json.bytes());
            out.push(b'}');
        }
        out.push(b'}');
        String::from_utf8(out).map_err(|_| NotOfShape)
    }
}

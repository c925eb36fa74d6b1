//! A component that has been read: what it is, what it offers, what it needs.
//!
//! Knows nothing of bindings; a component is read once and bound many times.

use std::{collections::BTreeSet, fmt, sync::Arc};

use bytes::Bytes;
use jsonschema::Validator;
use tidegate_model::Json;
use wasmtime::component::{Component as Compiled, InstancePre, Linker};

use crate::{
    Capability, Exports, Failure, Grants, Interface, Limits, Reach,
    any::Functions,
    breaker::Breaker,
    cache::hex,
    capabilities::{http, wasi},
    compile::Made,
    counters::Said,
    engine,
    hook::{Prepared, run},
    nesting, output,
    recipe::Recipe,
    sandbox::Shared,
    state::State,
    world::{self, Version},
};

/// Why a file could not be used as a component.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A core module, or no WebAssembly at all.
    #[error(
        "the file is no webassembly component{hint}; build it with `wasm-component-ld` or `wit-component`"
    )]
    NotAComponent {
        /// What it looks like.
        hint: &'static str,
    },
    /// The engine cannot compile it.
    #[error("the component could not be compiled: {0}")]
    Invalid(String),
    /// It exports nothing that could be called.
    #[error(
        "the component exports neither an interface of `tidegate:plugin` (an event such as \
         `before-call`, `customize`, or `tools`, `prompts`, `resources`) nor a function that \
         could be a tool"
    )]
    NothingExported,
    /// It exports functions, but none that could be a tool.
    #[error("none of the component's functions can be a tool: `{function}`: {reason}{more}")]
    NoTool {
        /// The first of them.
        function: String,
        /// Why it cannot.
        reason: String,
        /// How many others there are.
        more: String,
    },
    /// It was made for a version of the contract that this gateway does not know.
    #[error(
        "the component was built for version `{version}` of `tidegate:plugin`; this gateway runs \
         {known}: rebuild the component or update the gateway", known = known_versions()
    )]
    UnknownVersion {
        /// The version in its names.
        version: String,
    },
    /// It exports something of the contract that is not in its version.
    #[error(
        "the component exports `{export}`, which version `{version}` of the contract does not \
         have; correct the name, or build all of it for one version"
    )]
    UnknownExport {
        /// The export's name.
        export: String,
        /// The version that it was built for, by its other exports.
        version: &'static str,
    },
    /// It imports what does not exist here.
    #[error(
        "the component imports `{import}`, which this gateway does not offer; remove the import, or \
         use what the contract in `wit/` names"
    )]
    UnknownImport {
        /// The import's name.
        import: String,
    },
    /// An import or export has a known name and another shape.
    #[error("the component does not fit the contract of its version: {0}")]
    Mismatch(String),
    /// It could not be asked for its schema.
    #[error("the component could not be asked for its configuration schema")]
    Schema(#[source] Failure),
    /// What it calls its schema is none.
    #[error("the component's configuration schema is invalid: {0}")]
    BadSchema(String),
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// A configuration does not fit the component's schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("configuration{}: {problem}", field(.path))]
pub struct ConfigError {
    /// JSON pointer to the field; empty for the whole.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

fn known_versions() -> String {
    let names = Version::ALL.map(|version| format!("`{}`", version.name()));
    names.join(" and ")
}

fn field(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" field `{path}`") }
}

struct Loaded {
    shared: Arc<Shared>,
    compiled: Compiled,
    hash: [u8; 32],
    size: usize,
    from_cache: bool,
    version: Version,
    exports: Exports,
    capabilities: BTreeSet<Capability>,
    needs_wasi: bool,
    schema: Option<(Json, Validator)>,
    /// What a component that knows nothing of the contract offers; empty for others.
    functions: Arc<Functions>,
}

/// A component, ready to be bound. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    loaded: Arc<Loaded>,
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("hash", &self.hash_text())
            .field("exports", &self.loaded.exports)
            .finish_non_exhaustive()
    }
}

impl Component {
    pub(crate) async fn load(
        shared: Arc<Shared>,
        name: Option<String>,
        bytes: Bytes,
    ) -> Result<Self, LoadError> {
        let compile = move || compile(shared, name.as_deref(), &bytes);
        let compiling = tokio::task::spawn_blocking(compile);
        let mut loaded = compiling.await.map_err(|_| LoadError::Stopping)??;
        if loaded.exports.has(Interface::Configuration) {
            loaded.schema = Some(schema(&loaded).await?);
        }
        Ok(Self { loaded: Arc::new(loaded) })
    }

    /// SHA-256 of the file.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.loaded.hash
    }

    /// The same as text: `sha256:` and 64 hexadecimal digits.
    pub fn hash_text(&self) -> String {
        format!("sha256:{}", hex(&self.loaded.hash))
    }

    /// Bytes of the file.
    pub fn size(&self) -> usize {
        self.loaded.size
    }

    /// Version of the contract it was built for; `none` for a component that knows nothing of
    /// it and is a connector by its functions.
    pub fn version(&self) -> &'static str {
        self.loaded.version.name()
    }

    /// What it offers.
    pub fn exports(&self) -> Exports {
        self.loaded.exports
    }

    /// Functions that it exports and that are no tools, each with the reason: what is called
    /// `interface#function`, and why it is left out. Empty for a component built for the
    /// contract, whose functions are never tools.
    pub fn refused(&self) -> &[(String, String)] {
        self.loaded.functions.refused()
    }

    /// The capabilities it imports, each of which has to be granted.
    pub fn capabilities(&self) -> &BTreeSet<Capability> {
        &self.loaded.capabilities
    }

    /// The JSON Schema of its configuration, where it has one.
    pub fn config_schema(&self) -> Option<&Json> {
        self.loaded.schema.as_ref().map(|(text, _)| text)
    }

    /// Whether it was taken from the compile cache.
    pub fn from_cache(&self) -> bool {
        self.loaded.from_cache
    }

    /// Checks a configuration; the error names the first field that does not fit.
    pub fn check_config(&self, config: &Json) -> Result<(), ConfigError> {
        let whole = |problem: String| ConfigError { path: String::new(), problem };
        let value: serde_json::Value =
            config.read().map_err(|error| whole(format!("no valid json: {error}")))?;
        match &self.loaded.schema {
            Some((_, validator)) => validator.validate(&value).map_err(|error| ConfigError {
                path: error.instance_path().to_string(),
                problem: error.to_string(),
            }),
            None if value.as_object().is_some_and(serde_json::Map::is_empty) => Ok(()),
            None => Err(whole("the component takes none; use `{}`".into())),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.loaded.shared
    }

    /// Places in the pool that one instance takes.
    pub(crate) fn places(&self) -> u32 {
        places(&self.loaded.compiled)
    }

    pub(crate) fn adapt(&self, grants: Grants) -> Result<Arc<dyn world::World>, LoadError> {
        let pre = link(&self.loaded, grants).map_err(|error| mismatch(&error))?;
        let functions = &self.loaded.functions;
        self.loaded.version.adapt(pre, functions).map_err(|error| mismatch(&error))
    }
}

fn mismatch(error: &wasmtime::Error) -> LoadError {
    LoadError::Mismatch(format!("{error:#}"))
}

fn link(loaded: &Loaded, grants: Grants) -> wasmtime::Result<InstancePre<State>> {
    let mut linker = Linker::new(&loaded.shared.engine);
    loaded.version.link(&mut linker, grants)?;
    if loaded.needs_wasi {
        wasi::link(&mut linker)?;
    }
    if loaded.capabilities.contains(&Capability::Http) && grants.has(Capability::Http) {
        http::link(&mut linker)?;
    }
    linker.instantiate_pre(&loaded.compiled)
}

/// Everything about loading that takes the processor and no waiting.
fn compile(shared: Arc<Shared>, name: Option<&str>, bytes: &[u8]) -> Result<Loaded, LoadError> {
    check_header(bytes)?;
    if nesting::is_too_deep(bytes) {
        let most = nesting::DEEPEST;
        return Err(LoadError::Invalid(format!("components lie more than {most} deep in it")));
    }
    let Made { compiled, hash, from_cache } =
        shared.compiler.code(&shared.engine, shared.cache.as_ref(), (name, bytes))?;
    let version = version(&shared, &compiled)?;
    let functions = functions(version, &compiled, bytes)?;
    let (capabilities, needs_wasi) = imports(&shared, &compiled, version)?;
    let mut loaded = Loaded {
        shared,
        compiled,
        hash,
        size: bytes.len(),
        from_cache,
        version,
        exports: Exports::default(),
        capabilities,
        needs_wasi,
        schema: None,
        functions: Arc::new(functions),
    };
    // A trial with everything granted tells whether all shapes fit, before anybody binds it.
    let pre = link(&loaded, Grants::all()).map_err(|error| mismatch(&error))?;
    loaded.exports =
        version.adapt(pre, &loaded.functions).map_err(|error| mismatch(&error))?.exports();
    let exports = loaded.exports;
    if !(exports.is_interceptor() || exports.is_customizer() || exports.is_connector()) {
        return Err(LoadError::NothingExported);
    }
    Ok(loaded)
}

/// The fifth byte tells a component (layer 1) from a core module (layer 0).
fn check_header(bytes: &[u8]) -> Result<(), LoadError> {
    let Some(rest) = bytes.strip_prefix(b"\0asm") else {
        return Err(LoadError::NotAComponent { hint: "" });
    };
    match rest {
        [_, _, 1, 0, ..] => Ok(()),
        [1, 0, 0, 0, ..] => Err(LoadError::NotAComponent { hint: " but a core module" }),
        _ => Err(LoadError::NotAComponent { hint: " of a known format" }),
    }
}

/// The one version of the contract whose interfaces it exports. A guard that is never called
/// for want of a letter in its name would guard nothing, so every name must be known.
fn version(shared: &Shared, compiled: &Compiled) -> Result<Version, LoadError> {
    let mut found = Version::Any;
    let kind = compiled.component_type();
    let exports = kind.exports(&shared.engine);
    let ours = exports.filter_map(|(name, _)| Some((name, name.strip_prefix(world::PACKAGE)?)));
    for (name, rest) in ours {
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        if found == Version::Any {
            found = Version::parse(version)
                .ok_or_else(|| LoadError::UnknownVersion { version: version.to_owned() })?;
        }
        // A composed component may pass the types on; there is nothing in them to call.
        let is_known =
            interface == "types" || Interface::ALL.iter().any(|it| it.name() == interface);
        if !is_known || version != found.name() {
            let export = name.to_owned();
            return Err(LoadError::UnknownExport { export, version: found.name() });
        }
    }
    Ok(found)
}

/// What a component offers that exports nothing of the contract.
fn functions(version: Version, compiled: &Compiled, file: &[u8]) -> Result<Functions, LoadError> {
    if version != Version::Any {
        return Ok(Functions::default());
    }
    let functions = Functions::read(compiled, file);
    if !functions.is_empty() {
        return Ok(functions);
    }
    let Some(((function, reason), rest)) = functions.refused().split_first() else {
        return Err(LoadError::NothingExported);
    };
    let more = match rest.len() {
        0 => String::new(),
        more => format!(" (and {more} more, for reasons of their own)"),
    };
    Err(LoadError::NoTool { function: function.clone(), reason: reason.clone(), more })
}

/// The capabilities among the imports, and whether any is WASI's.
fn imports(
    shared: &Shared,
    compiled: &Compiled,
    version: Version,
) -> Result<(BTreeSet<Capability>, bool), LoadError> {
    const FREE: [&str; 3] = ["types", "call", "progress"];
    let mut capabilities = BTreeSet::new();
    let mut needs_wasi = false;
    for (name, _) in compiled.component_type().imports(&shared.engine) {
        let ours = name
            .strip_prefix(world::PACKAGE)
            .and_then(|rest| rest.split_once('@'))
            .filter(|(_, of)| *of == version.name())
            .map(|(interface, _)| interface);
        match ours {
            Some(interface) if FREE.contains(&interface) => {}
            Some(interface) if let Ok(capability) = interface.parse() => {
                capabilities.insert(capability);
            }
            None if wasi::PACKAGES.iter().any(|package| name.starts_with(package)) => {
                needs_wasi = true;
            }
            None if http::PACKAGES.iter().any(|interface| name.starts_with(interface)) => {
                capabilities.insert(Capability::Http);
                needs_wasi = true;
            }
            _ => return Err(LoadError::UnknownImport { import: name.to_owned() }),
        }
    }
    Ok((capabilities, needs_wasi))
}

/// Places that one instance takes, by its memories: of them the pool has few.
fn places(compiled: &Compiled) -> u32 {
    let memories = compiled.resources_required().map(|needs| needs.num_memories);
    engine::places(memories)
}

/// Asks the component, with every capability linked but none granted: a schema is constant.
async fn schema(loaded: &Loaded) -> Result<(Json, Validator), LoadError> {
    let pre = link(loaded, Grants::all()).map_err(|error| mismatch(&error))?;
    let world = loaded.version.adapt(pre, &loaded.functions).map_err(|error| mismatch(&error))?;
    let limits = Limits { spares: Some(0), ..Limits::CUSTOMIZER };
    let granted = (Grants::NONE, Reach::default());
    let recipe = Recipe::new("schema", limits, granted, (&loaded.shared, places(&loaded.compiled)));
    // Asked once, so nothing could open this breaker.
    let breaker = Arc::new(Breaker::new(&recipe.voice.plugin));
    let prepared = Prepared::new(world, Json::empty_object(), recipe, breaker);
    let text = ask(&prepared).await.map_err(LoadError::Schema)?;
    let bad = |problem: String| LoadError::BadSchema(problem);
    let value: serde_json::Value = text.read().map_err(|error| bad(error.to_string()))?;
    let validator = jsonschema::validator_for(&value).map_err(|error| bad(error.to_string()))?;
    Ok((text, validator))
}

async fn ask(prepared: &Prepared) -> Result<Json, Failure> {
    run!(prepared, None, None, schema(), |text| {
        Ok((Said::Done, output::json(prepared, text, output::Shape::Any)?))
    })
}

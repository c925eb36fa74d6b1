//! `tidegate plugin componentize`: a core module becomes a component.
//!
//! What a compiler for `wasm32-unknown-unknown` makes is a core module that carries the types
//! of its world with it. That is all a component needs, so that no other tool has to be
//! installed. Whether the gateway takes the component is said by `inspect`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use wit_component::ComponentEncoder;

use crate::cli::say;

/// How every module and every component begins.
const MAGIC: &[u8] = b"\0asm";
/// Version and layer of a core module.
const CORE: &[u8] = &[1, 0, 0, 0];

#[derive(Debug, Args)]
pub(in crate::cli) struct Componentize {
    /// The core module, as the compiler made it.
    module: PathBuf,
    /// The component to write.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Reads the module, writes the component and says how large it is.
pub(in crate::cli) fn run(command: &Componentize) -> anyhow::Result<ExitCode> {
    let module = &command.module;
    let bytes =
        fs::read(module).with_context(|| format!("could not read `{}`", module.display()))?;
    let component = encode(module, &bytes)?;
    fs::write(&command.output, &component)
        .with_context(|| format!("could not write `{}`", command.output.display()))?;
    say(&format!("{}: {} KiB", command.output.display(), component.len().div_ceil(1024)));
    Ok(ExitCode::SUCCESS)
}

fn encode(module: &Path, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let shown = module.display();
    match bytes.strip_prefix(MAGIC) {
        Some(rest) if rest.starts_with(CORE) => {}
        Some(_) => {
            bail!("`{shown}` is no core module; if it is a component, nothing is left to do")
        }
        None => bail!("`{shown}` is no WebAssembly; name the module that the compiler made"),
    }
    let mut encoder = ComponentEncoder::default()
        .validate(true)
        .module(bytes)
        .with_context(|| format!("could not read the world that `{shown}` was built for"))?;
    encoder.encode().with_context(|| {
        format!(
            "could not make a component of `{shown}`: build it with its world, for \
             wasm32-unknown-unknown (for wasm32-wasip2 the compiler makes a component by itself)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_core_module_is_refused_by_name() {
        let component = b"\0asm\x0d\0\x01\0";
        for (bytes, word) in [
            (&b""[..], "is no WebAssembly"),
            (b"#!/bin/sh", "is no WebAssembly"),
            (b"\0asm", "is no core module"),
            (component, "if it is a component, nothing is left to do"),
            (b"\0asm\x01\0\0\0\xff", "could not read the world"),
        ] {
            let said = encode(Path::new("x.wasm"), bytes).unwrap_err().to_string();
            assert!(said.contains("`x.wasm`") && said.contains(word), "{bytes:?}: {said}");
        }
    }

    #[test]
    fn a_module_without_a_world_becomes_an_empty_component() {
        let component = encode(Path::new("x.wasm"), b"\0asm\x01\0\0\0").unwrap();
        assert!(component.starts_with(b"\0asm\x0d\0\x01\0"), "{component:?}");
    }
}

//! Writes modules that no compiler would make: `smith COUNT FOLDER`.
//!
//! Each is valid, imports nothing and exports `run`, a function without parameters that
//! returns a number; what it does is up to chance. The same number makes the same modules.
//! Knows nothing of what becomes of them.

use std::{error::Error, fs, path::Path};

use arbitrary::Unstructured;
use wasm_smith::{Config, Module};

/// Bytes of chance for one module.
const CHANCE: usize = 4_096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, folder] = arguments.as_slice() else {
        return Err("usage: smith COUNT FOLDER".into());
    };
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;
    let (count, mut made, mut seed) = (count.parse::<usize>()?, 0, 1);
    while made < count {
        let bytes = chance(seed);
        seed += 1;
        // Chance that runs out makes no module; the next seed does.
        if let Ok(module) = module(&bytes, seed % 2 == 0) {
            fs::write(folder.join(format!("{made:06}.wasm")), module)?;
            made += 1;
        }
    }
    Ok(())
}

/// Every other module is kept small enough to be loaded, so that it also runs.
fn module(chance: &[u8], small: bool) -> Result<Vec<u8>, Box<dyn Error>> {
    let wide = Config {
        exports: Some(wat::parse_str(
            r#"(module (func (export "run") (result i32) unreachable))"#,
        )?),
        max_imports: 0,
        ..Config::default()
    };
    let config = if small { narrow(wide) } else { wide };
    let module = Module::new(config, &mut Unstructured::new(chance))?;
    Ok(module.to_bytes())
}

/// Without what the gateway's engine has switched off or has no room for.
fn narrow(wide: Config) -> Config {
    Config {
        max_memories: 1,
        max_memory32_bytes: 8 << 20,
        max_tables: 1,
        max_table_elements: 1_000,
        memory64_enabled: false,
        threads_enabled: false,
        shared_everything_threads_enabled: false,
        gc_enabled: false,
        // References to the host's objects count as garbage that is collected.
        reference_types_enabled: false,
        exceptions_enabled: false,
        relaxed_simd_enabled: false,
        wide_arithmetic_enabled: false,
        custom_page_sizes_enabled: false,
        ..wide
    }
}

/// The same bytes for the same seed (xorshift).
fn chance(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(CHANCE);
    while bytes.len() < CHANCE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

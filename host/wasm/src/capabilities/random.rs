//! Random bytes from the machine's generator.

use wasmtime::Result;

use crate::state::{State, Stop};

/// Most bytes of one request.
pub(crate) const MOST: u32 = 64 << 10;

pub(crate) fn bytes(state: &mut State, length: u32) -> Result<Vec<u8>> {
    if length > MOST {
        let text = format!("asked for {length} random bytes, at most {MOST} are given at once");
        return Err(state.halt(Stop::BadHostCall(text)));
    }
    let mut bytes = vec![0; usize::try_from(length)?];
    getrandom::fill(&mut bytes).map_err(|error| wasmtime::Error::msg(error.to_string()))?;
    Ok(bytes)
}

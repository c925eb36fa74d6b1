//! Any bytes as input for the body of the same name in `tests/corpus/`.

#![no_main]

#[path = "../../tests/corpus/message.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));

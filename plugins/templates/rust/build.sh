#!/bin/sh
# Makes plugin-name.wasm. Needs cargo with the target wasm32-unknown-unknown, and `tidegate`.
set -eu
cd "$(dirname "$0")"
target="${CARGO_TARGET_DIR:-target}"
cargo build --release --target wasm32-unknown-unknown
tidegate plugin componentize "$target/wasm32-unknown-unknown/release/plugin_name.wasm" \
  --output plugin-name.wasm

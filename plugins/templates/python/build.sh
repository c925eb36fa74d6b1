#!/bin/sh
# Makes plugin-name.wasm out of src/app.py, with exactly the exports of wit/world.wit. The first
# run sets up .venv with what requirements.txt pins.
set -eu
cd "$(dirname "$0")"
if [ ! -x .venv/bin/componentize-py ]; then
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
fi
.venv/bin/componentize-py -d wit -w plugin componentize app -p src -o plugin-name.wasm

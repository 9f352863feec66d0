#!/usr/bin/env bash
# Pretrains the demo's GPT-2 on the public texts with Ghostwriter's own non-private mode and writes
# testdata/demo/pretrained. Needs `make build`; takes about three minutes on two cores. By hand, not part of `make golden`.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
bin/ghostwriter train --model testdata/demo/init --task lm --train testdata/demo/public.jsonl --out "$out/run" \
  --no-privacy --seed 1 --expected-batch 32 --epochs 30 --lr 2e-3 --schedule linear
mkdir -p testdata/demo/pretrained
cp "$out/run/model.onnx" "$out/run/config.json" "$out/run/tokenizer.json" testdata/demo/pretrained/

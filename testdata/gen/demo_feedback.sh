#!/usr/bin/env bash
# Makes the demo's small classifier from nothing, with Ghostwriter's own tools: a BERT with random weights, trained without privacy
# on invented letters; writes testdata/demo/feedback. Needs `make build` and a Python; under a minute on two cores. By hand.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
python3 testdata/gen/demo_feedback.py "$out"
bin/ghostwriter convert new --config "$out/config.json" --seed 1 -o "$out/init"
cp "$out/vocab.txt" "$out/init/"
bin/ghostwriter train --model "$out/init" --task classify --train "$out/train.jsonl" --out "$out/run" \
  --no-privacy --seed 1 --expected-batch 64 --epochs 20 --lr 3e-3 --schedule linear
rm -rf testdata/demo/feedback && mkdir -p testdata/demo/feedback
cp "$out/run/model.onnx" "$out/run/config.json" "$out/vocab.txt" testdata/demo/feedback/

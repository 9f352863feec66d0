#!/usr/bin/env bash
# Regenerates everything under testdata that a script here makes, and checks it.
#   PYTHON_TS   a Python with requirements-ts.txt    (TorchScript exports)
#   PYTHON_DYN  a Python with requirements-dyn.txt   (all else)
# GOLDEN_ONLY=check only checks what is there.
set -euo pipefail
cd "$(dirname "$0")"
: "${PYTHON_DYN:?set PYTHON_DYN to a Python with testdata/gen/requirements-dyn.txt installed}"
export TRANSFORMERS_VERBOSITY=error TRANSFORMERS_OFFLINE=1 HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1

if [[ "${GOLDEN_ONLY:-}" != check ]]; then
  : "${PYTHON_TS:?set PYTHON_TS to a Python with testdata/gen/requirements-ts.txt installed}"
  "$PYTHON_TS" export_ts.py
  "$PYTHON_DYN" export_dynamo.py
  "$PYTHON_DYN" export_optimum.py
  "$PYTHON_DYN" names.py
  "$PYTHON_DYN" goldens.py
  "$PYTHON_DYN" optimizer.py
  "$PYTHON_DYN" demo_text.py
  "$PYTHON_DYN" demo_tokenizer.py
  "$PYTHON_DYN" demo_export.py
fi
"$PYTHON_DYN" check.py

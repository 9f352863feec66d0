#!/bin/sh
# Makes the checkpoints of this folder again, with the Python named by PYTHON_DYN (make golden).
# Requirements stand at the head of each script.
set -e
cd "$(dirname "$0")"
if [ -z "$PYTHON_DYN" ]; then
	echo "PYTHON_DYN names no Python: skipped"
	exit 0
fi
for script in *.py; do
	"$PYTHON_DYN" "$script"
done

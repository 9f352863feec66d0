"""Writes the demo's texts: public.jsonl, private-train.csv and private-test.csv. Always the same: the seed is fixed.

public.jsonl holds one {"text"} a line: plain sentences, or a table and its sentence laid out as table-to-text
training lays them out, with the special token between and after them.
"""

import csv
import json
import random

import demo_private
import demo_public
from store import ROOT

DEMO = ROOT / "demo"
PUBLIC_BYTES = 390_000
TRAIN_ROWS, TEST_ROWS = 4500, 300
BOS = "<|endoftext|>"


def public(rng):
    """Lines until PUBLIC_BYTES is reached, seven in ten with a table."""
    size = 0
    while size < PUBLIC_BYTES:
        if rng.random() < 0.7:
            source, sentence = demo_public.pair(rng)
            text = f" {source} {BOS} {sentence} {BOS}"
        else:
            text = f"{demo_public.plain(rng)} {BOS}"
        line = json.dumps({"text": text})
        size += len(line) + 1
        yield line


def main():
    DEMO.mkdir(exist_ok=True)
    lines = list(public(random.Random(1)))
    (DEMO / "public.jsonl").write_text("\n".join(lines) + "\n")
    rng, rows = random.Random(2), {}
    while len(rows) < TRAIN_ROWS + TEST_ROWS:
        mr, ref = demo_private.record(rng)
        rows.setdefault(mr, ref)
    rows = list(rows.items())
    for file, part in (("private-train.csv", rows[:TRAIN_ROWS]), ("private-test.csv", rows[TRAIN_ROWS:])):
        with open(DEMO / file, "w", newline="") as f:
            csv.writer(f, lineterminator="\n").writerows([("mr", "ref"), *part])
        print(f"{file}: {len(part)} rows, {(DEMO / file).stat().st_size} bytes")
    print(f"public.jsonl: {len(lines)} lines, {(DEMO / 'public.jsonl').stat().st_size} bytes")


if __name__ == "__main__":
    main()

"""Trains every text model of the matrix for two private steps with the command itself, as a user would, and checks what it
wrote: `matrix_train.py BINARY [PATTERN ...]`. Exits 1 if a run fails, if onnx.checker or onnxruntime refuse a written model
whose export they accept, or if anything but weights and the line about privacy changed.
"""

import fnmatch
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from matrix_export import EXPORTERS
from matrix_store import cases
from matrix_written import compare

_SPECIALS = ("<pad>", "<s>", "</s>", "<unk>", "<mask>")
_WORDS = ("Ġterrible", "Ġgreat")  # the label words of infilling


def tokenizer():
    """Byte-level BPE of small letters and the label words: 46 tokens, fewer than any model of the matrix has."""
    tokens, merges = [*_SPECIALS, "Ġ", *"abcdefghijklmnopqrstuvwxyz"], []
    for word in _WORDS:
        for end in range(2, len(word) + 1):
            merges.append((word[: end - 1], word[end - 1]))
            tokens.append(word[:end])
    out = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges, unk_token="<unk>"))
    out.pre_tokenizer, out.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    out.add_special_tokens(list(_SPECIALS))
    ids = {s: tokens.index(s) for s in _SPECIALS}
    out.post_processor = processors.RobertaProcessing(("</s>", ids["</s>"]), ("<s>", ids["<s>"]), add_prefix_space=False)
    return out


def rows(loss):
    """(task, file name, text) of some private data for a loss."""
    words = ["a fine film", "a dull film", "all is well", "so it goes", "we left early"]
    if loss == "masked-lm":
        return "sst2", "train.tsv", "sentence\tlabel\n" + "".join(f"{words[i % 5]}\t{i % 2}\n" for i in range(40))
    row = {"causal-lm": lambda i: {"text": words[i % 5]}, "classify": lambda i: {"text": words[i % 5], "label": i % 3},
           "seq2seq": lambda i: {"prompt": words[i % 5], "completion": words[i % 3]}}[loss]
    task = {"causal-lm": "lm", "classify": "classify", "seq2seq": "instruct"}[loss]
    return task, "train.jsonl", "".join(json.dumps(row(i)) + "\n" for i in range(40))


def train(binary, model, loss, place, *more):
    """What a run says against a model; "" if it wrote place/out."""
    folder = place / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model.read_bytes())
    tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "pad_token": "<pad>", "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "unk_token": "<unk>",
        "mask_token": "<mask>"}))
    (folder / "config.json").write_text(json.dumps({"decoder_start_token_id": 2, "max_position_embeddings": 64}))
    task, name, text = rows(loss)
    (place / name).write_text(text)
    run = subprocess.run(
        [binary, "train", "--model", folder, "--task", task, "--train", place / name, "--out", place / "out", "--target-epsilon", "8",
         "--steps", "2", "--expected-batch", "8", "--microbatch", "8", "--max-length", "24", "--lr", "1e-3", "--threads", "1", "--json", *more],
        capture_output=True, text=True)
    if run.returncode == 3:
        raise Refused(run.stderr.strip().splitlines()[-1])
    return run.stderr.strip().splitlines()[-1] if run.returncode else ""


class Refused(Exception):
    """The command said that it can't train the model, and why."""


def check(binary, folder, case):
    """What is wrong with one model."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        more = ["--freeze", "kind:quantised"] if EXPORTERS[case["exporter"]].quantised else []
        failed = train(binary, folder / "model.onnx", case["loss"], place, *more)
        if failed:
            return failed
        new = onnx.load(str(place / "out" / "model.onnx"))
        for entry in [p for p in new.metadata_props if p.key == "ghostwriter.privacy"]:
            new.metadata_props.remove(entry)
        return "; ".join(compare(onnx.load(str(folder / "model.onnx")), new)[0])


def main(binary, *patterns):
    count, failures, refused = 0, 0, 0
    for folder, case in cases():
        text = "batch" in case and "input_ids" in case["batch"]["inputs"]
        if not text or case.get("forward") or patterns and not any(fnmatch.fnmatch(folder.name, p) for p in patterns):
            continue
        try:
            wrong = check(binary, folder, case)
        except Refused as why:
            refused += 1
            print(f"{folder.name}: refused: {why}", flush=True)
            continue
        count, failures = count + 1, failures + bool(wrong)
        if wrong:
            print(f"{folder.name}: {wrong}", flush=True)
    print(f"{count} models trained by the command, {failures} wrong, {refused} refused")
    sys.exit(1 if failures or not count else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])

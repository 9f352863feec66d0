#!/usr/bin/env python3
"""Compares ghostwriter's tokenizers with the reference library on many lines; says how many differ, and exits with 1 if any.

    pip install tokenizers==0.22.2 transformers==4.57.3 sentencepiece==0.2.1 protobuf
    python compare.py --ghostwriter BIN --data DATA [--lines 100000] [--detail N] [--only NAME ...]

BIN is the built command. DATA is a folder with e2e/trainset.csv, dart/dart-v1.1.1-full-dev.json, sst2/*.tsv and tokenizers/
(gpt2, roberta, bert). Compared are the ids and offsets of every line, the ids without special tokens, pairs, and the decoded
text of the line's ids and of random ids, with and without special tokens.
"""

import argparse
import csv
import glob
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertTokenizerFast, DistilBertTokenizerFast, T5TokenizerFast

import kinds

NASTY = [
    " ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\n\n", "\u00a0", "\u2028", "\u2029", "\u3000", "\u0085", "\u1680", "\u200b", "\u200d", "\ufeff", "\u00ad",
    "\u0301", "e\u0301", "\u0327\u0301", "\u0344", "ﬁ", "ﬃ", "½", "²", "Ⅷ", "㎏", "ｆｕｌｌ", "Å", "İ", "ı", "ß", "ẞ", "Σ", "ς", "ſ", "'ſ", "K", "ŉ",
    "👩‍👩‍👧‍👦", "👍🏽", "🇫🇷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "中文", "日本語", "한국어", "각", "각", "ᄒ", "ᅡᆫ", "مرحبا", "हिन्दी", "ไทย", "שלום", "\ud7ff", "\ue000", "\ufffd", "\U0010ffff", "\U0001f600",
    "'s", "'S", "'Re", "'ll", "''", "don't", "I'M", "n't", " 's", "1234567", "3.14", "٣٤", "①", "$", "€5", "--", "...", "!!!", "?!", "___", "``", "''", "a b", "▁", "▁▁", "Ġ", "Ċ", "<0x41>", "##", "</w>", "@@",
    "<|endoftext|>", "<s>", "</s>", "<mask>", " <mask> ", "<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "<|begin_of_text|>", "<|eot_id|>", "<|im_start|>", "<tool_call>", "<extra_id_0>", "<extra_id_3>",
    "<|startoftext|>", "<sep>", "city", "City", "restaurant", "ANGSTRÖM", "Ångström", "<tool>",
]


def random_line(rng, words):
    def piece():
        k = rng.random()
        if k < 0.35:
            return rng.choice(NASTY)
        if k < 0.6:
            return rng.choice(words)
        if k < 0.7:
            return chr(rng.randrange(0x20, 0x250))
        if k < 0.8:
            return chr(rng.choice([rng.randrange(0x300, 0x370), rng.randrange(0x900, 0xD80), rng.randrange(0x1100, 0x1200), rng.randrange(0x2000, 0x2100), rng.randrange(0x3040, 0x3100), rng.randrange(0xAC00, 0xD7A4)]))
        c = rng.randrange(0x110000) if k < 0.9 else rng.randrange(0x3000)
        return chr(c) if not 0xD800 <= c < 0xE000 else "x"
    joiner = rng.choice(["", " ", ""])
    return joiner.join(piece() for _ in range(rng.randrange(1, 16)))


def read_lines(data, count, seed=1):
    out = {"e2e": [], "dart": [], "sst2": []}
    with open(os.path.join(data, "e2e/trainset.csv")) as f:
        for row in csv.DictReader(f):
            out["e2e"] += [row["mr"], row["ref"]]
    with open(os.path.join(data, "dart/dart-v1.1.1-full-dev.json")) as f:
        for row in json.load(f):
            out["dart"] += [" | ".join(" : ".join(t) for t in row["tripleset"])] + [a["text"] for a in row["annotations"]]
    for name in sorted(glob.glob(os.path.join(data, "sst2/*.tsv"))):
        with open(name) as f:
            out["sst2"] += [line.rstrip("\n") for line in f]
    rng = random.Random(seed)
    corpus = rng.sample(out["e2e"], 3000) + rng.sample(out["dart"], 3000) + out["sst2"][:3000]
    words = sorted({w for line in corpus for w in line.split()})
    lines = []
    for rows in out.values():
        lines += rng.sample(rows, min(len(rows), count // 5))
    lines += [random_line(rng, words) for _ in range(count - len(lines))]
    rng.shuffle(lines)
    return corpus, lines


def verb(binary, path, rows, *flags):
    text = "".join(json.dumps(r) + "\n" for r in rows)
    run = subprocess.run([binary, "tokenize", "--tokenizer", path, *flags], input=text.encode(), stdout=subprocess.PIPE, check=True)
    out = [json.loads(line) for line in run.stdout.split(b"\n") if line]
    assert len(out) == len(rows), (len(out), len(rows))
    return out


class Report:
    def __init__(self, name):
        self.name, self.counts, self.shown = name, {}, 0

    def check(self, what, given, want, got):
        n, bad = self.counts.get(what, (0, 0))
        self.counts[what] = (n + 1, bad + (want != got))
        if want != got and self.shown < 5:
            self.shown += 1
            print(f"  {self.name}: {what} of {ascii(given)[:300]}\n    want {ascii(want)[:600]}\n    got  {ascii(got)[:600]}")

    def bad(self):
        return sum(bad for _, bad in self.counts.values())


def compare(name, tok, decode, path, binary, lines, detail):
    r = Report(name)
    tok.no_truncation(), tok.no_padding()
    full = tok.encode_batch(lines)
    for line, want, got in zip(lines, full, verb(binary, path, lines, "--json-lines")):
        r.check("ids", line, want.ids, got["ids"])
    lines, full = lines[:detail], full[:detail]
    for line, want, got in zip(lines, full, verb(binary, path, lines, "--json-lines", "--offsets")):
        r.check("ids with offsets", line, want.ids, got["ids"])
        r.check("offsets", line, [list(o) for o in want.offsets], got.get("offsets", []))
    some = lines[: len(lines) // 4]
    plain = tok.encode_batch(some, add_special_tokens=False)
    for line, want, got in zip(some, plain, verb(binary, path, some, "--json-lines", "--no-special-tokens")):
        r.check("ids without special tokens", line, want.ids, got["ids"])
    pairs = list(zip(some[::2], some[1::2]))
    for pair, want, got in zip(pairs, tok.encode_batch(pairs), verb(binary, path, pairs, "--pair", "--offsets")):
        r.check("pair", pair, [want.ids, want.type_ids, [list(o) for o in want.offsets]], [got["ids"], got.get("token_type_ids", []), got.get("offsets", [])])
    rng = random.Random(2)
    size = max(tok.get_vocab().values()) + 1
    # At least one id, for some of the reference's decoders panic without tokens.
    rows = [e.ids or [0] for e in full] + [[rng.randrange(size) for _ in range(rng.randrange(1, 12))] for _ in range(len(lines) // 10)]
    for skip in (False, True):
        want = [decoded(decode, ids, skip) for ids in rows]
        for ids, w, got in zip(rows, want, verb(binary, path, rows, "--decode", *(["--skip-special-tokens"] if skip else []))):
            if w is not None:
                r.check("decoded" + (" without special tokens" if skip else ""), ids, w, got["text"])
    return r


def decoded(decode, ids, skip):
    try:
        return decode(ids, skip_special_tokens=skip)
    except BaseException as e:  # a panic of the reference
        if isinstance(e, KeyboardInterrupt):
            raise
        return None


def published(data, folder):
    """The tokenizers whose vocabularies are in DATA: (name, reference, path)."""
    t = os.path.join(data, "tokenizers")
    for name in ("gpt2", "roberta"):
        path = os.path.join(t, name, "tokenizer.json")
        yield name, lambda path=path: Tokenizer.from_file(path), path
    for name, vocab, lower in (("bert-uncased", "bert-base-uncased-vocab.txt", True), ("bert-cased", "bert-cased-vocab.txt", False)):
        path = os.path.join(t, "bert", vocab)
        yield name, lambda path=path, lower=lower: BertTokenizerFast(path, do_lower_case=lower)._tokenizer, path
    path = os.path.join(folder, "distilbert")
    DistilBertTokenizerFast(os.path.join(t, "bert", "bert-base-uncased-vocab.txt")).save_pretrained(path)
    yield "distilbert", lambda: DistilBertTokenizerFast.from_pretrained(path), path


def directories(corpus, size, folder):
    """Directories as transformers' AutoTokenizer reads them, and a SentencePiece model alone."""

    def put(name, config, **files):
        d = os.path.join(folder, "dir-" + name)
        os.makedirs(d)
        with open(os.path.join(d, "tokenizer_config.json"), "w") as f:
            json.dump(config, f)
        for file, content in files.items():
            with open(os.path.join(d, file.replace("__", ".")), "wb") as f:
                f.write(content)
        return "dir-" + name, lambda: AutoTokenizer.from_pretrained(d), d

    t5 = kinds.sentencepiece_model(corpus, size, **kinds.T5_OPTIONS)
    llama = kinds.sentencepiece_model(corpus, size, **kinds.LLAMA_OPTIONS)
    path = os.path.join(folder, "spiece.model")
    with open(path, "wb") as f:
        f.write(t5)
    yield "spiece.model", lambda: T5TokenizerFast(path, add_prefix_space=True), path
    yield put("t5", {"tokenizer_class": "T5Tokenizer", "extra_ids": 7, "clean_up_tokenization_spaces": True}, spiece__model=t5)
    yield put("t5-new", {"tokenizer_class": "T5Tokenizer", "legacy": False}, spiece__model=t5)
    yield put("xlmr", {"tokenizer_class": "XLMRobertaTokenizer"}, sentencepiece__bpe__model=t5)
    yield put("llama", {"tokenizer_class": "LlamaTokenizer"}, tokenizer__model=llama)
    yield put("llama-new", {"tokenizer_class": "LlamaTokenizer", "legacy": False, "add_eos_token": True}, tokenizer__model=llama)
    yield put("llama-plain", {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False, "add_prefix_space": False}, tokenizer__model=llama)

    def bpe_files(make):
        with tempfile.TemporaryDirectory() as d:
            make(corpus, size).model.save(d)
            return {n.replace(".", "__"): open(os.path.join(d, n), "rb").read() for n in ("vocab.json", "merges.txt")}

    def opt(corpus, size):
        return kinds.train_bpe(corpus, size, ["</s>"], kinds.pre_tokenizers.ByteLevel(add_prefix_space=False))

    qwen = bpe_files(kinds.qwen2)
    added = {str(size + i): {"content": c, "special": i < 3, "normalized": False} for i, c in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>"])}
    yield put("qwen2", {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": added, "eos_token": "<|im_end|>"}, **qwen)
    yield put("clip", {"tokenizer_class": "CLIPTokenizer"}, **bpe_files(kinds.clip))
    yield put("gpt2", {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "bos_token": "</s>", "add_prefix_space": True}, **bpe_files(opt))
    file = lambda make: make(corpus, size).to_str().encode()
    yield put("byte-first", {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": True}, tokenizer__json=file(kinds.byte_first))
    prefixed = json.loads(file(kinds.byte_first))
    prefixed["pre_tokenizer"] = prefixed["pre_tokenizer"]["pretokenizers"][0]
    yield put("prefix", {"tokenizer_class": "PreTrainedTokenizerFast"}, tokenizer__json=json.dumps(prefixed).encode())
    yield put("llama3", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>", "clean_up_tokenization_spaces": True, "pad_token": "<pad>"}, tokenizer__json=file(kinds.llama3))
    yield put("llama2", {"tokenizer_class": "LlamaTokenizerFast", "add_eos_token": True, "additional_special_tokens": ["<tool>"]}, tokenizer__json=file(kinds.llama2))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--ghostwriter", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--lines", type=int, default=100000)
    p.add_argument("--detail", type=int, help="lines of which more than the ids is compared (default: all)")
    p.add_argument("--vocab", type=int, default=3000)
    p.add_argument("--only", nargs="*")
    a = p.parse_args()
    corpus, lines = read_lines(a.data, a.lines)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        jobs = list(published(a.data, folder))
        for kind in kinds.KINDS:
            jobs.append((kind.__name__, lambda kind=kind: kind(corpus, a.vocab), os.path.join(folder, kind.__name__ + ".json")))
        jobs += directories(corpus, a.vocab, folder)
        for name, make, path in jobs:
            if a.only and name not in a.only:
                continue
            tok = make()
            if not os.path.exists(path):
                tok.save(path)
                tok = Tokenizer.from_file(path)
            # Of a directory, transformers' tokenizer is the reference, whose decode may clean up.
            r = compare(name, getattr(tok, "_tokenizer", tok), tok.decode, path, a.ghostwriter, lines, a.detail or len(lines))
            bad += r.bad()
            print(name + ":", ", ".join(f"{what} {n - b}/{n}" for what, (n, b) in r.counts.items()), "equal" if r.bad() == 0 else "DIFFERENT", flush=True)
    print(f"{len(lines)} lines, {bad} differences (Python's Unicode {unicodedata.unidata_version})")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()

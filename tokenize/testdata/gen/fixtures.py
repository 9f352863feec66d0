#!/usr/bin/env python3
"""Writes ../kinds: small tokenizers of every kind of kinds.py, directories, and what the reference makes of tricky texts.

    pip install tokenizers==0.22.2 transformers==4.57.3 sentencepiece==0.2.1 protobuf && python fixtures.py

Everything is trained on the sentences of ../generate.py. SentencePiece's own character map is large, so these models
have one of a few rules. The trainers break ties by hash: a new run may give other tokenizers, with their own results.
"""

import ast
import json
import os
import pathlib
import shutil
import tempfile

from tokenizers import Tokenizer
from transformers import AutoTokenizer

import kinds

HERE = pathlib.Path(__file__).parent.parent / "kinds"
RULES = {"\u00a0": " ", "\u3000": " ", "\t": " ", "\n": " ", "\r": " ", "\r\n": " ", "\ufb01": "fi", "e\u0301": "\u00e9", "\u212b": "\u00c5", "\u00ad": "", "\u00bd": "1/2", "\uff21": "A", "\u1100\u1161\u11a8": "\uac01"}


def constants():
    """CORPUS and TEXTS of generate.py, without running it."""
    out = {}
    for node in ast.parse((HERE.parent / "generate.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id in ("CORPUS", "TEXTS"):
            out[node.targets[0].id] = eval(compile(ast.Expression(node.value), "generate.py", "eval"))
    return out["CORPUS"], out["TEXTS"]


CORPUS, TEXTS = constants()
TEXTS = [t for t in TEXTS if len(t) < 60][::2] + [
    "<|begin_of_text|>a<|eot_id|> b", "<|im_start|>user\nhi<|im_end|>", "x<extra_id_3>y <extra_id_0>", "A <tool> b", "the city  <mask>  of", "I'M they'RE 'ſ it'S",
    "12345 and 67 ٣٤٥", "a\r\n\r\nb \n c", "▁a ▁▁b", "<0x41><0xE4>", "e\u0301\u0327 ﬁ\u0301 ½Å", "\r\n", "a\r\nb", "\u1100\u1161\u11a8\u1100\u1161\u11a8 \uac01", "``quoted'' text--here", "HELLOWorld fooBAR1a2b", "a|b||c", "x" * 20,
]
PAIR = ("The Golden Lantern is a quiet pub", "near the river, and it serves good food")
SIZES = {"llama2": 420, "llama2_new": 420, "partial_bytes": 420}


def rules_file(folder):
    path = os.path.join(folder, "rules.tsv")
    with open(path, "w") as f:
        for old, new in RULES.items():
            f.write(" ".join(f"{ord(c):X}" for c in old) + "\t" + " ".join(f"{ord(c):X}" for c in new) + "\n")
    return path


def flat(e):
    return [n for o in e.offsets for n in o]


def encoded(tok, decode):
    """What the reference makes of the texts: for each its ids, offsets and decoded texts."""
    tok.no_truncation(), tok.no_padding()
    out = []
    for text in TEXTS:
        e = tok.encode(text)
        out.append({"text": text, "ids": e.ids, "offsets": flat(e), "words": [-1 if w is None else w for w in e.word_ids],
                    "decoded": decoded(decode, e.ids, False), "skipped": decoded(decode, e.ids, True)})
    return out


def decoded(decode, ids, skip):
    """None where the reference panics: without tokens, and where a decoder strips a token from both ends."""
    try:
        return decode(ids, skip_special_tokens=skip) if ids else None
    except BaseException as e:
        if isinstance(e, KeyboardInterrupt):
            raise
        return None


def options(tok):
    """Truncation and padding of a pair, with what overflows."""
    out = []
    for length, strategy, stride, side in [(12, "longest_first", 0, "right"), (12, "longest_first", 2, "right"), (14, "only_first", 1, "right"),
                                           (16, "only_second", 2, "left"), (9, "longest_first", 1, "left"), (300, "longest_first", 0, "right")]:
        try:
            tok.enable_truncation(length, stride=stride, strategy=strategy, direction=side)
            e, single = tok.encode(*PAIR), tok.encode(PAIR[0])
        except BaseException:  # too short for the strategy, or a panic
            continue
        part = lambda e: {"ids": e.ids, "type_ids": e.type_ids, "offsets": flat(e)}
        out.append({"max_length": length, "strategy": strategy, "stride": stride, "side": side, **part(e), "overflow": [part(o) for o in e.overflowing],
                    "single": part(single), "single_overflow": [part(o) for o in single.overflowing]})
    tok.no_truncation()
    return out


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    expected = {}
    with tempfile.TemporaryDirectory() as folder:
        for options_ in (kinds.T5_OPTIONS,):
            options_.pop("normalization_rule_name", None)
            options_["normalization_rule_tsv"] = rules_file(folder)
        spm_lines = CORPUS * 3
        t5 = kinds.sentencepiece_model(spm_lines, 260, **kinds.T5_OPTIONS)
        llama = kinds.sentencepiece_model(spm_lines, 420, **kinds.LLAMA_OPTIONS)
        for kind in kinds.KINDS:
            name = kind.__name__.replace("_", "-") + ".json"
            kind(spm_lines, SIZES.get(kind.__name__, 380)).save(str(HERE / name), pretty=False)
            tok = Tokenizer.from_file(str(HERE / name))
            expected[name] = {"texts": encoded(tok, tok.decode), "options": options(tok)}
    for name, file, data, config in [
        ("dir-t5", "spiece.model", t5, {"tokenizer_class": "T5Tokenizer", "extra_ids": 5, "clean_up_tokenization_spaces": True}),
        ("dir-xlmr", "sentencepiece.bpe.model", t5, {"tokenizer_class": "XLMRobertaTokenizer"}),
        ("dir-llama", "tokenizer.model", llama, {"tokenizer_class": "LlamaTokenizer"}),
        ("dir-llama-new", "tokenizer.model", llama, {"tokenizer_class": "LlamaTokenizer", "legacy": False, "add_eos_token": True, "chat_template": "{{ bos_token }}"}),
        ("dir-llama-plain", "tokenizer.model", llama, {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False, "add_prefix_space": False}),
    ]:
        (HERE / name).mkdir()
        (HERE / name / file).write_bytes(data)
        (HERE / name / "tokenizer_config.json").write_text(json.dumps(config))
        tok = AutoTokenizer.from_pretrained(str(HERE / name))
        expected[name] = {"texts": encoded(tok._tokenizer, tok.decode), "options": options(tok._tokenizer)}
    for name, kind, config in [("dir-qwen2", kinds.qwen2, {"tokenizer_class": "Qwen2Tokenizer"}), ("dir-clip", kinds.clip, {"tokenizer_class": "CLIPTokenizer"})]:
        (HERE / name).mkdir()
        kind(CORPUS, 380).model.save(str(HERE / name))
        (HERE / name / "tokenizer_config.json").write_text(json.dumps(config))
        tok = AutoTokenizer.from_pretrained(str(HERE / name))
        expected[name] = {"texts": encoded(tok._tokenizer, tok.decode), "options": options(tok._tokenizer)}
    rows = ",\n".join(json.dumps(k) + ": " + json.dumps(v, separators=(",", ":")) for k, v in expected.items())
    (HERE / "expected.json").write_text("{\n" + rows + "\n}\n")


if __name__ == "__main__":
    main()

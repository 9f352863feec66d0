#!/usr/bin/env python3
"""Writes the tokenizers of this folder and expected.json, what the reference libraries make of tricky strings.

    pip install tokenizers==0.22.2 transformers==4.57.3 && python generate.py

Small models are trained on the sentences below, so nothing here comes from anywhere else. Each folder is one tokenizer;
what is special about it stands beside its name in TOKENIZERS.
"""

import collections
import json
import pathlib
import shutil

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, BertTokenizerFast, GPT2TokenizerFast, RobertaTokenizerFast

HERE = pathlib.Path(__file__).parent

CORPUS = [
    "The Golden Lantern is a quiet pub near the river, and it serves very good noodles!!!",
    "A family friendly restaurant called Blue Heron offers cheap French food in the city centre.",
    "Don't you think they've been there? We'll see what she'd say, I'm sure it's fine...",
    "The film was a delight: warm, funny, and moving; the second half wasn't as good.",
    "Prices start at £20 and go up to £35 for 3 courses, with a 5 out of 5 customer rating.",
    "Der Müller aß fünf süße Äpfel, naïve café déjà vu, señor, façade, Ångström.",
    "aaa aaaa !!! !!!! ??? --- the the the and and of of in in",
    "name : Blue Heron | food : French | area : city centre | rating : 5",
] * 3

TEXTS = [
    "", " ", "   ", "a", "!!!", "!!!!!", "aaa", "aaaaaaa", "aaaaaaaaaaaaaaaaaaaa", "the theatre", "The river.",
    "Hello, world!", "  leading", "trailing  ", "two  blanks", "tab\tand\nnewline\r\nend", "\n\n", " \n ", "a \n b",
    "don't DON'T they'll they'LL I'm 's 't '", "it''s ''ll", "1234567 3.14 £35 5% ½ ²",
    "a<|endoftext|>b", "<|endoftext|>", "<|endoftext|><|endoftext|>", " <|endoftext|> ", "<|endoftext|", "<|ENDOFTEXT|>",
    "<s>a</s>", "a <mask> b", "a   <mask>   b", "It was<mask>.", "<mask><mask>", "<pad><unk>",
    "[CLS] a [SEP] b [SEP]", "a [MASK] b", "a[MASK][MASK]b", "[mask] [UNK] [unk] [PAD]", "[MASK", "[CLS][SEP]",
    "<TAG>", "x<TAG>y", "  <TAG>  z", "Lantern lantern LANTERN", "keyword", "keywords keyword.", "KEYWORD_ keyword",
    "café", "cafe\u0301", "CAFÉ NAÏVE Ångström", "Müller süß ẞ ß", "İstanbul ISPARTA ı", "ΣΊΣΥΦΟΣ ς", "Việt Nam",
    "a\u00a0b", "\u00a0", "a\u00a0\u00a0b", "a\u2028b", "a\u2029b", "a\u3000b", "a\u0085b", "a\u1680b\u2003c\u202fd",
    "zero\u200bwidth\u200djoiner\ufeffbom\u00adshy", "生活的真谛是", "日本語 と English", "한국어 조선말", "ไทย ก็", "हिन्दी नमस्ते", "مرحبا بالعالم",
    "😀", "👩‍👩‍👧‍👦 👍🏽 🇫🇷", "a😀b", "\x00", "a\x00b\x07c\x1bd\x7fe", "\ufffd", "a\ufffdb", "\U0010ffff \ue000", "ﬁ ﬂ ½ Å Ⅷ ㎏ ｆｕｌｌ",
    "e\u0327\u0301 e\u0301\u0327 \u0344 \u0958 각", "“quotes” — dashes – … ‚ ‹›", "a_b-c/d\\e|f", "$^`~+=<>", "¿¡§¶•†", "x" * 99, "x" * 100, "x" * 101,
    "The Golden Lantern is a quiet pub near the river.", "name : Blue Heron | food : French",
]

PAIRS = [
    ("", ""), ("a", ""), ("", "b"), ("the river", "good noodles"), ("a<|endoftext|>b", "[SEP] <mask> c"),
    ("The Golden Lantern is a quiet pub", "near the river, and it serves very good noodles"),
]
LIMITS = [4, 5, 6, 7, 8, 9, 12, 40]


def byte_bpe(specials, size=400):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    tok.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(vocab_size=size, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
    )
    return tok


def word_piece(lower, size=300):
    """A vocabulary by counting (the library's trainer breaks ties by hash, so differently every time)."""
    normalizer, split = normalizers.BertNormalizer(lowercase=lower), pre_tokenizers.BertPreTokenizer()
    chars, pieces = set(), collections.Counter()
    for line in CORPUS:
        for word, _ in split.pre_tokenize_str(normalizer.normalize_str(line)):
            chars |= {word[0]} | {"##" + c for c in word[1:]}
            for start in range(len(word)):
                for end in range(start + 2, len(word) + 1):
                    pieces[("##" if start else "") + word[start:end]] += end - start
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + sorted(chars)
    tokens += sorted(pieces, key=lambda p: (-pieces[p], p))[: size - len(tokens)]
    tok = Tokenizer(models.WordPiece({t: i for i, t in enumerate(tokens)}, unk_token="[UNK]"))
    tok.normalizer, tok.pre_tokenizer, tok.decoder = normalizer, split, decoders.WordPiece()
    cls, sep = tok.token_to_id("[CLS]"), tok.token_to_id("[SEP]")
    tok.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    return tok


def folder(name):
    d = HERE / name
    shutil.rmtree(d, ignore_errors=True)
    d.mkdir()
    return d


def bpe():
    """GPT-2's kind."""
    d = folder("bpe")
    tok = byte_bpe(["<|endoftext|>"])
    tok.save(str(d / "tokenizer.json"))
    return tok


def bpe_vocab():
    """The same as vocab.json and merges.txt."""
    d = folder("bpe-vocab")
    byte_bpe(["<|endoftext|>"]).model.save(str(d))
    return GPT2TokenizerFast(str(d / "vocab.json"), str(d / "merges.txt"))._tokenizer


def bpe_roberta():
    """RoBERTa's post-processor and a <mask> that takes the blanks on its left along."""
    d = folder("bpe-roberta")
    tok = byte_bpe(["<s>", "<pad>", "</s>", "<unk>"])
    tok.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tok.post_processor = processors.RobertaProcessing(("</s>", tok.token_to_id("</s>")), ("<s>", tok.token_to_id("<s>")))
    tok.save(str(d / "tokenizer.json"))
    return tok


def roberta_vocab():
    """vocab.json and merges.txt of RoBERTa's kind."""
    d = folder("roberta-vocab")
    byte_bpe(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]).model.save(str(d))
    return RobertaTokenizerFast(str(d / "vocab.json"), str(d / "merges.txt"))._tokenizer


def bpe_options():
    """Prefix space, a Sequence of normalizers, added tokens of every kind, an unknown token, a small alphabet."""
    d = folder("bpe-options")
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>", "<|endoftext|>"], show_progress=False))
    tok.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, normalized=True)])
    tok.add_tokens([
        AddedToken("keyword", single_word=True), AddedToken("Lantern", normalized=True), AddedToken("<TAG>", rstrip=True, normalized=False),
        AddedToken("the", single_word=True, normalized=False), AddedToken("the theatre"), "aaaa",
    ])
    tok.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|endoftext|> $A", pair="<|endoftext|> $A <|endoftext|>:1 $B:1",
                                      special_tokens=[("<|endoftext|>", tok.token_to_id("<|endoftext|>"))]),
    ])
    tok.save(str(d / "tokenizer.json"))
    return tok


def bpe_whole():
    """No pattern, merges ignored for whole words, StripAccents after NFD, no post-processor, no decoder."""
    d = folder("bpe-whole")
    tok = byte_bpe(["<|endoftext|>"], 500)
    state = json.loads(tok.to_str())
    state["model"]["ignore_merges"] = True
    state["pre_tokenizer"]["use_regex"] = False
    state["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]}
    state["post_processor"] = None
    state["decoder"] = None
    state["model"]["merges"] = [" ".join(m) for m in state["model"]["merges"]]  # the older spelling
    (d / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False))
    return Tokenizer.from_file(str(d / "tokenizer.json"))


def wordpiece():
    """BERT uncased: strip_accents null follows lowercase."""
    d = folder("wordpiece")
    tok = word_piece(True)
    tok.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tok.save(str(d / "tokenizer.json"))
    return tok


def wordpiece_vocab():
    """A bare vocabulary without upper-case pieces."""
    d = folder("wordpiece-vocab")
    word_piece(True).model.save(str(d))
    return BertTokenizerFast(str(d / "vocab.txt"), do_lower_case=True)._tokenizer


def wordpiece_cased_vocab():
    """A bare vocabulary with upper-case pieces."""
    d = folder("wordpiece-cased-vocab")
    word_piece(False).model.save(str(d))
    return BertTokenizerFast(str(d / "vocab.txt"), do_lower_case=False)._tokenizer


def wordpiece_config():
    """tokenizer_config.json changes the normalizer of a tokenizer.json and adds tokens."""
    d = folder("wordpiece-config")
    word_piece(True).save(str(d / "tokenizer.json"))
    config = {
        "tokenizer_class": "BertTokenizer", "do_lower_case": True, "strip_accents": False, "tokenize_chinese_chars": False,
        "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]",
        "additional_special_tokens": ["<TAG>"],
    }
    (d / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    (d / "special_tokens_map.json").write_text(json.dumps({"mask_token": {"content": "[MASK]", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}}, indent=1))
    return AutoTokenizer.from_pretrained(str(d))._tokenizer


TOKENIZERS = [bpe, bpe_vocab, bpe_roberta, roberta_vocab, bpe_options, bpe_whole, wordpiece, wordpiece_vocab, wordpiece_cased_vocab, wordpiece_config]


def expected(tok):
    tok.no_truncation()
    tok.no_padding()
    out = {"vocab_size": max(tok.get_vocab().values()) + 1, "texts": [], "pairs": []}
    for text in TEXTS:
        ids = tok.encode(text).ids
        out["texts"].append({
            "text": text, "ids": ids, "plain": tok.encode(text, add_special_tokens=False).ids,
            "decoded": tok.decode(ids, skip_special_tokens=False), "skipped": tok.decode(ids, skip_special_tokens=True),
        })
    for a, b in PAIRS:
        tok.no_truncation()
        e = tok.encode(a, b)
        pair = {"a": a, "b": b, "ids": e.ids, "type_ids": e.type_ids, "truncated": []}
        for limit in LIMITS:
            tok.enable_truncation(limit)
            e, single = tok.encode(a, b), tok.encode(a)
            pair["truncated"].append({"limit": limit, "ids": e.ids, "type_ids": e.type_ids, "single": single.ids})
        out["pairs"].append(pair)
    return out


results = {}
for make in TOKENIZERS:
    name = make.__name__.replace("_", "-")
    results[name] = expected(make())
rows = ",\n".join(json.dumps(k) + ": " + json.dumps(v, ensure_ascii=True, separators=(",", ":")) for k, v in results.items())
(HERE / "expected.json").write_text("{\n" + rows + "\n}\n")

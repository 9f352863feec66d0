"""Tokenizers of every kind, trained on a corpus with the reference library. See compare.py and fixtures.py."""

import json
import os
import tempfile

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = CL100K.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ALPHABET = pre_tokenizers.ByteLevel.alphabet()
SPECIALS3 = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
QUICK = dict(show_progress=False)


def template(tok, single, pair, *tokens):
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=[(t, tok.token_to_id(t)) for t in tokens])


def train_bpe(corpus, size, specials=(), pre=None, normalizer=None, alphabet=ALPHABET, **model):
    tok = Tokenizer(models.BPE(**model))
    if normalizer:
        tok.normalizer = normalizer
    if pre:
        tok.pre_tokenizer = pre
    keys = {k: v for k, v in model.items() if k in ("continuing_subword_prefix", "end_of_word_suffix")}
    tok.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, special_tokens=list(specials), initial_alphabet=alphabet, **keys, **QUICK))
    return tok


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def llama3(corpus, size):
    """Llama 3: the cl100k pattern, merges ignored for whole words, special tokens that are added."""
    pre = pre_tokenizers.Sequence([split(CL100K), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok = train_bpe(corpus, size, pre=pre)
    state = json.loads(tok.to_str())
    state["model"]["ignore_merges"] = True
    tok = Tokenizer.from_str(json.dumps(state))
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens(SPECIALS3)
    tok.add_tokens(["restaurant", AddedToken("<tool>", normalized=False)])
    bos = "<|begin_of_text|>"
    tok.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), template(tok, f"{bos} $A", f"{bos} $A {bos}:1 $B:1", bos)])
    return tok


def qwen2(corpus, size):
    """Qwen 2: NFC, single digits, added tokens."""
    pre = pre_tokenizers.Sequence([split(QWEN), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok = train_bpe(corpus, size, pre=pre, normalizer=normalizers.NFC())
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.ByteLevel(trim_offsets=False)
    tok.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tok.add_tokens([AddedToken("<tool_call>", normalized=False)])
    return tok


def o200k(corpus, size):
    """A pattern without a scanner of its own, and ByteLevel as a normalizer."""
    tok = train_bpe(corpus, size, pre=pre_tokenizers.Sequence([split(O200K, "removed", True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))
    tok.decoder = decoders.ByteLevel()
    return tok


def llama2(corpus, size, legacy=True):
    """Llama 2: SentencePiece BPE with bytes for unknown characters. Legacy prepends everywhere, otherwise at the start."""
    specials = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    tok = train_bpe([line.replace(" ", "▁") for line in corpus], size, specials, alphabet=[], pre=pre_tokenizers.Metaspace(), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    state = json.loads(tok.to_str())
    state["added_tokens"] = state["added_tokens"][:3]
    tok = Tokenizer.from_str(json.dumps(state))
    if legacy:
        tok.pre_tokenizer = None
        tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tok.post_processor = template(tok, "<s> $A", "<s> $A <s>:1 $B:1", "<s>")
    return tok


def llama2_new(corpus, size):
    return llama2(corpus, size, legacy=False)


def partial_bytes(corpus, size):
    """Byte fallback without all bytes: what is neither known nor falls back is unknown, one token for each or fused."""
    tok = llama2(corpus, size)
    state = json.loads(tok.to_str())
    state["model"]["vocab"] = {k if k not in ("<0x80>", "<0xF0>", "<0xE4>") else k + "gone": v for k, v in state["model"]["vocab"].items()}
    state["model"]["fuse_unk"] = False
    return Tokenizer.from_str(json.dumps(state))


def sentencepiece_model(corpus, size, **options):
    """The bytes of a SentencePiece model."""
    with tempfile.TemporaryDirectory() as d:
        text = os.path.join(d, "corpus.txt")
        with open(text, "w") as f:
            f.write("\n".join(line.replace("\n", " ") for line in corpus))
        spm.SentencePieceTrainer.train(input=text, model_prefix=os.path.join(d, "m"), vocab_size=size, hard_vocab_limit=False, minloglevel=2, num_threads=1, **options)
        with open(os.path.join(d, "m.model"), "rb") as f:
            return f.read()


T5_OPTIONS = dict(model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="nmt_nfkc")
LLAMA_OPTIONS = dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, user_defined_symbols=["<tool>"])


def t5(corpus, size, byte_fallback=False):
    """T5: unigram with the character map of SentencePiece."""
    proto = pb.ModelProto()
    proto.ParseFromString(sentencepiece_model(corpus, size, **T5_OPTIONS))
    vocab = [(p.piece, p.score) for p in proto.pieces] + [(f"<extra_id_{i}>", 0.0) for i in range(9, -1, -1)]
    if byte_fallback:
        vocab += [(f"<0x{b:02X}>", -20.0) for b in range(256)]
    tok = Tokenizer(models.Unigram(vocab, proto.trainer_spec.unk_id, byte_fallback))
    tok.normalizer = normalizers.Sequence([normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap), normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")])
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.decoder = decoders.Metaspace()
    tok.add_special_tokens(["<pad>", "</s>", "<unk>"] + [f"<extra_id_{i}>" for i in range(10)])
    tok.post_processor = template(tok, "$A </s>", "$A </s> $B </s>", "</s>")
    return tok


def t5_bytes(corpus, size):
    tok = t5(corpus, size, byte_fallback=True)
    tok.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return tok


def clip(corpus, size):
    """CLIP: tokens that end words, white space collapsed, lower case."""
    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    pre = pre_tokenizers.Sequence([split(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", "removed", True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    specials = ["<|startoftext|>", "<|endoftext|>"]
    tok = train_bpe(corpus, size, specials, pre, normalizer, unk_token="<|endoftext|>", end_of_word_suffix="</w>")
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.RobertaProcessing(("<|endoftext|>", 1), ("<|startoftext|>", 0), trim_offsets=False, add_prefix_space=False)
    return tok


def word_bpe(corpus, size):
    """A prefix and a suffix, unknown characters, every character class that cuts, a decoder for the suffix."""
    pre = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(True)])
    tok = train_bpe(corpus, size, ["<unk>"], pre, normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), alphabet=[], unk_token="<unk>", continuing_subword_prefix="@@", end_of_word_suffix="</w>")
    tok.decoder = decoders.BPEDecoder()
    return tok


def word_level(corpus, size):
    """Words, the Whitespace pre-tokenizer, Nmt and NFKD, added tokens of every kind."""
    tok = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tok.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKD(), normalizers.Strip(), normalizers.Lowercase()])
    tok.pre_tokenizer = pre_tokenizers.Whitespace()
    tok.train_from_iterator(corpus, trainers.WordLevelTrainer(vocab_size=size, special_tokens=["[UNK]"], **QUICK))
    tok.add_tokens([AddedToken("city", single_word=True), AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False), AddedToken("Ångström", normalized=True)])
    tok.decoder = decoders.WordPiece()
    return tok


def metaspace_digits(corpus, size):
    """Unigram behind Digits and a Metaspace at the start only, with a normalizer that removes what is at the start."""
    tok = Tokenizer(models.Unigram())
    tok.normalizer = normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.NFKC(), normalizers.Strip()])
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(False), pre_tokenizers.Metaspace(prepend_scheme="first")])
    tok.train_from_iterator(corpus, trainers.UnigramTrainer(vocab_size=size, special_tokens=["<unk>"], unk_token="<unk>", **QUICK))
    tok.add_special_tokens(["<sep>"])
    tok.decoder = decoders.Metaspace(prepend_scheme="never")
    return tok


def splits(corpus, size):
    """Splits of every behaviour, one after another."""
    pre = pre_tokenizers.Sequence([
        split(r"\n+", "merged_with_previous"), split(r"[A-Z]+(?=[a-z])", "merged_with_next"), split(r"\s", "removed"),
        split(r"(?<=[a-z])\p{Nd}+|\p{Han}", "contiguous"), pre_tokenizers.Split("--", "isolated"), pre_tokenizers.Punctuation("merged_with_previous"),
        pre_tokenizers.CharDelimiterSplit("|"), pre_tokenizers.FixedLength(7),
    ])
    return train_bpe(corpus, size, ["<unk>"], pre, normalizers.BertNormalizer(lowercase=False, strip_accents=True), alphabet=[], unk_token="<unk>", fuse_unk=True)


def byte_normal(corpus, size):
    """ByteLevel as a normalizer, and as a pre-tokenizer before another."""
    tok = train_bpe(corpus, size, pre=pre_tokenizers.Split("Ġ", "merged_with_next"), normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.ByteLevel()]))
    tok.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 2, 1)])
    tok.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=True)
    return tok


def byte_first(corpus, size):
    tok = train_bpe(corpus, size, pre=pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(add_prefix_space=True), pre_tokenizers.Digits(True)]))
    tok.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Replace("e ", "E_"), decoders.Fuse()])
    tok.post_processor = processors.ByteLevel(add_prefix_space=True, trim_offsets=True)
    return tok


def ctc(corpus, size):
    """Characters of speech models."""
    letters = sorted({c for line in corpus for c in line.upper() if c.isascii() and not c.isspace()})
    tok = Tokenizer(models.WordLevel({t: i for i, t in enumerate(["<pad>", "<unk>", "|"] + [c for c in letters if c != "|"])}, unk_token="<unk>"))
    tok.normalizer = normalizers.Replace(" ", "|")
    tok.pre_tokenizer = split("", "isolated") if False else pre_tokenizers.FixedLength(1)
    tok.decoder = decoders.CTC()
    return tok


KINDS = [llama3, qwen2, o200k, llama2, llama2_new, partial_bytes, t5, t5_bytes, clip, word_bpe, word_level, metaspace_digits, splits, byte_normal, byte_first, ctc]

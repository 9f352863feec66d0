"""Trains a byte-level BPE vocabulary on public text, in GPT-2's or RoBERTa's form, and writes the empty model's
directory beside it: config.json and tokenizer.json, for `ghostwriter convert new`.

    pip install tokenizers==0.22.2
    python tools/experiments/vocabulary.py --form gpt2 --size 4096 --layers 3 --width 128 --out DIR TEXT.jsonl…

A text file has a JSON object {"text": …} a line. sugarme/tokenizer has a trainer too, but what its workers count
overwrites each other (countPairs), so merges differ from run to run; hence this one, the reference.
"""

import argparse
import itertools
import json
import pathlib

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

FREQUENT = 1000  # how often a word that must be one token is put before the trainer

FORMS = {
    "gpt2": {
        "first": [],
        "last": ["<|endoftext|>"],
        "words": [" :", " |"],  # the separators of table-to-text
        "config": lambda ids, size, a: {
            "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": size, "n_positions": a.positions,
            "n_embd": a.width, "n_layer": a.layers, "n_head": a.heads, "activation_function": "gelu_new",
            "layer_norm_epsilon": 1e-5, "initializer_range": 0.02, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0,
            "bos_token_id": ids("<|endoftext|>"), "eos_token_id": ids("<|endoftext|>"), "tie_word_embeddings": True},
    },
    "roberta": {
        "first": ["<s>", "<pad>", "</s>", "<unk>"],
        "last": ["<mask>"],
        "words": [" terrible", " great"],  # SST-2's label words must be one token each
        "config": lambda ids, size, a: {
            "architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "vocab_size": size,
            "max_position_embeddings": a.positions + 2, "type_vocab_size": 1, "hidden_size": a.width,
            "num_hidden_layers": a.layers, "num_attention_heads": a.heads, "intermediate_size": 4 * a.width, "hidden_act": "gelu",
            "layer_norm_eps": 1e-5, "initializer_range": 0.02, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
            "bos_token_id": ids("<s>"), "pad_token_id": ids("<pad>"), "eos_token_id": ids("</s>"), "tie_word_embeddings": True},
    },
}


def texts(files):
    for file in files:
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["text"]


def train(form, size, files):
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size - len(form["last"]), special_tokens=form["first"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(itertools.chain(form["words"] * FREQUENT, texts(files)), trainer)
    tokenizer.add_special_tokens([AddedToken(t, lstrip=t == "<mask>", special=True) for t in form["last"]])
    if form["first"]:
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")),
                                                                trim_offsets=False, add_prefix_space=False)
    else:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    for word in form["words"]:
        ids = tokenizer.encode(word, add_special_tokens=False).ids
        if len(ids) != 1:
            raise SystemExit(f"{word!r} is {len(ids)} tokens, not one: take a larger --size")
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--form", choices=FORMS, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--positions", type=int, default=256)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("files", nargs="+")
    a = parser.parse_args()
    form = FORMS[a.form]
    tokenizer = train(form, a.size, a.files)
    a.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(a.out / "tokenizer.json"))
    config = form["config"](tokenizer.token_to_id, tokenizer.get_vocab_size(), a)
    (a.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    print(f"{a.out}: {tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()

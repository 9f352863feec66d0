"""Trains the demo's tokenizer, a byte-level BPE in the manner of GPT-2, on the public text only."""

import csv
import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from demo_text import BOS, DEMO

VOCAB = 768  # BOS, the one special token, is the last id


def main():
    texts = [json.loads(line)["text"].replace(BOS, "") for line in open(DEMO / "public.jsonl")]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(vocab_size=VOCAB - 1, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([BOS])
    if tokenizer.token_to_id(BOS) != VOCAB - 1:
        raise ValueError(f"{BOS} has id {tokenizer.token_to_id(BOS)}, not {VOCAB - 1}")
    (DEMO / "init").mkdir(exist_ok=True)
    tokenizer.save(str(DEMO / "init" / "tokenizer.json"))
    check(tokenizer)


def check(tokenizer):
    """Every private row must come back from its ids unchanged; prints the lengths."""
    lengths = []
    for file in ("private-train.csv", "private-test.csv"):
        for row in csv.DictReader(open(DEMO / file, newline="")):
            text = f" {row['mr']} {BOS} {row['ref']} {BOS}"
            ids = tokenizer.encode(text).ids
            if tokenizer.decode(ids, skip_special_tokens=False) != text:
                raise ValueError(f"not the same after decoding: {text!r}")
            lengths.append(len(ids))
    print(f"private rows: {sum(lengths) / len(lengths):.1f} tokens on average, at most {max(lengths)}")


if __name__ == "__main__":
    main()

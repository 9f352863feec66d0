"""The demo's classifier: invented letters to a clinic with their kind, a WordPiece vocabulary and a BERT's config.json.

Needs nothing but Python. Usage: demo_feedback.py DIR, which gets train.jsonl, vocab.txt and config.json.
"""

import itertools
import json
import random
import sys
from pathlib import Path

KINDS = ["complaint", "praise", "question"]
PEOPLE = ["the doctor", "the nurse", "your receptionist", "the surgeon", "the whole staff", "my physiotherapist"]
TIMES = ["today", "last week", "on monday", "this morning", "twice", "in march"]
PARTS = {
    "complaint": (["i waited two hours for {who} {when}", "{who} was rude to me {when}", "nobody called me back {when}", "{who} lost my results {when}",
                   "the ward was cold and dirty {when}", "{who} did not listen {when}", "my appointment was cancelled {when} without a word"],
                  ["i am very disappointed", "this must not happen again", "please do something about it", "i will not come back", "it was awful"]),
    "praise": (["{who} was kind and patient {when}", "{who} explained everything well {when}", "i want to thank {who} for the visit {when}",
                "{who} saw me at once {when}", "the ward was clean and quiet {when}", "{who} took great care of my mother {when}"],
               ["i am very grateful", "thank you all", "what a wonderful team", "keep up the good work", "it was excellent"]),
    "question": (["when can i see {who}", "is {who} there {when}", "how do i get my results", "can i bring my mother", "do i have to fast before the blood test",
                  "may i move my appointment", "does {who} speak polish", "where do i park"],
                 ["please let me know", "could you call me", "what should i do", "i look forward to your answer", "is there a form"]),
}


def letters(kind):
    first, second = PARTS[kind]
    for a, b, who, when in itertools.product(first, second, PEOPLE, TIMES):
        text = a.format(who=who, when=when)
        yield f"{text}. {b}."
        yield f"{b}. {text}."


def main(out):
    rng = random.Random(7)
    rows = []
    for label, kind in enumerate(KINDS):
        rows += [(text, label) for text in rng.sample(sorted(set(letters(kind))), 400)]
    rng.shuffle(rows)
    (out / "train.jsonl").write_text("".join(json.dumps({"text": t, "label": l}) + "\n" for t, l in rows))
    words = sorted({w for kind in KINDS for text in letters(kind) for w in text.replace(".", " ").split()})
    characters = [c for c in "abcdefghijklmnopqrstuvwxyz0123456789"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "?", "!", "'"] + characters + ["##" + c for c in characters]
    vocabulary += [w for w in words if w not in vocabulary]
    (out / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    config = {
        "architectures": ["BertForSequenceClassification"], "model_type": "bert", "vocab_size": len(vocabulary), "hidden_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 64, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
        "pad_token_id": 0, "type_vocab_size": 2, "problem_type": "single_label_classification",
        "id2label": {str(i): k for i, k in enumerate(KINDS)}, "label2id": {k: i for i, k in enumerate(KINDS)},
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")


main(Path(sys.argv[1]))

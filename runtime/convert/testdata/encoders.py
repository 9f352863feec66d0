"""Makes testdata/encoders: tiny encoders and encoder-decoders with random weights, saved by transformers, and PyTorch's outputs.

Requirements: torch 2.15.0, transformers 4.57.3, safetensors. Needs no network.
Usage: python encoders.py [OUT]
"""
import json, os, shutil, sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
import torch
import transformers as tr
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "encoders")

BERT = dict(vocab_size=13, hidden_size=6, num_hidden_layers=2, num_attention_heads=2, intermediate_size=9, max_position_embeddings=12)
DISTIL = dict(vocab_size=13, dim=6, n_layers=2, n_heads=3, hidden_dim=9, max_position_embeddings=12)
T5 = dict(vocab_size=13, d_model=6, d_kv=4, d_ff=9, num_layers=2, num_heads=2, relative_attention_num_buckets=8,
          relative_attention_max_distance=6, decoder_start_token_id=0)

MODELS = {
    "bert-mlm": ("mlm", tr.BertForMaskedLM, tr.BertConfig(**BERT)),
    "bert-legacy": ("mlm", tr.BertForMaskedLM, tr.BertConfig(**BERT, hidden_act="relu")),
    "bert-classify": ("classify", tr.BertForSequenceClassification, tr.BertConfig(**BERT, num_labels=3, hidden_act="gelu_new")),
    "bert-base": ("none", tr.BertModel, tr.BertConfig(**BERT, hidden_act="silu")),
    "roberta-mlm": ("mlm", tr.RobertaForMaskedLM, tr.RobertaConfig(**BERT, pad_token_id=1, type_vocab_size=1, tie_word_embeddings=False)),
    "roberta-classify": ("classify", tr.RobertaForSequenceClassification, tr.RobertaConfig(**BERT, pad_token_id=1, num_labels=4)),
    "distilbert-mlm": ("mlm", tr.DistilBertForMaskedLM, tr.DistilBertConfig(**DISTIL)),
    "distilbert-classify": ("classify", tr.DistilBertForSequenceClassification, tr.DistilBertConfig(**DISTIL, activation="relu", sinusoidal_pos_embds=True)),
    "albert-mlm": ("mlm", tr.AlbertForMaskedLM, tr.AlbertConfig(**BERT, embedding_size=4, num_hidden_groups=2)),
    "albert-classify": ("classify", tr.AlbertForSequenceClassification, tr.AlbertConfig(**BERT, embedding_size=4, inner_group_num=2, num_labels=3)),
    "electra-mlm": ("mlm", tr.ElectraForMaskedLM, tr.ElectraConfig(**BERT, embedding_size=4)),
    "electra-classify": ("classify", tr.ElectraForSequenceClassification, tr.ElectraConfig(**BERT, embedding_size=6, num_labels=3)),
    "t5": ("lm", tr.T5ForConditionalGeneration, tr.T5Config(**T5)),
    "t5-gated": ("lm", tr.T5ForConditionalGeneration, tr.T5Config(**T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_decoder_layers=1)),
}
IDS = torch.tensor([[5, 9, 12, 3, 7], [6, 4, 8, 11, 2], [3, 2, 10, 9, 6]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]])  # the last row is nothing but padding
TYPES = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
TARGETS = torch.tensor([[0, 4, 7], [0, 11, 3], [0, 2, 2]])


def randomise(model):
    """Moves every parameter away from the ones and zeros that it starts with."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * (0.15 if p.dim() == 1 else 0.2))


def legacy(path):
    """The checkpoint under the names that TensorFlow's had: gamma and beta, and no prefix of the base model."""
    renamed = {}
    for name, x in load_file(path).items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        renamed[name.removeprefix("bert.")] = x
    save_file(renamed, path, metadata={"format": "pt"})


def numbers(t):
    return [float(f"{v:.6g}") for v in t.flatten().tolist()]


def tensor(t):
    return dict(shape=list(t.shape), data=t.flatten().tolist())


for name, (head, cls, config) in MODELS.items():
    torch.manual_seed(1)
    directory = os.path.join(OUT, name)
    shutil.rmtree(directory, ignore_errors=True)
    model = cls(config).eval()
    randomise(model)
    model.save_pretrained(directory)
    if os.path.exists(os.path.join(directory, "generation_config.json")):
        os.remove(os.path.join(directory, "generation_config.json"))
    model = cls.from_pretrained(directory, attn_implementation="eager").eval()
    pad = config.pad_token_id
    inputs = dict(input_ids=torch.where(MASK == 0, pad, IDS), attention_mask=MASK)
    if config.model_type in ("bert", "albert", "electra"):
        inputs["token_type_ids"] = TYPES
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = TARGETS
    with torch.no_grad():
        result = model(**inputs)
    outputs = {k: numbers(result[k]) for k in ("logits", "last_hidden_state", "pooler_output") if result.get(k) is not None}
    if name.endswith("-legacy"):
        legacy(os.path.join(directory, "model.safetensors"))
    with open(os.path.join(directory, "expected.json"), "w") as f:
        json.dump(dict(head=head, inputs={k: tensor(v) for k, v in inputs.items()}, outputs=outputs), f, separators=(",", ":"))
        f.write("\n")

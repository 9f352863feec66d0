"""The model families: one table of configurations, all sizes small and no two alike.

A family is an architecture with fixed weights. Every exporter gets the same weights, so that the goldens
(which depend only on the weights) are shared by all the exported files of a family.
"""

from dataclasses import dataclass, field

from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    RobertaForMaskedLM,
)

VOCAB = 97
POSITIONS = 64


@dataclass(frozen=True)
class Family:
    """What a family is made of; `attn` in build() is transformers' attn_implementation."""

    config_class: type
    model_class: type
    config: dict
    seed: int
    default_init: bool = False  # transformers' own initial values: scales 1, shifts and biases 0
    pad: int = 0  # the id that fills padding
    lowest_id: int = 2  # ids below are never drawn for real tokens (padding_idx rows get no gradient in PyTorch)
    highest_id: int = VOCAB - 1
    logits_axes: tuple = ("batch", "sequence")
    optimum_task: str = ""
    extra: dict = field(default_factory=dict)

    def build(self, attn="sdpa"):
        """A model in evaluation mode with the family's weights, float32."""
        from weights import fill

        model = self.model_class(self.config_class(**self.config, attn_implementation=attn)).eval()
        model.config.use_cache = False
        fill(model, self.seed, self.default_init)
        return model


_GPT2 = dict(
    n_layer=2, n_head=2, n_embd=20, n_inner=44, vocab_size=VOCAB, n_positions=POSITIONS,
    bos_token_id=96, eos_token_id=96, use_cache=False,
)
_BERT = dict(
    num_hidden_layers=2, num_attention_heads=2, hidden_size=24, intermediate_size=42, vocab_size=VOCAB,
    max_position_embeddings=POSITIONS, type_vocab_size=2, num_labels=3,
)
_ROBERTA = dict(
    num_hidden_layers=2, num_attention_heads=2, hidden_size=22, intermediate_size=46, vocab_size=VOCAB,
    max_position_embeddings=POSITIONS + 2, type_vocab_size=1, pad_token_id=1,
)
_DISTILBERT = dict(
    n_layers=2, n_heads=2, dim=18, hidden_dim=38, vocab_size=VOCAB, max_position_embeddings=POSITIONS, num_labels=3,
)

FAMILIES = {
    "gpt2": Family(GPT2Config, GPT2LMHeadModel, _GPT2, 11, lowest_id=0, optimum_task="text-generation"),
    "gpt2-default": Family(GPT2Config, GPT2LMHeadModel, _GPT2, 12, default_init=True, lowest_id=0),
    "bert": Family(
        BertConfig, BertForSequenceClassification, _BERT, 21,
        logits_axes=("batch",), optimum_task="text-classification",
    ),
    "bert-default": Family(
        BertConfig, BertForSequenceClassification, _BERT, 22, default_init=True, logits_axes=("batch",),
    ),
    "roberta": Family(
        RobertaConfig, RobertaForMaskedLM, _ROBERTA, 31, pad=1, optimum_task="fill-mask",
    ),
    "distilbert": Family(
        DistilBertConfig, DistilBertForSequenceClassification, _DISTILBERT, 41,
        logits_axes=("batch",), optimum_task="text-classification",
    ),
    "distilbert-reg": Family(
        DistilBertConfig, DistilBertForSequenceClassification,
        {**_DISTILBERT, "num_labels": 1, "problem_type": "regression"}, 42, logits_axes=("batch",),
    ),
}

"""The architectures of the export matrix: one table, all sizes small and no two of one model alike.

Classes are named, not imported, for the two environments know different ones: where a class is missing, that export
fails and says so.
"""

from dataclasses import dataclass, replace

import transformers
from torch.nn.utils import parametrize

from weights import fill

VOCAB = 97
POSITIONS = 64


@dataclass(frozen=True)
class Architecture:
    """One model with fixed weights; `classes` are the names of its configuration and of its class."""

    classes: tuple
    config: dict
    loss: str
    optimum: str  # the task of optimum's export
    fusion: str  # model_type of onnxruntime's optimizer
    heads: int = 2
    hidden: int = 0
    pad: int = 0
    token_types: bool = False
    fixed: tuple = ()  # patterns of what PyTorch does not train and an ONNX file can't tell from parameters: --freeze
    buffers: tuple = ()  # buffers added to activations: an ONNX file can't tell them from parameters, so the golden counts them

    def named(self, *classes):
        """The same with other classes."""
        return replace(self, classes=classes)

    def freezing(self, *patterns):
        """The same with fixed tables."""
        return replace(self, fixed=patterns)

    def build(self, attn=None):
        """The model in evaluation mode, float32; attn is transformers' attn_implementation, by default its own choice."""
        config_class, model_class = (getattr(transformers, c) for c in self.classes)
        if attn == "sdpa" and not getattr(model_class, "_supports_sdpa", False):
            attn = "eager"
        settings = dict(self.config, **({"attn_implementation": attn} if attn else {}))
        model = model_class(config_class(**settings)).eval()
        model.config.use_cache = False
        for module in model.modules():  # exporters fold weight norms: the file has the weight itself as its parameter
            if parametrize.is_parametrized(module):
                for name in list(module.parametrizations):
                    parametrize.remove_parametrizations(module, name)
        fill(model, 1000 + self.hidden, False)
        return model


def causal(name, fusion, hidden, heads=2, pad=0, **config):
    base = {"vocab_size": VOCAB, "bos_token_id": 96, "eos_token_id": 96, "use_cache": False}
    return Architecture((f"{name}Config", f"{name}ForCausalLM"), base | config, "causal-lm", "text-generation", fusion,
                        heads, hidden, pad)


def _gpt2(hidden, **config):
    base = {"n_layer": 2, "n_head": 2, "n_embd": hidden, "vocab_size": VOCAB, "n_positions": POSITIONS,
            "bos_token_id": 96, "eos_token_id": 96, "use_cache": False}
    return Architecture(("GPT2Config", "GPT2LMHeadModel"), base | config, "causal-lm", "text-generation", "gpt2", 2, hidden)


def rotary(name, hidden, inner, heads=4, **config):
    """The Llama line: rotary positions, gated units, RMS norms, grouped heads."""
    base = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": 2, "num_attention_heads": heads,
            "num_key_value_heads": 2, "max_position_embeddings": POSITIONS}
    return causal(name, "gpt2", hidden, heads, **(base | config))


def encoder(name, hidden, inner, loss="classify", token_types=True, heads=2, pad=0, **config):
    """The BERT line."""
    head = {"classify": "SequenceClassification", "masked-lm": "MaskedLM"}[loss]
    base = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": 2, "num_attention_heads": heads,
            "vocab_size": VOCAB, "max_position_embeddings": POSITIONS, "num_labels": 3, "pad_token_id": pad}
    task = {"classify": "text-classification", "masked-lm": "fill-mask"}[loss]
    return Architecture((f"{name}Config", f"{name}For{head}"), base | config, loss, task, "bert", heads, hidden, pad,
                        token_types)


def t5(hidden, name="T5", **config):
    """T5; onnxruntime's optimizer takes only widths that are a multiple of the heads."""
    base = {"d_model": hidden, "d_kv": 6, "d_ff": 34, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 3,
            "relative_attention_num_buckets": 32, "relative_attention_max_distance": 40, "vocab_size": VOCAB,
            "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "use_cache": False}
    return Architecture((f"{name}Config", f"{name}ForConditionalGeneration"), base | config, "seq2seq", "text2text-generation", "t5",
                        3, hidden)


ARCHITECTURES = {
    "gpt2": _gpt2(20, n_inner=44),
    "dialogpt": _gpt2(26),
    "opt": causal("OPT", "gpt2", 18, pad=1, hidden_size=18, word_embed_proj_dim=18, ffn_dim=40, num_hidden_layers=2,
                   num_attention_heads=2, max_position_embeddings=POSITIONS, pad_token_id=1),
    "gpt-neo": causal("GPTNeo", "gpt2", 20, hidden_size=20, intermediate_size=46, num_layers=2, num_heads=2, window_size=6,
                       attention_types=[[["global", "local"], 1]], max_position_embeddings=POSITIONS),
    "gpt-neox": causal("GPTNeoX", "gpt_neox", 24, hidden_size=24, intermediate_size=50, num_hidden_layers=2,
                        num_attention_heads=2, rotary_pct=0.5, max_position_embeddings=POSITIONS),
    "llama": rotary("Llama", 24, 38),
    "mistral": rotary("Mistral", 32, 42, sliding_window=6),
    "qwen2": rotary("Qwen2", 24, 34, tie_word_embeddings=True),
    "qwen3": rotary("Qwen3", 20, 36, head_dim=6, tie_word_embeddings=True),
    "gemma": rotary("Gemma", 20, 44, heads=2, num_key_value_heads=1, head_dim=6, pad_token_id=0),
    "phi": causal("Phi", "phi", 24, hidden_size=24, intermediate_size=46, num_hidden_layers=2, num_attention_heads=2,
                   partial_rotary_factor=0.5, max_position_embeddings=POSITIONS),
    "bert": encoder("Bert", 24, 42),
    "minilm": encoder("Bert", 20, 80, loss="masked-lm", heads=4),
    "roberta": encoder("Roberta", 22, 46, loss="masked-lm", token_types=False, pad=1, type_vocab_size=1,
                        max_position_embeddings=POSITIONS + 2),
    "distilbert": Architecture(
        ("DistilBertConfig", "DistilBertForSequenceClassification"),
        {"n_layers": 2, "n_heads": 2, "dim": 18, "hidden_dim": 38, "vocab_size": VOCAB,
         "max_position_embeddings": POSITIONS, "num_labels": 3}, "classify", "text-classification", "bert", 2, 18),
    "albert": encoder("Albert", 24, 40, embedding_size=14),
    "electra": encoder("Electra", 20, 36, embedding_size=12),
    "deberta-v3": encoder(
        "DebertaV2", 24, 44, token_types=False, type_vocab_size=0, relative_attention=True, position_buckets=8,
        max_relative_positions=-1, pos_att_type=["p2c", "c2p"], share_att_key=True, norm_rel_ebd="layer_norm",
        position_biased_input=False),
    "t5": t5(24),
    "flan-t5": t5(27, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "bart": Architecture(
        ("BartConfig", "BartForConditionalGeneration"),
        {"d_model": 20, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
         "encoder_ffn_dim": 38, "decoder_ffn_dim": 42, "vocab_size": VOCAB, "max_position_embeddings": POSITIONS,
         "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2, "use_cache": False},
        "seq2seq", "text2text-generation", "bart", 2, 20, pad=1, buffers=("final_logits_bias",)),
    "vit": Architecture(
        ("ViTConfig", "ViTForImageClassification"),
        {"hidden_size": 20, "intermediate_size": 36, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 12,
         "patch_size": 4, "num_channels": 3, "num_labels": 3}, "classify", "image-classification", "vit", 2, 20),
}

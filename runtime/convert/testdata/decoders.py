"""Makes testdata/decoders: tiny decoders with random weights, saved by transformers, and PyTorch's logits.

Requirements: torch 2.15.0, transformers 4.57.3, safetensors. Needs no network.
Usage: python decoders.py [OUT]
"""
import json, os, shutil, sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
import torch
import transformers as tr
from transformers.modeling_utils import no_init_weights

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "decoders")
CLASSES = {"lm": tr.AutoModelForCausalLM, "classify": tr.AutoModelForSequenceClassification}

GPT2 = dict(vocab_size=13, n_positions=12, n_embd=6, n_layer=2, n_head=3, n_inner=10)
OPT = dict(vocab_size=13, hidden_size=6, num_hidden_layers=2, ffn_dim=9, max_position_embeddings=12, num_attention_heads=2)
LLAMA = dict(vocab_size=13, hidden_size=8, intermediate_size=9, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=16)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=8)

MODELS = {
    "gpt2": ("lm", tr.GPT2Config(**GPT2), torch.float32),
    "gpt2-untied-half": ("lm", tr.GPT2Config(**GPT2, tie_word_embeddings=False, scale_attn_by_inverse_layer_idx=True), torch.float16),
    "gpt2-classify": ("classify", tr.GPT2Config(**GPT2, num_labels=3, pad_token_id=0), torch.float32),
    "opt": ("lm", tr.OPTConfig(**OPT, word_embed_proj_dim=6), torch.float32),
    "opt-projected": ("lm", tr.OPTConfig(**OPT, word_embed_proj_dim=4, do_layer_norm_before=False), torch.float32),
    "opt-plain": ("lm", tr.OPTConfig(**OPT, word_embed_proj_dim=6, enable_bias=False, layer_norm_elementwise_affine=False), torch.float32),
    "opt-classify": ("classify", tr.OPTConfig(**OPT, word_embed_proj_dim=4, num_labels=3), torch.float32),
    "llama": ("lm", tr.LlamaConfig(**{**LLAMA, "head_dim": 12}, num_key_value_heads=2, rope_theta=100.0, rope_scaling=LLAMA3), torch.float32),
    "llama-yarn": ("lm", tr.LlamaConfig(**LLAMA, num_key_value_heads=4, head_dim=8, attention_bias=True, mlp_bias=True, rope_theta=100.0, rope_scaling=YARN, tie_word_embeddings=True), torch.float32),
    "llama-classify": ("classify", tr.LlamaConfig(**LLAMA, num_key_value_heads=1, pad_token_id=0, num_labels=2, rope_scaling=dict(rope_type="linear", factor=2.5)), torch.float32),
    "mistral": ("lm", tr.MistralConfig(**LLAMA, num_key_value_heads=2, sliding_window=3), torch.float32),
    "qwen2-bfloat16": ("lm", tr.Qwen2Config(**{**LLAMA, "num_hidden_layers": 3}, num_key_value_heads=2, use_sliding_window=True, sliding_window=2, max_window_layers=1, tie_word_embeddings=True), torch.bfloat16),
    "qwen3": ("lm", tr.Qwen3Config(**LLAMA, num_key_value_heads=2, head_dim=4), torch.float32),
    "gemma": ("lm", tr.GemmaConfig(**LLAMA, num_key_value_heads=1, head_dim=4, pad_token_id=0), torch.float32),
}
IDS = torch.tensor([[5, 9, 12, 3, 7], [6, 4, 8, 11, 2], [1, 2, 10, 9, 6]])
MASKS = {  # the first row has no padding
    "right": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]]),
    "left": torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]]),
}


def start(model):
    """Norms begin at 1 and 0, the rest near 0, as transformers has it."""
    for name, p in model.named_parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, 0.0, 0.02)
        else:
            torch.nn.init.constant_(p, float("norm" in name or ".ln_" in name) if name.endswith("weight") else 0.0)


def randomise(model):
    """Moves every parameter away from the ones and zeros that it starts with."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * (0.15 if p.dim() == 1 else 0.2))


def logits(model, config, head, mask):
    """With the positions that a cache gives where padding is on the left."""
    pad = config.pad_token_id if head == "classify" else None
    ids = IDS if pad is None else torch.where(mask == 0, pad, IDS)
    with torch.no_grad():
        plain = model(input_ids=ids, attention_mask=mask).logits
        if head == "classify" or mask[-1, 0] == 1:
            return ids, plain, None
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        return ids, plain, model(input_ids=ids, attention_mask=mask, position_ids=positions).logits


def numbers(t):
    return None if t is None else [float(f"{v:.6g}") for v in t.flatten().tolist()]


for name, (head, config, dtype) in MODELS.items():
    torch.manual_seed(1)
    directory = os.path.join(OUT, name)
    shutil.rmtree(directory, ignore_errors=True)
    with no_init_weights():  # transformers' own initialisation fails on norms without parameters
        model = CLASSES[head].from_config(config).eval()
    model.tie_weights()
    start(model)
    randomise(model)
    model.to(dtype).save_pretrained(directory)
    for extra in ("generation_config.json",):
        if os.path.exists(os.path.join(directory, extra)):
            os.remove(os.path.join(directory, extra))
    model = CLASSES[head].from_pretrained(directory, attn_implementation="eager", dtype=torch.float32).eval()
    cases = []
    for padding, mask in MASKS.items():
        ids, plain, positioned = logits(model, config, head, mask)
        cases.append(dict(padding=padding, shape=list(ids.shape), input_ids=ids.flatten().tolist(), attention_mask=mask.flatten().tolist(),
                          logits=numbers(plain), logits_positioned=numbers(positioned)))
    with open(os.path.join(directory, "expected.json"), "w") as f:
        json.dump(dict(head=head, cases=cases), f, separators=(",", ":"))
        f.write("\n")

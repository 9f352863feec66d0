"""The demo's model: a GPT-2 with random initial weights, as transformers initialises it."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from demo_tokenizer import VOCAB

CONFIG = dict(n_layer=3, n_head=4, n_embd=96, vocab_size=VOCAB, n_positions=128, bos_token_id=VOCAB - 1,
              eos_token_id=VOCAB - 1, use_cache=False, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)


def build(attn="sdpa"):
    """A model in evaluation mode; always the same weights with the same version of PyTorch."""
    torch.manual_seed(5)
    return GPT2LMHeadModel(GPT2Config(**CONFIG, attn_implementation=attn)).eval()

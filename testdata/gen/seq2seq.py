"""Writes ../seq2seq/{t5-merged,bart-separate}: optimum's layouts of encoder-decoder models (encoder, decoder with both branches; encoder,
decoder for the first token, decoder for the others), small, with random weights, and expected.json: what transformers' generate gives.

Needs the dyn environment, optimum and optimum-onnx (README.md).
"""
import json
import pathlib
import random
import shutil
import tempfile

import torch
from optimum.exporters.onnx import main_export
from transformers import BartConfig, BartForConditionalGeneration, T5Config, T5ForConditionalGeneration

HERE = pathlib.Path(__file__).parent
V = 97
MODELS = {
    "t5-merged": (T5ForConditionalGeneration(T5Config(vocab_size=V, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, decoder_start_token_id=0,
                  pad_token_id=0, eos_token_id=1)), ["encoder_model.onnx", "decoder_model_merged.onnx"]),
    "bart-separate": (BartForConditionalGeneration(BartConfig(vocab_size=V, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                      decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=32)),
                      ["encoder_model.onnx", "decoder_model.onnx", "decoder_with_past_model.onnx"]),
}
SEARCHES = {"greedy": {}, "beams": {"num_beams": 3, "length_penalty": 0.7}, "first": {"num_beams": 4, "early_stopping": True, "no_repeat_ngram_size": 2}}


def main():
    torch.manual_seed(0)
    r = random.Random(1)
    for name, (m, files) in MODELS.items():
        for p in (p for p in m.parameters() if p.dim() > 1):
            p.data = torch.randn_like(p) * (0.4 if name.startswith("t5") else 0.7)
        m.eval()
        out = HERE.parent / "seq2seq" / name
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as d:
            m.save_pretrained(d + "/hf")
            main_export(d + "/hf", output=d + "/onnx", task="text2text-generation-with-past")
            for f in files + ["config.json", "generation_config.json"]:
                shutil.copy(f"{d}/onnx/{f}", out / f)
        prompts = [[r.randrange(5, V) for _ in range(r.randint(1, 9))] for _ in range(10)]
        want = {}
        for search, kw in SEARCHES.items():
            eos = m.config.eos_token_id
            rows = [m.generate(torch.tensor([p]), max_new_tokens=10, **kw)[0].tolist()[1:] for p in prompts]
            want[search] = [x[: x.index(eos) + 1] if eos in x else x for x in rows]
        text = json.dumps({"prompts": prompts, **want})
        (out / "expected.json").write_text(text.replace(', "', ',\n "') + "\n")


if __name__ == "__main__":
    main()

"""Copies the models of the matrix that tests read from OUT to testdata/matrix: of every architecture the smallest that say
something of their own, of at least two exporters where more than one can."""

import shutil

from matrix_store import OUT, cases

KEPT = (
    "gpt2-optimum-o2", "gpt2-optimum-past", "opt-ts17", "opt-optimum", "gpt-neo-ts17-ortopt", "gpt-neo-optimum-past",
    "gpt-neox-optimum-past", "gpt-neox-dyn23", "llama-optimum-past", "llama-ts17-ortopt", "mistral-optimum", "mistral-ts13",
    "qwen2-ts17-ortopt", "qwen2-dyn23", "qwen3-optimum-past", "qwen3-dyn20", "gemma-optimum", "gemma-ts17", "phi-optimum-past",
    "phi-ts17", "bert-optimum-o2", "bert-ts17-ortopt", "minilm-ts17-fp16", "minilm-optimum-o2", "roberta-optimum-o2",
    "distilbert-optimum-o2", "albert-optimum", "albert-ts17-ortopt", "electra-optimum", "electra-ts17-ortopt", "deberta-v3-ts17",
    "deberta-v3-optimum", "t5-optimum", "t5-optimum-o2", "flan-t5-dyn23", "bart-optimum-o2", "bart-ts17", "vit-ts17-ortopt",
    "vit-optimum", "bert-dyn18-nbits", "opt-ts17-qdq4", "squeezebert-ts17", "wav2vec2-ts17", "falcon-ts17", "poolformer-dyn18",
    "beit-ts17", "t5-ts17-ortopt",
)


def main():
    place = OUT.parents[1] / "testdata" / "matrix"
    shutil.rmtree(place, ignore_errors=True)
    found = {folder.name: case for folder, case in cases()}
    for name in KEPT:
        if "error" in found[name]:
            raise SystemExit(f"{name}: {found[name]['error']}")
        (place / name).mkdir(parents=True)
        for file in ("model.onnx", "case.json"):
            shutil.copy(OUT / name / file, place / name / file)


if __name__ == "__main__":
    main()

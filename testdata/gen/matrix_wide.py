"""More architectures of the export matrix: what else of transformers an ONNX file may hold. One table, sizes as small as in
matrix_families.py; only the exporters of WIDE are run over them."""

from matrix_families import POSITIONS, VOCAB, Architecture, causal, encoder, rotary, t5

WIDE = ("dyn18", "ts17", "optimum", "optimum-past", "ts17-ortopt", "dyn18-ortopt")


def _seq2seq(name, head="ForConditionalGeneration", buffers=("final_logits_bias",), **config):
    """The BART line."""
    base = {"d_model": 20, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
            "encoder_ffn_dim": 38, "decoder_ffn_dim": 42, "vocab_size": VOCAB, "max_position_embeddings": POSITIONS,
            "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2, "use_cache": False}
    return Architecture((f"{name}Config", f"{name}{head}"), base | config, "seq2seq", "text2text-generation", "bart", 2, 20, pad=1,
                        buffers=buffers)


def _vision(name, hidden=20, head="ForImageClassification", fusion="vit", **config):
    base = {"hidden_size": hidden, "intermediate_size": 36, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 12,
            "patch_size": 4, "num_channels": 3, "num_labels": 3}
    return Architecture((f"{name}Config", f"{name}{head}"), base | config, "classify", "image-classification", fusion, 2, hidden)


def _sound(name, **config):
    """The wav2vec 2.0 line: convolutions over the waveform."""
    base = {"hidden_size": 20, "intermediate_size": 36, "num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 3,
            "conv_dim": [8, 10], "conv_stride": [3, 2], "conv_kernel": [5, 3], "num_feat_extract_layers": 2,
            "num_conv_pos_embeddings": 6, "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 14, "vocab_size": VOCAB}
    return Architecture((f"{name}Config", f"{name}ForSequenceClassification"), base | config, "classify", "audio-classification",
                        "bert", 2, 20)


ARCHITECTURES = {
    # decoders
    "gptj": causal("GPTJ", "gpt2", 24, n_embd=24, n_layer=2, n_head=2, n_positions=POSITIONS, rotary_dim=6, n_inner=40),
    "codegen": causal("CodeGen", "gpt2", 32, n_embd=32, n_layer=2, n_head=4, n_positions=POSITIONS, rotary_dim=4, n_inner=40),
    "bloom": causal("Bloom", "gpt2", 24, hidden_size=24, n_layer=2, n_head=2),
    "falcon": causal("Falcon", "gpt2", 24, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, new_decoder_architecture=False,
                     multi_query=True, parallel_attn=True, alibi=False, max_position_embeddings=POSITIONS),
    "mpt": causal("Mpt", "gpt2", 24, d_model=24, n_layers=2, n_heads=2, max_seq_len=POSITIONS, expansion_ratio=2),
    "gpt-bigcode": causal("GPTBigCode", "gpt2", 24, n_embd=24, n_layer=2, n_head=2, n_positions=POSITIONS, n_inner=40, multi_query=True),
    "biogpt": causal("BioGpt", "gpt2", 24, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
                     max_position_embeddings=POSITIONS, pad_token_id=1),
    "xglm": causal("XGLM", "gpt2", 24, d_model=24, ffn_dim=40, num_layers=2, attention_heads=2, max_position_embeddings=POSITIONS,
                   pad_token_id=1).freezing("*embed_positions*"),
    "stablelm": rotary("StableLm", 24, 38),
    "starcoder2": rotary("Starcoder2", 24, 38, sliding_window=None),
    "phi3": rotary("Phi3", 24, 38, pad_token_id=0),
    "gemma2": rotary("Gemma2", 24, 38, head_dim=6, query_pre_attn_scalar=6, sliding_window=4),
    "gemma3": rotary("Gemma3Text", 24, 38, head_dim=6, query_pre_attn_scalar=6, sliding_window=4).named("Gemma3TextConfig", "Gemma3ForCausalLM"),
    "olmo": rotary("Olmo", 24, 38),
    "olmo2": rotary("Olmo2", 24, 38, pad_token_id=0),
    "cohere": rotary("Cohere", 24, 38, pad_token_id=0),
    "granite": rotary("Granite", 24, 38),
    "glm": rotary("Glm", 24, 38, head_dim=6, pad_token_id=0),
    "smollm3": rotary("SmolLM3", 24, 38, pad_token_id=0),
    "nemotron": rotary("Nemotron", 24, 38),
    "persimmon": causal("Persimmon", "gpt2", 24, hidden_size=24, intermediate_size=38, num_hidden_layers=2, num_attention_heads=2,
                        max_position_embeddings=POSITIONS),
    "mixtral": rotary("Mixtral", 24, 38, num_local_experts=3, num_experts_per_tok=2),
    "qwen2-moe": rotary("Qwen2Moe", 24, 38, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=18, shared_expert_intermediate_size=22),
    # encoders
    "mpnet": encoder("MPNet", 24, 42, token_types=False, pad=1, max_position_embeddings=POSITIONS + 2, relative_attention_num_buckets=32),
    "squeezebert": encoder("SqueezeBert", 24, 42, embedding_size=24, q_groups=2, k_groups=2, v_groups=2, post_attention_groups=1,
                           intermediate_groups=2, output_groups=2),
    "convbert": encoder("ConvBert", 24, 42, embedding_size=24, head_ratio=2, conv_kernel_size=3, heads=4),
    "roformer": encoder("RoFormer", 24, 42, embedding_size=24),
    "mobilebert": encoder("MobileBert", 24, 42, embedding_size=12, intra_bottleneck_size=12, num_feedforward_networks=2, trigram_input=True),
    "megatron-bert": encoder("MegatronBert", 24, 42),
    "rembert": encoder("RemBert", 24, 42, input_embedding_size=12, output_embedding_size=14),
    "ernie": encoder("Ernie", 24, 42, task_type_vocab_size=2, use_task_id=False),
    "xlm-roberta": encoder("XLMRoberta", 22, 46, token_types=False, pad=1, type_vocab_size=1, max_position_embeddings=POSITIONS + 2),
    "camembert": encoder("Camembert", 22, 46, token_types=False, pad=1, type_vocab_size=1, max_position_embeddings=POSITIONS + 2),
    "data2vec-text": encoder("Data2VecText", 22, 46, token_types=False, pad=1, type_vocab_size=1, max_position_embeddings=POSITIONS + 2),
    "esm": encoder("Esm", 24, 42, loss="masked-lm", token_types=False, pad=1, position_embedding_type="rotary", mask_token_id=4),
    "modernbert": encoder("ModernBert", 24, 42, token_types=False, local_attention=4, global_attn_every_n_layers=2, reference_compile=False,
                          cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3),
    "deberta": encoder("Deberta", 24, 44, token_types=False, type_vocab_size=0, relative_attention=True, max_relative_positions=-1,
                       pos_att_type=["p2c", "c2p"], position_biased_input=False),
    "nystromformer": encoder("Nystromformer", 24, 42, num_landmarks=4, segment_means_seq_len=4, conv_kernel_size=3),
    "longformer": encoder("Longformer", 24, 42, token_types=False, pad=1, attention_window=[4, 4], max_position_embeddings=POSITIONS + 2),
    "big-bird": encoder("BigBird", 24, 42, attention_type="original_full"),
    # encoder and decoder
    "marian": _seq2seq("Marian", head="MTModel", decoder_vocab_size=VOCAB).freezing("*embed_positions*"),
    "pegasus": _seq2seq("Pegasus").freezing("*embed_positions*"),
    "mbart": _seq2seq("MBart"),
    "m2m100": _seq2seq("M2M100", buffers=()).freezing("*embed_positions*"),
    "blenderbot-small": _seq2seq("BlenderbotSmall"),
    "led": _seq2seq("LED", attention_window=[4, 4], max_encoder_position_embeddings=POSITIONS, max_decoder_position_embeddings=POSITIONS),
    "mt5": t5(24, name="MT5", feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "umt5": t5(24, name="UMT5", feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "longt5": t5(24, name="LongT5", local_radius=3),
    # images and sound
    "deit": _vision("Deit").named("DeiTConfig", "DeiTForImageClassification"),
    "beit": _vision("Beit", use_relative_position_bias=True, use_mask_token=False),
    "dinov2": _vision("Dinov2", mlp_ratio=2),
    "swin": _vision("Swin", 12, embed_dim=6, depths=[1, 1], num_heads=[2, 2], window_size=2, image_size=16, patch_size=2, hidden_size=12),
    "convnext": _vision("ConvNext", hidden_sizes=[8, 10], depths=[1, 1], num_stages=2, patch_size=2),
    "poolformer": _vision("PoolFormer", hidden_sizes=[8, 10], depths=[1, 1], num_encoder_blocks=2, patch_sizes=[3, 3], strides=[2, 2], padding=[1, 1], image_size=16),
    "segformer": _vision("Segformer", num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 12], patch_sizes=[3, 3], strides=[2, 2],
                         num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, image_size=16),
    "mobilevit": _vision("MobileViT", neck_hidden_sizes=[4, 4, 6, 8, 8, 10, 12], hidden_sizes=[12, 14, 16], num_attention_heads=2, image_size=32, patch_size=2),
    "wav2vec2": _sound("Wav2Vec2"),
    "hubert": _sound("Hubert"),
    "wav2vec2-layer": _sound("Wav2Vec2", feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True),
    "whisper-audio": Architecture(
        ("WhisperConfig", "WhisperForAudioClassification"),
        {"d_model": 20, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 36, "num_mel_bins": 8, "max_source_positions": 16,
         "num_labels": 3, "classifier_proj_size": 14, "vocab_size": VOCAB, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 24,
         "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}, "classify", "audio-classification", "bart", 2, 20),
}

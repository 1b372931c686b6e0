"""What transformers reads out of config.json, in both spellings, with keys missing, null and set.

Versions: torch 2.7.1, transformers 5.23.0. Writes golden/configs.json: a row has the file's content, and what follows
from it: widths, windows, and the last position's cos and sin of rows of 9 and 50 tokens.
"""
import copy

import torch
from transformers import AutoConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from _tiny import GOLDEN, write_json

SMALL = dict(vocab_size=96, hidden_size=64, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
             max_position_embeddings=32, torch_dtype="bfloat16")
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0)
CASES = {
    "llama": [
        {}, dict(head_dim=None, num_key_value_heads=None, rope_scaling=None), dict(head_dim=10, num_key_value_heads=1),
        dict(num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=True),
        dict(attention_bias=True), dict(mlp_bias=True), dict(rope_theta=500000.0), dict(rope_scaling={}),
        dict(rope_theta=123.0, rope_scaling=dict(rope_type="default")),
        dict(rope_theta=123.0, rope_parameters=dict(rope_type="default")),
        dict(rope_theta=123.0, rope_parameters=dict(rope_type="default", rope_theta=77.0)),
        dict(rope_scaling=dict(type="linear", factor=4.0)), dict(rope_scaling=dict(type="dynamic", factor=2.0)),
        dict(rope_scaling=LLAMA3), dict(rope_scaling=LLAMA3 | dict(original_max_position_embeddings=16)),
        dict(rope_scaling=LLAMA3, original_max_position_embeddings=16),
        dict(rope_scaling=dict(type="yarn", factor=4.0)),
        dict(rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=16)),
        dict(rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=8),
             original_max_position_embeddings=16),
        dict(rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=16, attention_factor=0.7,
                               beta_fast=8, beta_slow=2, truncate=False)),
        dict(rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=16, mscale=0.5)),
        dict(rope_scaling=dict(type="yarn", factor=None, original_max_position_embeddings=16)),
        dict(rope_theta=123.0, rope_scaling=dict(type="linear", factor=2.0, rope_theta=77.0)),
        dict(sliding_window=8),
    ],
    "mistral": [
        {}, dict(num_attention_heads=8), dict(num_attention_heads=16),
        dict(num_key_value_heads=2, sliding_window=None), dict(num_key_value_heads=2, sliding_window=8),
        dict(num_key_value_heads=2, head_dim=32), dict(num_key_value_heads=2, attention_bias=True),
    ],
    "qwen2": [
        {}, dict(num_attention_heads=32), dict(num_key_value_heads=None), dict(num_key_value_heads=2, sliding_window=8),
        dict(num_key_value_heads=2, use_sliding_window=True, max_window_layers=1),
        dict(num_key_value_heads=2, use_sliding_window=True, max_window_layers=0, sliding_window=None),
        dict(num_key_value_heads=2, use_sliding_window=True, max_window_layers=2, sliding_window=8),
        dict(num_key_value_heads=2, use_sliding_window=True, sliding_window=8),
        dict(num_key_value_heads=2, use_sliding_window=True, max_window_layers=0, sliding_window=8,
             layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
        dict(num_key_value_heads=2, rope_theta=1000000.0,
             rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=8)),
        dict(num_key_value_heads=2, head_dim=32),
    ],
}


def windows(family, config):
    window = getattr(config, "sliding_window", None) if family != "llama" else None
    types = config.layer_types if family == "qwen2" else ["sliding_attention"] * config.num_hidden_layers
    return [window or 0 if kind == "sliding_attention" else 0 for kind in types]


def angles(config, length):
    cos, sin = LlamaRotaryEmbedding(config)(torch.zeros(1), torch.arange(length)[None])
    return [cos[0, -1].tolist(), sin[0, -1].tolist()]


def main():
    rows = []
    for family, cases in CASES.items():
        for keys in cases:
            file = dict(model_type=family) | SMALL | keys
            try:
                config = AutoConfig.for_model(**copy.deepcopy(file))  # which writes into its rope_scaling
            except Exception as refused:  # the classes differ by version
                raise SystemExit(f"{family} {keys}: {refused}") from refused
            head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
            rows.append(dict(config=file, expected=dict(
                num_key_value_heads=config.num_key_value_heads, head_dim=head_dim, rms_norm_eps=config.rms_norm_eps,
                tie_word_embeddings=config.tie_word_embeddings, windows=windows(family, config),
                angles={str(n): angles(config, n) for n in (9, 50)})))
    write_json(GOLDEN / "configs.json", rows)
    print(len(rows), "configurations")


if __name__ == "__main__":
    main()

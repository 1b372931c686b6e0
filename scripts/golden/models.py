"""Tiny models of each decoder option, the log-probabilities of every token, and greedy continuations.

Versions: torch 2.7.1, transformers 5.23.0, bitsandbytes 0.50.2. Writes golden/models; see the README.md there.
"""
import json
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast

from _tiny import MODELS, NARROW, WIDE, apart_from_itself, load, make_model, score, write_json

LENGTHS = (1, 2, 7, 23, 40, 60)
QUANTIZED = ("bf16", "nf4-fp32", "nf4-bf16", "nf4-bf16-upcast", "nf4-single-fp32", "fp4-fp32")


def rope(kind, theta=10000.0, **keys):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=theta, **keys))


# name: (family, keys of config.json, what save_pretrained is told, the 4-bit and bf16 modes to score)
CASES = {
    "llama": ("llama", WIDE | dict(vocab_size=264, num_key_value_heads=4), {}, QUANTIZED),
    "llama-gqa": ("llama", WIDE, {}, QUANTIZED),
    "llama-head-dim": ("llama", NARROW | dict(head_dim=12), {}, ()),
    "llama-tied": ("llama", NARROW | dict(tie_word_embeddings=True), {}, ()),
    "llama-bias": ("llama", NARROW | dict(attention_bias=True, mlp_bias=True), {}, ("bf16",)),
    "llama-theta": ("llama", NARROW | dict(rms_norm_eps=0.05) | rope("default", 500.0), {}, ()),
    "llama-rope-linear": ("llama", NARROW | rope("linear", factor=2.5), {}, ()),
    "llama-rope-dynamic": ("llama", NARROW | dict(head_dim=16, max_position_embeddings=16)
                           | rope("dynamic", factor=2.0), {}, ()),
    "llama-rope-llama3": ("llama", NARROW | dict(head_dim=16) | rope(
        "llama3", 500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=48), {}, ("bf16",)),
    "llama-rope-yarn": ("llama", NARROW | dict(head_dim=16, max_position_embeddings=256) | rope(
        "yarn", factor=4.0, original_max_position_embeddings=64), {}, ("bf16",)),
    "llama-rope-yarn-betas": ("llama", NARROW | dict(head_dim=16, max_position_embeddings=48) | rope(
        "yarn", factor=3.0, original_max_position_embeddings=16, beta_fast=4.0, beta_slow=0.25,
        attention_factor=1.3), {}, ()),
    "llama-rope-yarn-mscale": ("llama", NARROW | dict(head_dim=16, max_position_embeddings=64) | rope(
        "yarn", factor=8.0, original_max_position_embeddings=32, mscale=0.7, mscale_all_dim=0.4,
        truncate=False), {}, ()),
    "llama-fp16": ("llama", NARROW, dict(dtype="float16"), ()),
    "llama-fp32": ("llama", NARROW, dict(dtype="float32"), ()),
    "llama-sharded": ("llama", NARROW, dict(shard="24KB"), ()),
    "mistral": ("mistral", NARROW | dict(sliding_window=8), {}, ("bf16",)),
    "mistral-full": ("mistral", NARROW | dict(sliding_window=None), {}, ()),
    "mistral-head-dim": ("mistral", NARROW | dict(head_dim=16, sliding_window=16), {}, ()),
    "qwen2": ("qwen2", WIDE | dict(use_sliding_window=False, sliding_window=8) | rope("default", 1000000.0), {},
              ("bf16", "nf4-fp32", "nf4-bf16")),
    "qwen2-tied": ("qwen2", NARROW | dict(tie_word_embeddings=True), {}, ()),
    "qwen2-window": ("qwen2", NARROW | dict(num_hidden_layers=3, use_sliding_window=True, sliding_window=8,
                                            max_window_layers=1), {}, ()),
    "llama-mqa": ("llama", NARROW | dict(num_key_value_heads=1), {}, ("bf16",)),
    "llama-attention-bias": ("llama", NARROW | dict(attention_bias=True), {}, ()),
    "llama-mlp-bias": ("llama", NARROW | dict(mlp_bias=True), {}, ()),
    "mistral-rope-linear": ("mistral", NARROW | dict(sliding_window=24) | rope("linear", factor=2.0), {}, ()),
    # as Qwen2.5's cards say to lengthen its context
    "qwen2-rope-yarn": ("qwen2", NARROW | dict(max_position_embeddings=256) | rope(
        "yarn", 1000000.0, factor=4.0, original_max_position_embeddings=64), {}, ("bf16",)),
    "qwen2-head-dim": ("qwen2", NARROW | dict(head_dim=16, use_sliding_window=True, sliding_window=12,
                                              max_window_layers=0), {}, ()),
}


def published(config, family, original):
    """config.json as most published models have it: the spelling before transformers 5."""
    old = {k: v for k, v in config.items() if k not in (
        "dtype", "rope_parameters", "head_dim", "layer_types", "mlp_bias", "attention_bias")}
    old["torch_dtype"] = config["dtype"]
    old["transformers_version"] = "4.40.0"
    parameters = dict(config["rope_parameters"])
    old["rope_theta"] = parameters.pop("rope_theta")
    kind = parameters.pop("rope_type")
    if family != "qwen2":
        old["rope_scaling"] = None
    if kind != "default":
        old["rope_scaling"] = {"type" if kind in ("linear", "dynamic", "yarn") else "rope_type": kind} | parameters
    for key in ("head_dim", "mlp_bias", "attention_bias"):
        if original.get(key):
            old[key] = original[key]
    if family == "qwen2":
        old["sliding_window"] = original.get("sliding_window", 4096)
    if old["num_key_value_heads"] == old["num_attention_heads"]:
        del old["num_key_value_heads"]
    return dict(sorted(old.items()))


def rows(vocab, seed):
    g = torch.Generator().manual_seed(seed)
    return [torch.randint(4, vocab, (n,), generator=g).tolist() for n in LENGTHS]


def greedy(directory, vocab, seed, tokens=200):
    """A continuation without EOS, of many different tokens and no loop, whose every choice is clear of the runner-up.

    So rounding cannot turn it, and a mistake cannot hide in a loop.
    """
    config = GenerationConfig(do_sample=False, max_new_tokens=tokens, eos_token_id=None, pad_token_id=3,
                              return_dict_in_generate=True, output_logits=True, use_cache=True)

    def generate(prompts):
        model = load(directory)
        model.generation_config = config
        out = model.generate(prompts, attention_mask=torch.ones_like(prompts), generation_config=config)
        best = torch.stack(out.logits, 1).topk(2).values
        return out.sequences[:, prompts.shape[1]:].tolist(), (best[..., 0] - best[..., 1]).min(1).values.tolist()

    g = torch.Generator().manual_seed(1000 * seed)
    for _ in range(16):
        prompts = torch.randint(4, vocab, (32, 9), generator=g)
        order = sorted(zip(*generate(prompts), prompts), key=lambda c: -len(set(c[0])))
        for ids, margin, prompt in order:
            if margin > 0.002 and 2 not in ids and len(set(ids)) >= 30 and not loops(ids):
                alone, (margin,) = generate(prompt[None])
                assert alone[0] == ids, f"{directory.name}: a prompt alone goes on otherwise than in a batch"
                return dict(input_ids=prompt.tolist(), output_ids=ids, smallest_margin=round(margin, 6))
    raise SystemExit(f"{directory.name}: no prompt with a clear and varied continuation")


def loops(ids):
    tail = ids[-60:]
    return any(tail[k:] == tail[:-k] for k in range(1, 31))


def byte_tokenizer(directory):
    """Every byte is a token: four special tokens and the 256 of the byte-level alphabet."""
    special = ["<unk>", "<s>", "</s>", "<pad>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(special + alphabet)}, merges=[]))
    tok.add_special_tokens(special)
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tok, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
                            pad_token="<pad>").save_pretrained(directory)


def main():
    only = sys.argv[1:]
    for seed, (name, (family, keys, how, modes)) in enumerate(CASES.items(), 1):
        if only and name not in only:
            continue
        out = make_model(name, family, keys, seed, how.get("dtype", "bfloat16"), how.get("shard", "5GB"))
        data = rows(keys["vocab_size"], seed)
        new = (out / "config.json").read_text()
        old = json.dumps(published(json.loads(new), family, keys), indent=2) + "\n"
        first = score(out / "logprobs.jsonl", lambda: load(out), data)
        (out / "config.json").write_text(old)
        second = score(out / "logprobs.jsonl", lambda: load(out), data)
        assert first == second, f"{name}: the two spellings of config.json differ"
        (out / "config.json").write_text(new)
        (out / "config-published.json").write_text(old)
        apart = {}
        for mode in modes:
            found = score(out / f"logprobs-{mode}.jsonl", lambda: load(out, mode), data)
            apart[mode] = apart_from_itself(lambda: load(out, mode), data, found)
        if apart:
            write_json(out / "apart-from-itself.json", apart)
        (out / "generate.json").write_text(json.dumps(greedy(out, keys["vocab_size"], seed)) + "\n")
        if name == "llama":
            byte_tokenizer(out)
        print(name, flush=True)


if __name__ == "__main__":
    main()

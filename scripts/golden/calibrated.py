"""A tiny Llama quantized block by block, by auto-gptq 0.7.1's solver and by autoawq 0.2.9's quantizer.

Versions: torch 2.7.1, transformers 5.23.0. Writes golden/calibrated/logprobs.json; see the README.md of golden.
Weights and texts come from an integer hash that the test has too. What goes through the blocks, and which layers are
solved together, is auto-gptq's BaseGPTQForCausalLM.quantize with true_sequential, written out here for a Llama; autoawq's
quantizer goes through them itself. Everything is float32.
"""
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import _originals
from _tiny import GOLDEN, fresh, logprobs, write_json

CONFIG = dict(vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=4, max_position_embeddings=64, rms_norm_eps=1e-6, tie_word_embeddings=True)
GROUPS = [["self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj"], ["self_attn.o_proj"],
          ["mlp.up_proj", "mlp.gate_proj"], ["mlp.down_proj"]]


def uniform(n, seed):
    """As in grouped.py."""
    i = np.arange(n, dtype=np.uint32)
    h = i * np.uint32(0x9E3779B1) + np.uint32(seed * 0x85EBCA6B & 0xFFFFFFFF)
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39), (15, 1)):
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    return torch.from_numpy((h >> np.uint32(8)).astype(np.float32) * np.float32(2**-24) - np.float32(0.5))


def texts(count, length, seed):
    ids = ((uniform(count * length, seed) + 0.5) * CONFIG["vocab_size"]).long().clamp(0, CONFIG["vocab_size"] - 1)
    return ids.reshape(count, length)


def model():
    made = LlamaForCausalLM(LlamaConfig(**CONFIG)).eval()
    for seed, (name, weight) in enumerate(sorted(made.named_parameters())):
        if weight.dim() == 1:
            weight.data = 1 + uniform(weight.numel(), 100 + seed) / 2
        else:
            size = 1 if "embed" in name else 4 / weight.shape[1] ** 0.5
            weight.data = (uniform(weight.numel(), 100 + seed) * size).reshape(weight.shape)
    return made


def block_inputs(made, ids):
    """The states before the first block, and what else a block takes."""
    kept = {}

    def keep(module, args, kwargs):
        kept.update(kwargs, hidden_states=args[0] if args else kwargs["hidden_states"])
        raise StopIteration
    hook = made.model.layers[0].register_forward_pre_hook(keep, with_kwargs=True)
    try:
        made(ids, use_cache=False)
    except StopIteration:
        pass
    hook.remove()
    states = kept.pop("hidden_states")
    return states, kept


def first(result):
    return result[0] if isinstance(result, tuple) else result


@torch.no_grad()
def gptq(made, rows, bits, sym, act_order, size=32):
    """Quantizes a Llama by auto-gptq's solver with the texts `rows` [n, length], and back to dense weights."""
    original = _originals.auto_gptq()[0]
    batches = [block_inputs(made, row[None]) for row in rows]
    for layer in made.model.layers:
        for group in GROUPS:
            solvers = {name: original.GPTQ(layer.get_submodule(name)) for name in group}
            hooks = [layer.get_submodule(name).register_forward_hook(
                lambda m, args, out, name=name: solvers[name].add_batch(args[0].data, out.data)) for name in group]
            for states, kwargs in batches:
                layer(states, **kwargs)
            for hook in hooks:
                hook.remove()
            for name in group:
                solvers[name].quantizer.configure(bits, perchannel=True, sym=sym, mse=False)
                scales, zeros, g_idx = solvers[name].fasterquant(percdamp=0.1, group_size=size, actorder=act_order)
                # what a checkpoint holds: scales in float16
                weight, at = layer.get_submodule(name).weight, g_idx.long()
                codes = torch.round(weight.data / scales[:, at] + zeros[:, at])
                weight.data = scales.half().float()[:, at] * (codes - zeros[:, at])
        batches = [(first(layer(states, **kwargs)), kwargs) for states, kwargs in batches]
    return made


@torch.no_grad()
def awq(made, rows, size=32):
    """Quantizes a Llama by autoawq's quantizer with the texts `rows` [n, length], and back to dense weights."""
    quantizer_module = _originals.autoawq()[0]
    llama = _originals.awq_llama()
    plain = torch.nn.Module.state_dict
    # put aside by .cpu(), which copies on a GPU only: see grouped.py
    torch.nn.Module.state_dict = lambda self, *a, **k: {n: v.clone() for n, v in plain(self, *a, **k).items()}
    quantizer = object.__new__(quantizer_module.AwqQuantizer)
    quantizer.awq_model = type("Awq", (), dict(
        model_type="llama", move_embed=lambda *a: None, get_layers_for_scaling=staticmethod(llama.get_layers_for_scaling)))()
    quantizer.model, quantizer.modules = made, made.model.layers
    quantizer.w_bit, quantizer.group_size, quantizer.zero_point, quantizer.version = 4, size, True, "gemm"
    quantizer.duo_scaling, quantizer.n_parallel_calib_samples, quantizer.max_chunk_memory = True, None, 1 << 30
    quantizer.modules_to_not_convert, quantizer.export_compatible, quantizer.apply_clip = [], True, True
    quantizer.inps, quantizer.module_kwargs = block_inputs(made, rows)
    quantizer.quantize()
    for layer in made.model.layers:
        for linear in layer.modules():
            if isinstance(linear, torch.nn.Linear):
                half, scales, zeros = quantizer.pseudo_quantize_tensor(linear.weight.data.half())
                scales = scales.float().repeat_interleave(size, 1)
                # what a checkpoint holds, worked out in float32
                linear.weight.data = scales * torch.round(half.float() / scales)
    torch.nn.Module.state_dict = plain
    return made


def eager(made):
    made.set_attn_implementation("eager")
    return made


def main():
    rows, seen = texts(4, 30, 600).tolist(), texts(6, 24, 500)
    out = {"texts": seen.tolist(), "rows": rows}
    for name, made in (("dense", model()), ("gptq", gptq(model(), seen, 4, True, False)),
                       ("gptq-3-desc", gptq(model(), seen, 3, False, True)), ("awq", awq(model(), seen)),
                       ("awq-eager", awq(eager(model()), seen))):
        out[name] = [[round(v, 6) for v in logprobs(made, ids)] for ids in rows]
        print(name, sum(map(sum, out[name])) / sum(map(len, out[name])))
    write_json(fresh(GOLDEN / "calibrated") / "logprobs.json", out)


if __name__ == "__main__":
    main()

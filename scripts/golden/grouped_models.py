"""A tiny Llama in GPTQ and in AWQ, packed by auto-gptq 0.7.1 and autoawq 0.2.9, and what transformers computes from the
same weights, dequantized into a dense model.

Versions: torch 2.7.1, transformers 5.23.0. Needs golden/models (models.py first). Writes golden/grouped; see the
README.md of golden. Neither GPTQModel nor a kernel is needed: dequantized weights are scale x (code - zero) in float32.
"""
import json

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import _originals
from _tiny import GOLDEN, MODELS, fresh, read_jsonl, score

MODEL = "llama-gqa"
GROUP = 32


def gptq(layer, inputs):
    """[tensors, the dequantized weight] of a layer by act-order and 4 bits without symmetry."""
    gptq_module, _, qlinear = _originals.auto_gptq()
    solver = gptq_module.GPTQ(layer)
    solver.quantizer.configure(4, perchannel=True, sym=False, mse=False)
    solver.add_batch(inputs, None)
    scales, zeros, g_idx = solver.fasterquant(percdamp=0.01, group_size=GROUP, actorder=True)
    layer.half()
    packed = qlinear.QuantLinear(4, GROUP, layer.in_features, layer.out_features, False)
    packed.pack(layer, scales, zeros, g_idx)
    factors = packed.scales.float()[packed.g_idx.long()].t()
    codes = (layer.weight.data.float() / factors).round()
    return {k: getattr(packed, k).contiguous() for k in ("qweight", "qzeros", "scales", "g_idx")}, codes * factors


def awq(layer, inputs):
    """[tensors, the dequantized weight] of a layer rounded to nearest in the gemm layout."""
    quantizer_module, _, gemm, packing = _originals.autoawq()
    quantizer = object.__new__(quantizer_module.AwqQuantizer)
    quantizer.w_bit, quantizer.group_size, quantizer.zero_point = 4, GROUP, True
    layer.half()
    layer.weight.data, scales, zeros = quantizer.pseudo_quantize_tensor(layer.weight.data)
    packed = gemm.WQLinear_GEMM.from_linear(layer, 4, GROUP, scales=scales.t().contiguous(), zeros=zeros.t().contiguous())
    dense = packing.dequantize_gemm(packed.qweight, packed.qzeros, packed.scales.float(), 4, GROUP).t()
    return {k: getattr(packed, k).contiguous() for k in ("qweight", "qzeros", "scales")}, dense


SETTINGS = {
    "gptq": dict(bits=4, group_size=GROUP, damp_percent=0.01, desc_act=True, static_groups=False, sym=False,
                 true_sequential=True, model_name_or_path=None, model_file_base_name="model", is_marlin_format=False,
                 quant_method="gptq"),
    "awq": dict(quant_method="awq", zero_point=True, group_size=GROUP, bits=4, version="gemm",
                modules_to_not_convert=None),
}


def main():
    for name, pack in (("gptq", gptq), ("awq", awq)):
        out = fresh(GOLDEN / "grouped" / name)
        tensors = load_file(MODELS / MODEL / "model.safetensors")
        dense = AutoModelForCausalLM.from_pretrained(MODELS / MODEL, dtype=torch.float32).eval()
        torch.manual_seed(7)
        with torch.no_grad():
            for module_name, module in dense.model.named_modules():
                if isinstance(module, torch.nn.Linear):
                    module_name = "model." + module_name
                    layer = torch.nn.Linear(module.in_features, module.out_features, bias=False)
                    layer.weight.data = module.weight.data.clone()
                    parts, module.weight.data = pack(layer, torch.randn(2, 80, module.in_features))
                    del tensors[module_name + ".weight"]
                    tensors.update({f"{module_name}.{part}": value for part, value in parts.items()})
        save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((MODELS / MODEL / "config.json").read_text())
        config["quantization_config"] = SETTINGS[name]
        (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        data = [r["input_ids"] for r in read_jsonl(MODELS / MODEL / "logprobs.jsonl")]
        score(out / "logprobs-fp32.jsonl", lambda: dense, data)


if __name__ == "__main__":
    main()

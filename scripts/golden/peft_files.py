"""Adapters as peft saves them, the modules it matches, its defaults, and weights it merges.

Versions: torch 2.7.1, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2. Writes peft/src/test/resources/golden:
  modules.json      the modules of a tiny Llama: name, kind, rows, cols
  targets.json      configurations, and what peft matches with them (r, alpha, scaling), or that it raises
  defaults.json     peft's target modules by model_type
  adapters/NAME     adapter directories; adapters/NAME/values.json holds the sum of each tensor
  base, merged      a base of 64 wide matrices, an adapter for it, and merged weights
"""
import json
import os
import pathlib
import shutil
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from bitsandbytes import functional as bnb
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
warnings.simplefilter("ignore")
torch.set_num_threads(1)

OUT = pathlib.Path(__file__).resolve().parents[2] / "peft" / "src" / "test" / "resources" / "golden"
TINY = dict(vocab_size=12, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=16, attention_bias=True, tie_word_embeddings=False)
WIDE = TINY | dict(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_key_value_heads=2, num_attention_heads=4,
                   attention_bias=False, vocab_size=32)


def tiny(dtype=torch.float32, **keys):
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**(TINY | keys)))
    for p in model.parameters():
        p.data.normal_(0, 0.1)
    return model.to(dtype)


def write(name, value):
    (OUT / name).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def modules():
    rows = []
    for name, m in tiny().named_modules():
        if name:
            kind = "head" if name == "lm_head" else "linear" if isinstance(m, torch.nn.Linear) else "other"
            w = getattr(m, "weight", None)
            shape = list(w.shape) + [0] if w is not None and w.dim() == 1 else list(w.shape) if w is not None else [0, 0]
            rows.append([name, kind, *shape])
    write("modules.json", rows)


TARGETS = [
    dict(),
    dict(target_modules=["q_proj"]),
    dict(target_modules=["proj"]),
    dict(target_modules=["self_attn.q_proj", "model.layers.1.mlp.up_proj"], r=4, lora_alpha=12),
    dict(target_modules=["q_proj", "nothing_such"]),
    dict(target_modules="all-linear"),
    dict(target_modules="ALL-Linear", modules_to_save=["mlp"]),
    dict(target_modules=r".*\.0\..*(q|v)_proj"),
    dict(target_modules=r".*q_pro"),
    dict(target_modules=r"(?P<front>.*)layers\.1\.self_attn\.k_proj"),
    dict(target_modules=r".*self_attn"),
    dict(target_modules=["input_layernorm"]),
    dict(target_modules=["lm_head", "v_proj"]),
    dict(target_modules=["q_proj", "v_proj"], layers_to_transform=[1]),
    dict(target_modules=["q_proj"], layers_to_transform=0),
    dict(target_modules=["q_proj"], layers_to_transform=[0], layers_pattern="layers"),
    dict(target_modules=["q_proj"], layers_to_transform=[0], layers_pattern=["h", "layers"]),
    dict(target_modules=["q_proj"], layers_to_transform=[0], layers_pattern="h"),
    dict(target_modules=["model.layers.1.self_attn.q_proj"], layers_to_transform=[0]),
    dict(target_modules=["lm_head", "q_proj"], layers_to_transform=[0]),
    dict(target_modules=["q_proj", "up_proj"], layers_to_transform=[7]),
    dict(layers_to_transform=[1]),
    dict(target_modules="all-linear", layers_to_transform=[1]),
    dict(target_modules=["q_proj"], layers_pattern="layers"),
    dict(target_modules=["q_proj", "v_proj"], exclude_modules=["model.layers.0.self_attn.q_proj"]),
    dict(target_modules="all-linear", exclude_modules=r".*mlp.*"),
    dict(target_modules=["q_proj"], exclude_modules=["self_attn.q_proj"]),
    dict(target_modules=["q_proj", "down_proj"], modules_to_save=["lm_head", "q_proj"]),
    dict(target_modules=["q_proj", "v_proj"], use_rslora=True, r=6, lora_alpha=5),
    dict(target_modules="all-linear", r=4, rank_pattern={"q_proj": 2, r"layers\.1\..*": 3, "model.layers.0.mlp.up_proj": 5},
         alpha_pattern={r".*mlp\.(up|down)_proj": 32, "v_proj": 1}),
    dict(target_modules=["q_proj", "k_proj"], rank_pattern={"^model.layers.0.self_attn.k_proj": 16, "proj": 3}, use_rslora=True),
    dict(target_modules=["q_proj"], rank_pattern={"layers.0.self_attn.q_proj": 1, "self_attn.q_proj": 2}),
    dict(target_modules=["q_proj"], r=0),
]


def targets():
    rows = []
    for keys in TARGETS:
        row = dict(config=keys)
        try:
            model = get_peft_model(tiny(), LoraConfig(task_type="CAUSAL_LM", **keys))
            row["matched"] = [[n.removeprefix("base_model.model."), m.r["default"], m.lora_alpha["default"],
                               m.scaling["default"]] for n, m in model.named_modules() if isinstance(m, LoraLayer)]
            row["printed"] = print_line(model)
        except ValueError as e:
            row["raises"] = str(e)
        rows.append(row)
    write("targets.json", rows)
    write("defaults.json", DEFAULTS)


def print_line(model):
    a, b = model.get_nb_trainable_parameters()
    return f"trainable params: {a:,d} || all params: {b:,d} || trainable%: {100 * a / b:.4f}"


ADAPTERS = {
    "fp32": dict(target_modules=["q_proj"]),
    "bf16": dict(target_modules=["q_proj"], r=4, lora_alpha=16, lora_dropout=0.05),
    "rslora-patterns": dict(target_modules="all-linear", use_rslora=True, rank_pattern={"q_proj": 2, "up_proj": 3},
                            alpha_pattern={"v_proj": 3.5}, r=4, exclude_modules=["o_proj"]),
    "head": dict(target_modules=["v_proj"], r=2, modules_to_save=["lm_head"], init_lora_weights="gaussian"),
    "bias-all": dict(target_modules=["v_proj"], r=2, bias="all", layers_to_transform=[1], layers_pattern=["layers"]),
    "bias-lora-only": dict(target_modules=["v_proj"], r=2, bias="lora_only", init_lora_weights=False),
    "head-as-target": dict(target_modules=["lm_head"], r=2),
}


def adapters():
    for name, keys in ADAPTERS.items():
        base = tiny(torch.bfloat16 if "bf16" in name else torch.float32)
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **keys), autocast_adapter_dtype="bf16" not in name)
        torch.manual_seed(1)
        for key, p in model.named_parameters():
            if p.requires_grad:
                p.data.normal_(0, 0.1)
        model.peft_config["default"].base_model_name_or_path = "models/tiny-Llämä"
        directory = OUT / "adapters" / name
        model.save_pretrained(directory)
        (directory / "README.md").unlink(missing_ok=True)
        from peft import get_peft_model_state_dict
        sums = {k: v.double().sum().item() for k, v in get_peft_model_state_dict(model).items()}
        (directory / "values.json").write_text(json.dumps(sums, indent=1) + "\n")


def merged():
    base = tiny(torch.bfloat16, **WIDE)
    base.generation_config.max_new_tokens = 5
    base.save_pretrained(OUT / "base")
    keys = dict(target_modules=["q_proj", "v_proj", "down_proj"], r=4, lora_alpha=6, use_rslora=True,
                modules_to_save=["lm_head"])
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **keys), autocast_adapter_dtype=False)
    torch.manual_seed(2)
    for key, p in model.named_parameters():
        if p.requires_grad:
            p.data.normal_(0, 0.2)
    model.peft_config["default"].base_model_name_or_path = "base"
    model.save_pretrained(OUT / "merged" / "adapter")
    (OUT / "merged" / "adapter" / "README.md").unlink(missing_ok=True)
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        plain = AutoModelForCausalLM.from_pretrained(OUT / "base", dtype=dtype)
        model = PeftModel.from_pretrained(plain, OUT / "merged" / "adapter", autocast_adapter_dtype=dtype == torch.float32)
        state = model.merge_and_unload(safe_merge=True).state_dict()
        save_file({k: v.contiguous() for k, v in state.items() if touched(k)}, OUT / "merged" / f"{name}.safetensors")
    # onto the base as it is trained on in 4 bits: quantized from bfloat16, dequantized, the rest in float32
    plain = AutoModelForCausalLM.from_pretrained(OUT / "base", dtype=torch.bfloat16)
    model = PeftModel.from_pretrained(plain, OUT / "merged" / "adapter")
    out = {}
    for name, m in model.named_modules():
        if isinstance(m, LoraLayer):
            w = m.get_base_layer().weight.data
            packed, state = bnb.quantize_4bit(w, quant_type="nf4", compress_statistics=True, blocksize=64)
            delta = m.lora_B["default"].weight.float() @ m.lora_A["default"].weight.float() * m.scaling["default"]
            name = name.removeprefix("base_model.model.") + ".weight"
            out[name] = (bnb.dequantize_4bit(packed, state).float() + delta).detach().contiguous()
    save_file(out, OUT / "merged" / "nf4.safetensors")


def touched(key):
    return any(part in key for part in ("q_proj", "v_proj", "down_proj", "lm_head"))


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    modules()
    targets()
    adapters()
    merged()

"""Parameters, trained parameters and memory footprint of models, as transformers and peft count them.

Made with torch 2.7.1, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2:
  python footprint.py ../../trainer/src/test/resources/golden/plan/footprint.json
"""
import json
import pathlib
import sys
import tempfile

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

from _shapes import LLAMA2_7B, LLAMA3_8B, MISTRAL_7B, PEERS_168M, QWEN2_HALF_B, TINY

ALL_SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

COUNTED = {  # counted on torch's meta device: no memory is taken
    "llama-2-7b q,v": (LLAMA2_7B, dict(r=8, target_modules=["q_proj", "v_proj"])),
    "llama-2-7b all-linear": (LLAMA2_7B, dict(r=16, target_modules="all-linear")),
    "llama-3-8b seven": (LLAMA3_8B, dict(r=8, target_modules=ALL_SEVEN)),
    "mistral-7b": (MISTRAL_7B, dict(r=4, target_modules=["k_proj", "o_proj", "down_proj"])),
    "qwen2-0.5b tied": (QWEN2_HALF_B, dict(r=8, target_modules=["q_proj", "v_proj"])),
    "tiny layers": (TINY, dict(r=8, target_modules=["q_proj"], layers_to_transform=[0, 2])),
    "tiny rank pattern": (TINY, dict(r=8, target_modules=ALL_SEVEN, rank_pattern={"down_proj": 3, "layers.1.mlp": 5})),
    "tiny regex": (TINY, dict(r=8, target_modules=r".*layers\.1\..*_proj")),
    "tiny modules to save": (TINY, dict(r=2, target_modules=["v_proj"], modules_to_save=["lm_head", "embed_tokens"])),
    "tiny biases": (dict(TINY, attention_bias=True, mlp_bias=True), dict(r=2, target_modules=["q_proj"])),
    "tiny biases trained": (
        dict(TINY, attention_bias=True, mlp_bias=True), dict(r=2, target_modules=["q_proj"], bias="lora_only")),
    "tiny all biases trained": (dict(TINY, attention_bias=True), dict(r=2, target_modules=["o_proj"], bias="all")),
    "tiny head_dim": (dict(TINY, head_dim=24), dict(r=2, target_modules=["q_proj", "o_proj"])),
    "tiny qwen2": (dict(TINY, model_type="qwen2"), dict(r=2, target_modules=["q_proj", "o_proj"])),
}
LOADED = {
    "peers 168M": PEERS_168M,
    "tiny": TINY,
    "tiny tied": dict(TINY, tie_word_embeddings=True),
    "tiny biases": dict(TINY, attention_bias=True, mlp_bias=True),
    "tiny qwen2": dict(TINY, model_type="qwen2"),
    "tiny mistral": dict(TINY, model_type="mistral"),
}


def config(keys):
    keys = dict(keys)
    return AutoConfig.for_model(keys.pop("model_type"), **keys)


def counted(keys, lora):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config(keys), dtype=torch.bfloat16)
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **lora))
    trainable, parameters = model.get_nb_trainable_parameters()
    return dict(config=keys, lora=lora, trainable=trainable, parameters=parameters)


def loaded(keys):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        AutoModelForCausalLM.from_config(config(keys), dtype=torch.bfloat16).save_pretrained(folder)
        for double in (None, False, True):
            quantization = None if double is None else BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=double)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, quantization_config=quantization)
            rows.append(dict(config=keys, double_quant=double, footprint=model.get_memory_footprint()))
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, quantization_config=BitsAndBytesConfig(load_in_8bit=True))
        rows.append(dict(config=keys, int8=True, footprint=model.get_memory_footprint()))
    return rows


def main():
    out = pathlib.Path(sys.argv[1])
    result = dict(
        counted={name: counted(*case) for name, case in COUNTED.items()},
        loaded={name: loaded(keys) for name, keys in LOADED.items()})
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


main()

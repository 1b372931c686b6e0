"""Which linear layers transformers leaves as they are, by llm_int8_skip_modules and AWQ's modules_to_not_convert.

Versions: transformers 5.23.0, bitsandbytes 0.50.2. The quantizers' own choice and replacement run on torch's meta device;
AWQ's replacement needs GPTQModel, so its two steps (the list, should_convert_module) are called by themselves. Needs
golden/models (models.py first). Writes golden/skips/kept.jsonl: {list, tied, bnb, awq}, the names that are kept (bnb in 4
bits as in 8), list null being none; and scores.jsonl: {input_ids, logprobs} of llama-gqa in NF4 and float32 with the list of
SCORED, under which the head is quantized too.
"""
import torch
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
from transformers.integrations import replace_with_bnb_linear
from transformers.quantizers.base import HfQuantizer
from transformers.quantizers.quantizers_utils import should_convert_module

from _tiny import GOLDEN, MODELS, WIDE, fresh, read_jsonl, score, write_jsonl

LISTS = [
    None, [], ["lm_head"], ["q_proj"], ["proj"], ["lm_head", "down_proj"], ["model.layers.1"], ["layers.1"],
    ["model.layers.1.mlp"], ["model.layers.1.mlp.gate"], ["model.layers.*.mlp"], ["mlp.up_proj"],
    [r"model\.layers\.\d+\.self_attn\.(q|k)_proj"], ["model.layers.0.self_attn", r".*\.1\.mlp\.down_proj"], ["model"],
    ["o_proj|v_proj"], ["embed_tokens", "lm_head"], ["self_attn.v_proj"], [r"(?P<any>.*)\.up_proj"],
]
TIED = [None, [], ["down_proj"], ["lm_head"]]
SCORED = ["down_proj", "model.layers.1.self_attn"]


def model(tied):
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **WIDE | dict(tie_word_embeddings=tied)))


def linears(made):
    return [name for name, module in made.named_modules() if type(module) is torch.nn.Linear]


def kept_by_bnb(tied, skips, **bits):
    made = model(tied)
    chosen = HfQuantizer.get_modules_to_not_convert(made, skips, made._keep_in_fp32_modules)
    return linears(replace_with_bnb_linear(made, chosen, BitsAndBytesConfig(**bits)))


def kept_by_awq(tied, skips):
    made = model(tied)
    chosen = HfQuantizer.get_modules_to_not_convert(made, skips, made._keep_in_fp32_modules, add_default_skips=True)
    return [name for name in linears(made) if not should_convert_module(name, chosen)]


def row(tied, skips):
    eight, four = (kept_by_bnb(tied, skips, **{bits: True}) for bits in ("load_in_8bit", "load_in_4bit"))
    assert eight == four
    return dict(list=skips, tied=tied, bnb=eight, awq=kept_by_awq(tied, skips))


def scored():
    return AutoModelForCausalLM.from_pretrained(
        MODELS / "llama-gqa", dtype=torch.float32, device_map="cpu", quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            llm_int8_skip_modules=SCORED)).eval()


def main():
    out = fresh(GOLDEN / "skips")
    write_jsonl(out / "kept.jsonl", [row(False, skips) for skips in LISTS] + [row(True, skips) for skips in TIED])
    rows = [r["input_ids"] for r in read_jsonl(MODELS / "llama-gqa" / "logprobs.jsonl")]
    score(out / "scores.jsonl", scored, [ids for ids in rows if len(ids) > 8][:2])


if __name__ == "__main__":
    main()

"""4-bit checkpoints as transformers saves them, and what it computes from them once loaded again.

Versions: torch 2.7.1, transformers 5.23.0, bitsandbytes 0.50.2. Needs golden/models (models.py first).
Writes golden/checkpoints; see the README.md of golden.
"""
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from _tiny import GOLDEN, MODELS, fresh, logprobs, plain_4bit, read_jsonl, score

# name: (model, how it is quantized, the size at which a new file starts)
CASES = {
    "nf4-double": ("llama-gqa", dict(bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True), "5GB"),
    "fp4-single-sharded": ("llama-gqa", dict(bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=False), "40KB"),
}


def main():
    for name, (model_name, keys, shard) in CASES.items():
        out = fresh(GOLDEN / "checkpoints" / name)
        # the stored dtype is kept, and so is what the states say of it
        model = AutoModelForCausalLM.from_pretrained(
            MODELS / model_name, dtype=torch.bfloat16, device_map="cpu", quantization_config=BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16, **keys))
        plain_4bit(model)
        data = [r["input_ids"] for r in read_jsonl(MODELS / model_name / "logprobs.jsonl")]
        before = [logprobs(model, ids) for ids in data]
        model.save_pretrained(out, max_shard_size=shard)
        (out / "generation_config.json").unlink(missing_ok=True)
        again = lambda dtype: AutoModelForCausalLM.from_pretrained(out, dtype=dtype, device_map="cpu").eval()
        loaded = score(out / "logprobs-bf16.jsonl", lambda: again(torch.bfloat16), data)
        assert [[round(v, 8) for v in row] for row in before] == [r["logprobs"] for r in loaded], name

        def in_float32():
            """transformers leaves a quantized directory's other tensors as stored, so they are widened here."""
            loaded = again(torch.float32)
            for weight in loaded.parameters():
                if weight.dtype == torch.bfloat16:
                    weight.data = weight.data.float()
            for layer in loaded.modules():
                if type(layer).__name__ == "Linear4bit":
                    layer.compute_dtype, layer.compute_type_is_set = torch.float32, True
            return loaded

        score(out / "logprobs-fp32.jsonl", in_float32, data)
        for file in sorted(out.glob("*.safetensors")):
            with safe_open(file, "pt") as f:
                print(name, file.name, len(f.keys()), "tensors", f.metadata())


if __name__ == "__main__":
    main()

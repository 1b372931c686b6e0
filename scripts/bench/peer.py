"""The Python side of scripts/bench/compare: the same jobs on transformers + peft + bitsandbytes; prints JSON.

transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2, torch 2.7.1 (scripts/golden/requirements.txt).

  python peer.py load MODEL                              load and quantize
  python peer.py train MODEL ROWS --steps N ...          r 8 on all linear layers, rows in file order, checkpointed
  python peer.py generate MODEL ID,ID,... --new N        greedily, one row
  python peer.py tokenizer MODEL ALPACA                  gives MODEL a tokenizer trained on these rows
"""
import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def load(directory):
    """The base in NF4 with double quantization, and the seconds that it took."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    torch.manual_seed(0)
    start = time.time()
    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.bfloat16, device_map="cpu",
        quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                               bnb_4bit_use_double_quant=True,
                                               bnb_4bit_compute_dtype=torch.bfloat16))
    return model, time.time() - start


def encoded(directory, file, max_length):
    """Ids and labels of the rows of a file: alpaca where it is a JSON array, else JSON lines of input_ids."""
    text = pathlib.Path(file).read_text(encoding="utf-8")
    if not text.startswith("["):
        return [(ids, ids) for ids in (json.loads(line)["input_ids"][:max_length] for line in text.splitlines())]
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(directory)
    rows = []
    for row in json.loads(text):
        prompt = "\n".join(["Human: " + row["instruction"], row.get("input") or ""]).strip() + "\n\nAssistant: "
        head = tokenizer(prompt, add_special_tokens=False).input_ids
        answer = tokenizer(row["output"], add_special_tokens=False).input_ids + [tokenizer.eos_token_id]
        if len(head) < max_length:  # else nothing of the row is learned, and neither side takes it
            rows.append(((head + answer)[:max_length], ([-100] * len(head) + answer)[:max_length]))
    return rows


def train(a):
    import torch
    from peft import LoraConfig, get_peft_model
    model, seconds = load(a.model)
    model.config.use_cache = False
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    trained = [w for w in model.parameters() if w.requires_grad]
    for w in trained:
        w.data = w.data.float()
    optimizer = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0)
    rows = encoded(a.model, a.rows, a.max_length)
    model.train()
    steps = []
    for step in range(a.steps):
        batch = [rows[(step * a.batch + i) % len(rows)] for i in range(a.batch)]
        learned = sum(label != -100 for _, labels in batch for label in labels[1:])
        start = time.time()
        width = max(len(ids) for ids, _ in batch)
        loss = model(input_ids=torch.tensor([ids + [3] * (width - len(ids)) for ids, _ in batch]),
                     attention_mask=torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in batch]),
                     labels=torch.tensor([labels + [-100] * (width - len(labels)) for _, labels in batch]),
                     num_items_in_batch=learned).loss
        loss.backward()
        loss.item()
        optimizer.step()
        optimizer.zero_grad()
        tokens = sum(len(ids) for ids, _ in batch)  # without padding
        steps.append(dict(tokens=tokens, tokens_per_second=tokens / (time.time() - start)))
    print(json.dumps(dict(load=seconds, steps=steps)))


def generate(a):
    import torch
    model, _ = load(a.model)  # in evaluation mode, so that bitsandbytes repacks for its matrix-vector kernel

    class Clock:
        """Is given the prompt first, and then each token as it comes."""

        def __init__(self):
            self.times = []

        def put(self, value):
            self.times.append(time.time())

        def end(self):
            pass

    clock = Clock()
    ids = torch.tensor([[int(part) for part in a.ids.split(",")]])
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=a.new,
                         streamer=clock)
    new = out.shape[1] - ids.shape[1]
    # as qlora4j counts: without the prompt's own pass, which gives the first token
    print(json.dumps(dict(new_tokens=new, tokens_per_second=(new - 1) / (clock.times[-1] - clock.times[1]))))


def tokenizer(a):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    rows = json.loads(pathlib.Path(a.rows).read_text(encoding="utf-8"))
    bpe.train_from_iterator(
        ("\n".join(row.get(key) or "" for key in ("instruction", "input", "output")) for row in rows),
        trainers.BpeTrainer(vocab_size=8000, special_tokens=["<unk>", "<s>", "</s>", "<pad>"], show_progress=False,
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
                            pad_token="<pad>").save_pretrained(a.model)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("load")
    verb.add_argument("model")
    verb = verbs.add_parser("train")
    verb.add_argument("model")
    verb.add_argument("rows")
    verb.add_argument("--steps", type=int, required=True)
    verb.add_argument("--batch", type=int, required=True)
    verb.add_argument("--max-length", type=int, required=True)
    verb = verbs.add_parser("generate")
    verb.add_argument("model")
    verb.add_argument("ids")
    verb.add_argument("--new", type=int, required=True)
    verb = verbs.add_parser("tokenizer")
    verb.add_argument("model")
    verb.add_argument("rows")
    a = parser.parse_args()
    if a.verb == "load":
        print(json.dumps(dict(load=load(a.model)[1])))
    else:
        dict(train=train, generate=generate, tokenizer=tokenizer)[a.verb](a)


main()

"""Model directories and rows for the measurements, made by the standard library alone.

The weights are random bfloat16 numbers between 2^-7 and 2^-5 and their negatives (a standard deviation of 0.02, as
transformers' initializer_range); they are written a piece at a time, so that making a model takes no memory.
"""
import json
import pathlib
import random
import shutil

PIECE = 8 << 20
SIGN = bytes(0x3C | (byte & 1) << 7 for byte in range(256))  # the high byte of +-2^-7...2^-5; the low byte is free
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>"]
FIRST_WORD = len(SPECIAL) + 3

LLAMA_168M = dict(hidden_size=1024, intermediate_size=2816, num_hidden_layers=8, num_attention_heads=16,
                  num_key_value_heads=16, vocab_size=32000)
TINYLLAMA = dict(hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32,
                 num_key_value_heads=4, vocab_size=32000)

# Tokens of the prompts and answers of 999 rows of the Alpaca kind (BPE of 8,000 tokens): quantiles at these shares.
SHARES = [0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1]
PROMPT = [13, 17, 18, 20, 25, 33, 43, 54, 177]
ANSWER = [2, 10, 13, 30, 120, 278, 390, 435, 876]


def config(**shape):
    return dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu", rms_norm_eps=1e-6,
                rope_theta=10000.0, max_position_embeddings=2048, attention_bias=False, mlp_bias=False,
                tie_word_embeddings=False, torch_dtype="bfloat16", bos_token_id=1, eos_token_id=2, pad_token_id=3,
                **shape)


def parameters(shape):
    return sum(rows * cols for _, (rows, *more) in tensors(shape) for cols in [more[0] if more else 1])


def tensors(shape):
    """Names and shapes, in the order in which a model is read."""
    hidden, middle = shape["hidden_size"], shape["intermediate_size"]
    keys = hidden // shape["num_attention_heads"] * shape["num_key_value_heads"]
    yield "model.embed_tokens.weight", (shape["vocab_size"], hidden)
    for i in range(shape["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        yield layer + "self_attn.q_proj.weight", (hidden, hidden)
        yield layer + "self_attn.k_proj.weight", (keys, hidden)
        yield layer + "self_attn.v_proj.weight", (keys, hidden)
        yield layer + "self_attn.o_proj.weight", (hidden, hidden)
        yield layer + "mlp.gate_proj.weight", (middle, hidden)
        yield layer + "mlp.up_proj.weight", (middle, hidden)
        yield layer + "mlp.down_proj.weight", (hidden, middle)
        yield layer + "input_layernorm.weight", (hidden,)
        yield layer + "post_attention_layernorm.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (shape["vocab_size"], hidden)


def make(directory, shape, shard_bytes=512 << 20):
    """A Llama of this shape, unless it is there already. Returns the directory."""
    directory = pathlib.Path(directory)
    text = json.dumps(config(**shape), indent=2)
    if (directory / "config.json").is_file() and (directory / "config.json").read_text() == text:
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    shards, size = [[]], 0
    for name, dims in tensors(shape):
        length = 2 * dims[0] * (dims[1] if len(dims) > 1 else 1)
        if size + length > shard_bytes and shards[-1]:
            shards.append([])
            size = 0
        shards[-1].append((name, dims, length))
        size += length
    draw = random.Random(0)
    where = {}
    for number, shard in enumerate(shards, 1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_shard(directory / file, shard, draw)
        where |= {name: file for name, _, _ in shard}
    if len(shards) > 1:
        (directory / "model.safetensors.index.json").write_text(json.dumps(dict(metadata={}, weight_map=where)))
    write_word_tokenizer(directory, shape["vocab_size"])
    (directory / "config.json").write_text(text)  # last: it says that the rest is there
    return directory


def write_shard(file, shard, draw):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, dims, length in shard:
        header[name] = dict(dtype="BF16", shape=list(dims), data_offsets=[at, at + length])
        at += length
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(file, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for _, dims, length in shard:
            if len(dims) == 1:
                out.write(b"\x80\x3f" * dims[0])  # a norm's weights: ones
                continue
            for start in range(0, length, PIECE):
                count = min(PIECE, length - start) // 2
                piece = bytearray(2 * count)
                piece[0::2] = draw.randbytes(count)
                piece[1::2] = draw.randbytes(count).translate(SIGN)
                out.write(piece)


def write_word_tokenizer(directory, vocabulary):
    """A word is a token: w7, w8, ... and what the template needs."""
    words = SPECIAL + ["Human", "Assistant", ":"] + [f"w{i}" for i in range(FIRST_WORD, vocabulary)]
    tokenizer = dict(
        version="1.0", truncation=None, padding=None, normalizer=None, pre_tokenizer=dict(type="Whitespace"),
        post_processor=None, decoder=None,
        added_tokens=[dict(id=i, content=word, single_word=False, lstrip=False, rstrip=False, normalized=False,
                           special=True) for i, word in enumerate(SPECIAL)],
        model=dict(type="WordLevel", vocab={word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    (directory / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="PreTrainedTokenizerFast", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        pad_token="<pad>")))


def id_rows(file, lengths, vocabulary, seed=1):
    """Rows of random ids in the format `tokenized`; every token but the first of a row is learned."""
    draw = random.Random(seed)
    with open(file, "w", encoding="utf-8") as out:
        for length in lengths:
            out.write(json.dumps({"input_ids": [draw.randrange(FIRST_WORD, vocabulary) for _ in range(length)]}) + "\n")
    return file


def alpaca_rows(file, count, vocabulary, seed=1):
    """Rows of invented words in the format `alpaca`, as long as real ones are (SHARES, PROMPT, ANSWER)."""
    draw = random.Random(seed)
    words = lambda n: " ".join(f"w{draw.randrange(FIRST_WORD, vocabulary)}" for _ in range(max(1, n)))
    rows = [dict(instruction=words(quantile(draw.random(), PROMPT) - 4), input="",  # 4: Human : Assistant :
                 output=words(quantile(draw.random(), ANSWER) - 1)) for _ in range(count)]
    pathlib.Path(file).write_text(json.dumps(rows), encoding="utf-8")
    return file


def quantile(share, values):
    for i in range(1, len(SHARES)):
        if share <= SHARES[i]:
            part = (share - SHARES[i - 1]) / (SHARES[i] - SHARES[i - 1])
            return round(values[i - 1] + part * (values[i] - values[i - 1]))
    raise ValueError(share)

"""Where the time of a training step goes: runs Profile.java and sorts the operators that the engine recorded.

Each operator counts without those that it calls. Products are told apart by their shapes, everything else by name and
by the shape of the largest tensor it takes. What lies between operators is Java, TorchScript's interpreter and
bitsandbytes' dequantization; the last is measured alone and taken out of it.
"""
import json
import math
import statistics

import _runs

BASE = "products with the base's weights"
ADAPTER = "products with the adapters"
HEAD_PRODUCTS = "products with the head"
HEAD = "the head's softmax and loss"
ATTENTION = "attention"
NORMS = "norms and residuals"
ROPE = "rotary embedding, layout of heads"
MLP = "silu · up"
UPDATE = "adapters otherwise, optimizer"
WEIGHTS = "4-bit weights worked out"
OTHER = "other operators"
BETWEEN = "between operators (Java, TorchScript, autograd)"
ORDER = [BASE, ADAPTER, HEAD_PRODUCTS, ATTENTION, MLP, NORMS, ROPE, HEAD, WEIGHTS, UPDATE, OTHER, BETWEEN]
MATRICES = {"aten::mm": 0, "aten::addmm": 1, "aten::addmm_": 1}  # where the first factor stands among the arguments
CALLERS = {"aten::linear": 0, "aten::matmul": 0}
PRODUCTS = MATRICES | CALLERS
BATCHED = {"aten::bmm", "aten::baddbmm", "aten::baddbmm_", "aten::_softmax", "aten::softmax",
           "aten::_softmax_backward_data", "aten::_scaled_dot_product_flash_attention_for_cpu",
           "aten::_scaled_dot_product_flash_attention_for_cpu_backward"}


class Profile:
    """Milliseconds a step by part, and the FLOPs of the products by part."""

    def __init__(self, file, shape, rank, recorded):
        self.shape, self.rank = shape, rank
        self.ms = dict.fromkeys(ORDER, 0.0)
        self.flops = dict.fromkeys((BASE, ADAPTER, HEAD_PRODUCTS), 0.0)
        self.names = {}
        for event, own in self_times(json.loads(file.read_text())):
            part = self.part(event)
            self.ms[part] += own / 1000 / recorded
            self.names[part, event["name"]] = self.names.get((part, event["name"]), 0) + own / 1000 / recorded
            if part in self.flops and event["name"] in MATRICES:
                self.flops[part] += flops(event) / recorded

    def part(self, event):
        shapes = [s for s in event.get("shape", []) if s]
        dims = max(shapes, key=math.prod, default=[])
        last = dims[-1] if dims else 0
        if not event["name"].startswith("aten::"):
            return BETWEEN  # a function of ours, or a node of autograd, without what it calls
        vocabulary = any(self.shape["vocab_size"] in s for s in shapes)
        if event["name"] in PRODUCTS and factors(event):
            if vocabulary:
                return HEAD_PRODUCTS
            return ADAPTER if min(factors(event)) <= 4 * self.rank else BASE
        if "embedding" in event["name"]:
            return OTHER
        if vocabulary or "logsumexp" in event["name"]:
            return HEAD
        if event["name"] in BATCHED or len(dims) == 4 or len(dims) == 5:
            return ATTENTION
        if "adam" in event["name"] or self.is_adapter(dims):
            return UPDATE
        if len(dims) == 3:
            head = self.shape["hidden_size"] // self.shape["num_attention_heads"]
            rotated = last in (head, head // 2) and dims[1] in (
                1, self.shape["num_attention_heads"], self.shape["num_key_value_heads"])
            return ROPE if rotated else ATTENTION
        if last == self.shape["intermediate_size"]:
            return MLP
        if last in (1, self.shape["hidden_size"]):
            return NORMS
        return OTHER

    def is_adapter(self, dims):
        return len(dims) == 2 and self.rank in dims


def factors(event):
    """M, K, N of a product of matrices; empty where the operator only hands it on."""
    at = PRODUCTS[event["name"]]
    shapes = event.get("shape", [])[at:at + 2]
    if len(shapes) < 2 or any(len(s) != 2 for s in shapes):
        return []
    (m, k), (first, second) = shapes
    return [m, k, first if event["name"] == "aten::linear" else second]


def flops(event):
    return 2 * math.prod(factors(event))


def self_times(events):
    """Each operator with its microseconds without those of the operators within it."""
    events = sorted((e for e in events if e.get("ph") == "X"), key=lambda e: (e["ts"], -e["dur"]))
    open_ones, found = [], []
    for event in events:
        while open_ones and open_ones[-1][0]["ts"] + open_ones[-1][0]["dur"] <= event["ts"]:
            open_ones.pop()
        if open_ones:
            open_ones[-1][1] -= event["dur"]
        entry = [event, event["dur"]]
        open_ones.append(entry)
        found.append(entry)
    return found


def profile(model, shape, rows, rank, recorded=3, plain=4, **sections):
    """Trains and profiles. Returns the parts, with their sum, and what Profile.java printed."""
    trace = _runs.WORK / "trace.json"
    config = _runs.configure(model, rows, 1, **sections)
    child = _runs.java("Profile.java", config, trace, plain, recorded)
    said = json.loads(child.stdout.splitlines()[-1])
    parts = Profile(trace, shape, rank, recorded)
    step = 1000 * statistics.mean(said["recorded"])
    worked_out = 2 * 1000 * said["worked_out"]  # once a block in the forward pass, once in the backward pass
    between = step - sum(parts.ms.values())
    parts.ms[WEIGHTS] = min(worked_out, between)
    parts.ms[BETWEEN] += between - parts.ms[WEIGHTS]
    said["step"] = step
    return parts, said

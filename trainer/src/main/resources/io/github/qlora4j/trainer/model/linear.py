# A linear layer with its adapter, and its backward pass written by hand.
#
# w holds what is frozen, t what is trained, both under the names of Hugging Face's modules. An adapted layer has
# NAME.lora_A.weight and NAME.lora_B.weight in t and its scaling in w. Shapes: x [tokens, in], weight [out, in],
# A [r, in], B [out, r]. The base computes in its weight's dtype, the adapter in its own; the result has x's dtype
# (bitsandbytes/nn/modules.py Linear4bit.forward, peft/tuners/lora/bnb.py Linear4bit.forward). Where NAME.SCB is in w
# the weight is int8 and the product is int8_product's (quant's int8.py), in passes without a backward pass alone.

def dropped(x: Tensor, p: float, seed: int) -> Tensor:
  if p > 0.:
    g = torch.Generator(device=torch.device("cpu"), seed=seed)
    keep = torch.bernoulli(torch.zeros_like(x), 1. - p, generator=g)
    x = torch.div(torch.mul(x, keep), 1. - p)
  return x

def bias_of(w: Dict[str, Tensor], t: Dict[str, Tensor], name: str) -> List[Tensor]:
  key = name + ".bias"
  found = annotate(List[Tensor], [])
  if key in t:
    found = [t[key]]
  elif key in w:
    found = [w[key]]
  return found

# Adds the adapter's part to y, which nobody else has.
def adapted(y: Tensor, x: Tensor, w: Dict[str, Tensor], t: Dict[str, Tensor], name: str, p: float, seed: int) -> Tensor:
  if name + ".lora_A.weight" in t:
    a = t[name + ".lora_A.weight"]
    b = t[name + ".lora_B.weight"]
    u = torch.mul(torch.matmul(dropped(torch.to(x, a), p, seed), torch.t(a)), w[name + ".scaling"])
    if ops.prim.dtype(y) == ops.prim.dtype(b):
      torch.addmm_(y, u, torch.t(b))
    else:
      torch.add_(y, torch.to(torch.matmul(u, torch.t(b)), y))
  return y

def linear(x: Tensor, w: Dict[str, Tensor], t: Dict[str, Tensor], name: str, p: float, seed: int) -> Tensor:
  weight = w[name + ".weight"]
  found = bias_of(w, t, name)
  if name + ".SCB" in w:
    cast = annotate(List[Tensor], [])
    for b in found:
      cast = torch.append(cast, torch.to(b, x))
    y = int8_product(x, weight, w[name + ".SCB"], cast, float(w[name + ".threshold"]), bool(w[name + ".engine"]))
  else:
    bias = annotate(Optional[Tensor], None)
    if len(found) > 0:
      bias = torch.to(found[0], weight)
    y = torch.to(torch.linear(torch.to(x, weight), weight, bias), x)
  return adapted(y, x, w, t, name, p, seed)

# The layer's result from its product with the weight, which was made elsewhere and is nobody else's.
def linear_of(product: Tensor, x: Tensor, w: Dict[str, Tensor], t: Dict[str, Tensor], name: str) -> Tensor:
  found = bias_of(w, t, name)
  if len(found) > 0:
    torch.add_(product, torch.to(found[0], product))
  return adapted(torch.to(product, x), x, w, t, name, 0., 0)

# The gradient with respect to x (empty where it is not wanted), and into `grads` those of what is trained, from the
# gradient gy of the result.
def linear_backward(gy: Tensor, x: Tensor, w: Dict[str, Tensor], t: Dict[str, Tensor], name: str, p: float, seed: int,
                    grads: Dict[str, Tensor], wants_x: bool) -> Tensor:
  weight = w[name + ".weight"]
  gx = torch.zeros([0])
  if wants_x:
    gx = torch.to(torch.matmul(torch.to(gy, weight), weight), x)
  if name + ".bias" in t:
    grads[name + ".bias"] = torch.sum(gy, [0], False, dtype=6)
  if name + ".lora_A.weight" in t:
    a = t[name + ".lora_A.weight"]
    b = t[name + ".lora_B.weight"]
    d = dropped(torch.to(x, a), p, seed)
    g = torch.to(gy, b)
    scaling = w[name + ".scaling"]
    gu = torch.mul(torch.matmul(g, b), scaling)
    u = torch.mul(torch.matmul(d, torch.t(a)), scaling)
    grads[name + ".lora_B.weight"] = torch.t(torch.matmul(torch.t(u), g))
    grads[name + ".lora_A.weight"] = torch.matmul(torch.t(gu), d)
    if wants_x:
      if p == 0. and ops.prim.dtype(gx) == ops.prim.dtype(a):
        torch.addmm_(gx, gu, a)
      else:
        # dropout's mask is drawn again from its seed
        torch.add_(gx, torch.to(dropped(torch.matmul(gu, a), p, seed), gx))
  return gx

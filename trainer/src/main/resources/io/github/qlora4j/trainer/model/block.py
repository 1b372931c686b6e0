# One decoder block, forward and backward, whatever the family: a residual around attention and one around the MLP,
# each ending in a linear layer (attention_last, mlp_last) behind a core (attention_core, mlp_core).
#
# The backward pass recomputes the cores and differentiates them by autograd; the last linear layers are
# differentiated by hand, so that their products are never recomputed. kept says what the forward pass leaves for it:
#   [x, o, lse, h]                    the layer's input, attention's result and log-sum-exp, the residual after attention
#   [x, o, lse, h, q, k, v, m, …]     all of it with the graph, nothing is recomputed; then the leaves, in t's order
# Dequantized weights in w may be overwritten between the two passes, but must be back before the backward pass.
# Dropout's mask is drawn from a seed a linear layer, and drawn again when recomputing.

def leaves_of(t: Dict[str, Tensor]) -> Dict[str, Tensor]:
  leaves = annotate(Dict[str, Tensor], {})
  for key in torch.keys(t):
    leaves[key] = torch.requires_grad_(torch.detach(t[key]), True)
  return leaves

def block_forward(x: Tensor, w: Dict[str, Tensor], t: Dict[str, Tensor], cos: Tensor, sin: Tensor, rows: List[int],
                  shape: List[int], window: int, eps: float, scale: float, p: float, seed: int,
                  keep_graph: bool) -> List[Tensor]:
  was = torch.is_grad_enabled()
  torch.set_grad_enabled(keep_graph)
  leaves = t
  if keep_graph:
    leaves = leaves_of(t)
    x = torch.requires_grad_(torch.detach(x), True)
  q, k, v = attention_core(x, w, leaves, cos, sin, shape, eps, p, seed)
  torch.set_grad_enabled(False)
  o, lse = attention(q, k, v, rows, window, scale)
  h = torch.add(x, linear(o, w, t, attention_last(), p, seed + 3))
  torch.set_grad_enabled(keep_graph)
  if keep_graph:
    h = torch.requires_grad_(torch.detach(h), True)
  m = mlp_core(h, w, leaves, eps, p, seed + 4)
  torch.set_grad_enabled(False)
  y = torch.add(h, linear(m, w, t, mlp_last(), p, seed + 6))
  torch.set_grad_enabled(was)
  kept = [y, x, o, lse, h]
  if keep_graph:
    kept = torch.add(kept, [q, k, v, m])
    for key in torch.keys(leaves):
      kept = torch.append(kept, leaves[key])
  return kept

def gather(found: List[Optional[Tensor]], keys: List[str], grads: Dict[str, Tensor]) -> Tensor:
  for i in range(len(keys)):
    g = found[i + 1]
    if g is not None:
      grads[keys[i]] = g
  first = found[0]
  if first is None:
    first = torch.zeros([0])
  return first

# [gradient of x (empty where not wanted), then those of t in its order] from the gradient gy of the block's result.
def block_backward(gy: Tensor, kept: List[Tensor], w: Dict[str, Tensor], t: Dict[str, Tensor], cos: Tensor,
                   sin: Tensor, rows: List[int], shape: List[int], window: int, eps: float, scale: float, p: float,
                   seed: int, wants_x: bool) -> List[Tensor]:
  was = torch.is_grad_enabled()
  torch.set_grad_enabled(True)
  keys = torch.keys(t)
  grads = annotate(Dict[str, Tensor], {})
  graph = len(kept) > 4
  x, o, lse, h = kept[0], kept[1], kept[2], kept[3]
  leaves = annotate(Dict[str, Tensor], {})
  if graph:
    for i in range(len(keys)):
      leaves[keys[i]] = kept[8 + i]
    m = kept[7]
  else:
    leaves = leaves_of(t)
    h = torch.requires_grad_(torch.detach(h), True)
    m = mlp_core(h, w, leaves, eps, p, seed + 4)
  wanted = [h]
  for key in keys:
    wanted = torch.append(wanted, leaves[key])
  torch.set_grad_enabled(False)
  gm = linear_backward(gy, torch.detach(m), w, t, mlp_last(), p, seed + 6, grads)
  gh = torch.add(gy, gather(torch.autograd.grad([m], wanted, annotate(List[Optional[Tensor]], [gm]), None, False, True), keys, grads))
  go = linear_backward(gh, o, w, t, attention_last(), p, seed + 3, grads)
  gx = torch.zeros([0])
  torch.set_grad_enabled(True)
  if graph:
    q, k, v = kept[4], kept[5], kept[6]
  else:
    x = torch.requires_grad_(torch.detach(x), wants_x)
    q, k, v = attention_core(x, w, leaves, cos, sin, shape, eps, p, seed)
  torch.set_grad_enabled(False)
  if ops.prim.requires_grad(q) or ops.prim.requires_grad(k) or ops.prim.requires_grad(v):
    gq, gk, gv = attention_backward(go, torch.detach(q), torch.detach(k), torch.detach(v), o, lse, rows, window, scale)
    outputs = annotate(List[Tensor], [])
    seeds = annotate(List[Optional[Tensor]], [])
    if ops.prim.requires_grad(q):
      outputs = torch.append(outputs, q)
      seeds = torch.append(seeds, gq)
    if ops.prim.requires_grad(k):
      outputs = torch.append(outputs, k)
      seeds = torch.append(seeds, gk)
    if ops.prim.requires_grad(v):
      outputs = torch.append(outputs, v)
      seeds = torch.append(seeds, gv)
    if wants_x:
      wanted[0] = x
      gx = torch.add(gh, gather(torch.autograd.grad(outputs, wanted, seeds, None, False, True), keys, grads))
    else:
      # nothing below is trained: the leaf stands in for x, whose gradient is not wanted
      wanted[0] = wanted[1]
      gather(torch.autograd.grad(outputs, wanted, seeds, None, False, True), keys, grads)
  torch.set_grad_enabled(was)
  result = [gx]
  for key in keys:
    if key in grads:
      result = torch.append(result, grads[key])
    else:
      result = torch.append(result, torch.zeros_like(t[key]))
  return result

# New tokens of one row through the block with its cache; see attention_cached.
def block_cached(x: Tensor, w: Dict[str, Tensor], t: Dict[str, Tensor], cos: Tensor, sin: Tensor, cache_k: Tensor,
                 cache_v: Tensor, past: int, shape: List[int], window: int, eps: float, scale: float) -> Tensor:
  q, k, v = attention_core(x, w, t, cos, sin, shape, eps, 0., 0)
  o = attention_cached(q, k, v, cache_k, cache_v, past, window, scale)
  h = torch.add(x, linear(o, w, t, attention_last(), 0., 0))
  return torch.add(h, linear(mlp_core(h, w, t, eps, 0., 0), w, t, mlp_last(), 0., 0))

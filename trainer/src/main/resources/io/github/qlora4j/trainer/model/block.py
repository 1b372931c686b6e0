# One decoder block, forward and backward, whatever the family: two halves, each a norm, linear layers side by side, a
# mix of their results, a last linear layer and a residual. The family's file names them, and has the norm and the
# mixes with their derivatives.
#
# kept says what the forward pass leaves for the backward pass:
#   [x, o, h]                the block's input, attention's result, the residual after attention
#   [x, o, h, parts ...]     and the results of attention_inputs and mlp_inputs: no product is made again
# Dequantized weights in w may be overwritten between the two passes, but must be back before the backward pass.
# Dropout's mask is drawn from a seed a linear layer, and drawn again when recomputing.

def side_by_side(n: Tensor, w: Dict[str, Tensor], t: Dict[str, Tensor], names: List[str], p: float, seed: int) -> List[Tensor]:
  parts = annotate(List[Tensor], [])
  for i in range(len(names)):
    parts = torch.append(parts, linear(n, w, t, names[i], p, seed + i))
  return parts

def block_forward(x: Tensor, w: Dict[str, Tensor], t: Dict[str, Tensor], cos: Tensor, sin: Tensor, layout: List[int],
                  padded: Tensor, places: Tensor, shape: List[int], window: int, eps: float, scale: float, p: float,
                  seed: int, keep_parts: bool) -> List[Tensor]:
  first = side_by_side(norm(x, w, attention_norm(), eps), w, t, attention_inputs(), p, seed)
  q, k, v = heads(first, cos, sin, shape)
  o = attention(q, k, v, layout, padded, places, window, scale)
  at = seed + len(first)
  h = torch.add_(linear(o, w, t, attention_last(), p, at), x)
  second = side_by_side(norm(h, w, mlp_norm(), eps), w, t, mlp_inputs(), p, at + 1)
  y = torch.add_(linear(mix(second), w, t, mlp_last(), p, at + 1 + len(second)), h)
  kept = [y, x, o, h]
  if keep_parts:
    kept = torch.add(torch.add(kept, first), second)
  return kept

# The gradient of what linear layers side by side take (empty where not wanted), from those of their results.
def side_by_side_backward(gs: List[Tensor], n: Tensor, w: Dict[str, Tensor], t: Dict[str, Tensor], names: List[str],
                          p: float, seed: int, grads: Dict[str, Tensor], wants_n: bool) -> Tensor:
  gn = linear_backward(gs[0], n, w, t, names[0], p, seed, grads, wants_n)
  for i in range(1, len(names)):
    more = linear_backward(gs[i], n, w, t, names[i], p, seed + i, grads, wants_n)
    if wants_n:
      torch.add_(gn, more)
  return gn

# [gradient of x (empty where not wanted), then those of t in its order] from the gradient gy of the block's result.
def block_backward(gy: Tensor, kept: List[Tensor], w: Dict[str, Tensor], t: Dict[str, Tensor], cos: Tensor,
                   sin: Tensor, layout: List[int], padded: Tensor, places: Tensor, shape: List[int], window: int,
                   eps: float, scale: float, p: float, seed: int, wants_x: bool) -> List[Tensor]:
  grads = annotate(Dict[str, Tensor], {})
  x, o, h = kept[0], kept[1], kept[2]
  before, behind = attention_inputs(), mlp_inputs()
  at = seed + len(before)

  n = norm(h, w, mlp_norm(), eps)
  if len(kept) > 3:
    parts = torch.slice(kept, 3 + len(before), len(kept))
  else:
    parts = side_by_side(n, w, t, behind, p, at + 1)
  gm = linear_backward(gy, mix(parts), w, t, mlp_last(), p, at + 1 + len(behind), grads, True)
  gn = side_by_side_backward(mix_backward(gm, parts), n, w, t, behind, p, at + 1, grads, True)
  gh = torch.add_(norm_backward(gn, h, w, mlp_norm(), eps), gy)

  go = linear_backward(gh, o, w, t, attention_last(), p, at, grads, True)
  n = norm(x, w, attention_norm(), eps)
  if len(kept) > 3:
    parts = torch.slice(kept, 3, 3 + len(before))
  else:
    parts = side_by_side(n, w, t, before, p, seed)
  q, k, v = heads(parts, cos, sin, shape)
  gq, gk, gv = attention_backward(go, q, k, v, layout, padded, places, window, scale)
  gx = side_by_side_backward(heads_backward(gq, gk, gv, cos, sin), n, w, t, before, p, seed, grads, wants_x)
  if wants_x:
    gx = torch.add_(norm_backward(gx, x, w, attention_norm(), eps), gh)
  result = [gx]
  for key in torch.keys(t):
    result = torch.append(result, grads[key])
  return result

# New tokens through the block with the caches of their rows; see attention_cached.
def block_cached(x: Tensor, w: Dict[str, Tensor], t: Dict[str, Tensor], cos: Tensor, sin: Tensor, cache_k: List[Tensor],
                 cache_v: List[Tensor], past: List[int], shape: List[int], window: int, eps: float, scale: float) -> Tensor:
  q, k, v = heads(side_by_side(norm(x, w, attention_norm(), eps), w, t, attention_inputs(), 0., 0), cos, sin, shape)
  o = attention_cached(q, k, v, cache_k, cache_v, past, window, scale)
  h = torch.add(x, linear(o, w, t, attention_last(), 0., 0))
  m = mix(side_by_side(norm(h, w, mlp_norm(), eps), w, t, mlp_inputs(), 0., 0))
  return torch.add(h, linear(m, w, t, mlp_last(), 0., 0))

# The same in pieces, between which the products with the weights are made elsewhere, side by side in one. s has a
# block's tensors, frozen and trained, under their names, and the tensors that all blocks hand on: x the residual stream,
# n, o and m what the products take (n.rows and so on in bfloat16 where the stream is another), a linear layer's bare name
# what its product gave, cos and sin. plain says that no linear layer has a bias or an adapter.

def columns(x: Tensor, start: int, length: int) -> Tensor:
  return torch.narrow(x, 1, start, length)

def hand_on(s: Dict[str, Tensor], name: str, rows: str, y: Tensor) -> Tensor:
  torch.copy_(s[name], y)
  if rows in s:
    torch.copy_(s[rows], y)
  return y

def few_linear(x: Tensor, s: Dict[str, Tensor], name: str, plain: bool) -> Tensor:
  y = s[name]
  if plain:
    y = torch.to(y, x)
  else:
    y = linear_of(y, x, s, s, name)
  return y

def few_beside(x: Tensor, s: Dict[str, Tensor], names: List[str], plain: bool) -> List[Tensor]:
  parts = annotate(List[Tensor], [])
  for name in names:
    parts = torch.append(parts, few_linear(x, s, name, plain))
  return parts

def few_start(x: Tensor, cos: Tensor, sin: Tensor, s: Dict[str, Tensor], eps: float) -> Tensor:
  torch.copy_(s["x"], x)
  torch.copy_(s["cos"], cos)
  torch.copy_(s["sin"], sin)
  return hand_on(s, "n", "n.rows", norm(x, s, attention_norm(), eps))

# s has the row's cache too, as keys and values.
def few_attention(s: Dict[str, Tensor], plain: bool, past: int, shape: List[int], window: int, scale: float) -> Tensor:
  q, k, v = heads(few_beside(s["n"], s, attention_inputs(), plain), s["cos"], s["sin"], shape)
  return hand_on(s, "o", "o.rows", attention_of_row(q, k, v, s["keys"], s["values"], past, window, scale))

def few_attention_each(s: Dict[str, Tensor], plain: bool, cache_k: List[Tensor], cache_v: List[Tensor], past: List[int],
                       shape: List[int], window: int, scale: float) -> Tensor:
  q, k, v = heads(few_beside(s["n"], s, attention_inputs(), plain), s["cos"], s["sin"], shape)
  return hand_on(s, "o", "o.rows", attention_cached(q, k, v, cache_k, cache_v, past, window, scale))

def few_residual(s: Dict[str, Tensor], plain: bool, eps: float) -> Tensor:
  h = torch.add_(s["x"], few_linear(s["o"], s, attention_last(), plain))
  return hand_on(s, "n", "n.rows", norm(h, s, mlp_norm(), eps))

def few_mix(s: Dict[str, Tensor], plain: bool) -> Tensor:
  return hand_on(s, "m", "m.rows", mix(few_beside(s["n"], s, mlp_inputs(), plain)))

# next is the block above; the last block's result needs none.
def few_end(s: Dict[str, Tensor], plain: bool, next: Dict[str, Tensor], eps: float) -> Tensor:
  x = torch.add_(s["x"], few_linear(s["m"], s, mlp_last(), plain))
  return hand_on(next, "n", "n.rows", norm(x, next, attention_norm(), eps))

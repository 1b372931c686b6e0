# Attention over rows that lie one behind the other, each of which sees itself alone.
#
# q is [tokens, heads, d], k and v [tokens, kv_heads, d]. Rows of like length are attended together: `layout` has the
# groups as [rows, n, rows, n, ...], each row padded at its end to n tokens. A query never looks ahead, so none sees the
# padding. `padded` says which token stands at each place of the padded groups, `places` where each token stands there;
# both are empty where the tokens lie so by themselves.
#
# The products are made a block of queries at a time against all keys that any of it may see, as batched products on
# the engine's fast path; the scores are rounded to the model's dtype and normalized in float32, as transformers'
# eager attention does. Probabilities are worked out again in the backward pass: nothing of size n x n is kept.

# Numbers that the scores of one block of queries may be, over all heads and rows of a group.
def most_scores() -> int:
  return 4194304

def into_groups(x: Tensor, padded: Tensor) -> Tensor:
  if torch.size(padded, 0) == 0:
    return x
  return torch.index_select(x, 0, padded)

def out_of_groups(x: Tensor, places: Tensor) -> Tensor:
  if torch.size(places, 0) == 0:
    return x
  return torch.index_select(x, 0, places)

# Gradients into padded groups: those of the padding are zero.
def gradients_into_groups(g: Tensor, padded: Tensor, places: Tensor) -> Tensor:
  if torch.size(places, 0) == 0:
    return g
  y = torch.zeros([torch.size(padded, 0), torch.size(g, 1), torch.size(g, 2)], dtype=ops.prim.dtype(g))
  return torch.index_copy_(y, 0, places, g)

# [rows * n, heads, d] as [rows * kv_heads, heads / kv_heads, n, d].
def by_key_head(x: Tensor, rows: int, n: int, kv: int) -> Tensor:
  heads, d = torch.size(x, 1), torch.size(x, 2)
  apart = torch.permute(torch.view(x, [rows, n, kv, heads // kv, d]), [0, 2, 3, 1, 4])
  return torch.reshape(apart, [rows * kv, heads // kv, n, d])

# The queries of a block, at least 64 and at most n.
def queries_at_once(batch: int, n: int) -> int:
  return min(n, max(64, most_scores() // (batch * n) // 64 * 64))

# -inf where a query of places i to e may not look among the keys from `first` to e, 0 elsewhere.
def hidden_keys(i: int, e: int, first: int, window: int, like: Tensor) -> Tensor:
  never = torch.full([e - i, e - first], -inf, dtype=ops.prim.dtype(like))
  hidden = torch.triu(never, i - first + 1)
  if window > 0:
    torch.add_(hidden, torch.tril(never, i - first - window))
  return hidden

# Probabilities [batch, group * (e - i), e - first] of queries [batch, group, e - i, d], those of the places from i to e,
# over keys [batch, e - first, d], those from `first` to e.
def probabilities(q: Tensor, k: Tensor, i: int, e: int, first: int, window: int, scale: float) -> Tensor:
  batch, group, d = torch.size(q, 0), torch.size(q, 1), torch.size(q, 3)
  s = torch.baddbmm(torch.zeros([1, 1, 1], dtype=ops.prim.dtype(q)), torch.reshape(q, [batch, group * (e - i), d]),
      torch.transpose(k, 1, 2), beta=0, alpha=scale)
  apart = torch.view(s, [batch, group, e - i, e - first])
  if window > 0 and e - first > window:
    torch.add_(apart, hidden_keys(i, e, first, window, q))
  elif e - i > 1:
    # all keys before the block are seen by all of it
    torch.add_(torch.slice(apart, 3, i - first, e - first), hidden_keys(i, e, i, 0, q))
  return torch.softmax(s, -1)

def first_key(i: int, window: int) -> int:
  first = 0
  if window > 0:
    first = max(0, i - window + 1)
  return first

# The result, [tokens, heads * d].
def attention(q: Tensor, k: Tensor, v: Tensor, layout: List[int], padded: Tensor, places: Tensor, window: int,
              scale: float) -> Tensor:
  heads, d = torch.size(q, 1), torch.size(q, 2)
  kv = torch.size(k, 1)
  qs, ks, vs = into_groups(q, padded), into_groups(k, padded), into_groups(v, padded)
  out = torch.empty_like(qs)
  at = 0
  for g in range(len(layout) // 2):
    rows, n = layout[2 * g], layout[2 * g + 1]
    to = at + rows * n
    gq = by_key_head(torch.slice(qs, 0, at, to), rows, n, kv)
    gk = torch.squeeze(by_key_head(torch.slice(ks, 0, at, to), rows, n, kv), 1)
    gv = torch.squeeze(by_key_head(torch.slice(vs, 0, at, to), rows, n, kv), 1)
    results = torch.view(torch.slice(out, 0, at, to), [rows, n, kv, heads // kv, d])
    step = queries_at_once(rows * heads, n)
    for b in range((n + step - 1) // step):
      i = b * step
      e = min(n, i + step)
      first = first_key(i, window)
      p = probabilities(torch.slice(gq, 2, i, e), torch.slice(gk, 1, first, e), i, e, first, window, scale)
      o = torch.bmm(p, torch.slice(gv, 1, first, e))
      torch.copy_(torch.slice(results, 1, i, e), torch.permute(torch.view(o, [rows, kv, heads // kv, e - i, d]), [0, 3, 1, 2, 4]))
    at = to
  return torch.reshape(out_of_groups(out, places), [-1, heads * d])

# The gradients of q, k and v from go, that of the result.
def attention_backward(go: Tensor, q: Tensor, k: Tensor, v: Tensor, layout: List[int], padded: Tensor, places: Tensor,
                       window: int, scale: float) -> Tuple[Tensor, Tensor, Tensor]:
  heads, d = torch.size(q, 1), torch.size(q, 2)
  kv = torch.size(k, 1)
  group = heads // kv
  qs, ks, vs = into_groups(q, padded), into_groups(k, padded), into_groups(v, padded)
  gos = gradients_into_groups(torch.view(go, [-1, heads, d]), padded, places)
  dq, dk, dv = torch.empty_like(qs), torch.empty_like(ks), torch.empty_like(vs)
  at = 0
  for g in range(len(layout) // 2):
    rows, n = layout[2 * g], layout[2 * g + 1]
    to = at + rows * n
    batch = rows * kv
    gq = by_key_head(torch.slice(qs, 0, at, to), rows, n, kv)
    gk = torch.squeeze(by_key_head(torch.slice(ks, 0, at, to), rows, n, kv), 1)
    gv = torch.squeeze(by_key_head(torch.slice(vs, 0, at, to), rows, n, kv), 1)
    ggo = by_key_head(torch.slice(gos, 0, at, to), rows, n, kv)
    ggq = torch.view(torch.slice(dq, 0, at, to), [rows, n, kv, group, d])
    # sums over blocks of queries, in float32
    sums_k = torch.zeros([batch, n, d], dtype=6)
    sums_v = torch.zeros([batch, n, d], dtype=6)
    step = queries_at_once(rows * heads, n)
    for b in range((n + step - 1) // step):
      i = b * step
      e = min(n, i + step)
      first = first_key(i, window)
      some_q = torch.slice(gq, 2, i, e)
      some_go = torch.reshape(torch.slice(ggo, 2, i, e), [batch, group * (e - i), d])
      keys = torch.slice(gk, 1, first, e)
      p = probabilities(some_q, keys, i, e, first, window, scale)
      gp = torch.bmm(some_go, torch.transpose(torch.slice(gv, 1, first, e), 1, 2))
      torch.add_(torch.slice(sums_v, 1, first, e), torch.bmm(torch.transpose(p, 1, 2), some_go))
      gs = torch._softmax_backward_data(gp, p, -1, ops.prim.dtype(p))
      torch.add_(torch.slice(sums_k, 1, first, e), torch.bmm(torch.transpose(gs, 1, 2), torch.reshape(some_q, [batch, group * (e - i), d])), alpha=scale)
      part = torch.baddbmm(torch.zeros([1, 1, 1], dtype=ops.prim.dtype(q)), gs, keys, beta=0, alpha=scale)
      torch.copy_(torch.slice(ggq, 1, i, e), torch.permute(torch.view(part, [rows, kv, group, e - i, d]), [0, 3, 1, 2, 4]))
    torch.copy_(torch.view(torch.slice(dk, 0, at, to), [rows, n, kv, d]), torch.permute(torch.view(sums_k, [rows, kv, n, d]), [0, 2, 1, 3]))
    torch.copy_(torch.view(torch.slice(dv, 0, at, to), [rows, n, kv, d]), torch.permute(torch.view(sums_v, [rows, kv, n, d]), [0, 2, 1, 3]))
    at = to
  return (out_of_groups(dq, places), out_of_groups(dk, places), out_of_groups(dv, places))

# One new token against all that are cached, in float32: the number of keys is another one at each token, and oneDNN
# would compile a product for each. q is [1, heads, d], keys and values [kv_heads, n, d].
def attention_of_one(q: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
  kv, d = torch.size(keys, 0), torch.size(keys, 2)
  heads = torch.size(q, 1)
  some = torch.mul(torch.to(torch.view(q, [kv, heads // kv, d]), 6), scale)
  s = torch.bmm(some, torch.transpose(torch.to(keys, 6), 1, 2))
  return torch.view(torch.to(torch.bmm(torch.softmax(s, -1), torch.to(values, 6)), q), [1, heads * d])

# New tokens of one row against what is cached. cache_k and cache_v are [kv_heads, capacity, d], filled to `past`.
def attention_of_row(q: Tensor, k: Tensor, v: Tensor, cache_k: Tensor, cache_v: Tensor, past: int, window: int,
                     scale: float) -> Tensor:
  n, heads, d = torch.size(q, 0), torch.size(q, 1), torch.size(q, 2)
  kv = torch.size(k, 1)
  torch.copy_(torch.slice(cache_k, 1, past, past + n), torch.transpose(k, 0, 1))
  torch.copy_(torch.slice(cache_v, 1, past, past + n), torch.transpose(v, 0, 1))
  if n == 1:
    first = first_key(past, window)
    result = attention_of_one(q, torch.slice(cache_k, 1, first, past + 1), torch.slice(cache_v, 1, first, past + 1), scale)
  else:
    queries = by_key_head(q, 1, n, kv)
    out = torch.empty([n, heads, d], dtype=ops.prim.dtype(q))
    step = queries_at_once(heads, past + n)
    for b in range((n + step - 1) // step):
      i = b * step
      e = min(n, i + step)
      first = first_key(past + i, window)
      keys, values = torch.slice(cache_k, 1, first, past + e), torch.slice(cache_v, 1, first, past + e)
      p = probabilities(torch.slice(queries, 2, i, e), keys, past + i, past + e, first, window, scale)
      o = torch.view(torch.bmm(p, values), [kv, heads // kv, e - i, d])
      torch.copy_(torch.slice(out, 0, i, e), torch.reshape(torch.permute(o, [2, 0, 1, 3]), [e - i, heads, d]))
    result = torch.reshape(out, [n, heads * d])
  return result

# New tokens against what is cached of their rows: all of them of one row, or one of each.
def attention_cached(q: Tensor, k: Tensor, v: Tensor, cache_k: List[Tensor], cache_v: List[Tensor], past: List[int],
                     window: int, scale: float) -> Tensor:
  if len(past) == 1:
    result = attention_of_row(q, k, v, cache_k[0], cache_v[0], past[0], window, scale)
  else:
    parts = annotate(List[Tensor], [])
    for i in range(len(past)):
      part = attention_of_row(torch.slice(q, 0, i, i + 1), torch.slice(k, 0, i, i + 1), torch.slice(v, 0, i, i + 1),
          cache_k[i], cache_v[i], past[i], window, scale)
      parts = torch.append(parts, part)
    result = torch.cat(parts)
  return result

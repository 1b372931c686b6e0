# Attention over rows that lie one behind the other: row i is tokens rows[i] to rows[i + 1], and sees itself alone.
#
# q is [tokens, heads, d], k and v [tokens, kv_heads, d]. Query heads that share a key head are the second axis of
# the kernel's [kv_heads, heads / kv_heads, tokens, d], so that keys and values are never repeated in memory.

def by_key_head(x: Tensor, start: int, end: int, kv_heads: int, group: int) -> Tensor:
  part = torch.slice(x, 0, start, end)
  n = end - start
  d = torch.size(x, 2)
  if torch.size(x, 1) == kv_heads:
    return torch.expand(torch.unsqueeze(torch.transpose(part, 0, 1), 1), [kv_heads, group, n, d])
  return torch.permute(torch.view(part, [n, kv_heads, group, d]), [1, 2, 0, 3])

# 0 where a query may look, -inf elsewhere: not ahead, and not `window` or more tokens back.
def window_mask(queries: int, keys: int, window: int, like: Tensor) -> Tensor:
  i = torch.unsqueeze(torch.add(torch.arange(queries), keys - queries), 1)
  j = torch.unsqueeze(torch.arange(keys), 0)
  hidden = torch.gt(j, i)
  if window > 0:
    hidden = torch.__or__(hidden, torch.le(j, torch.sub(i, window)))
  return torch.masked_fill(torch.zeros([queries, keys], dtype=ops.prim.dtype(like)), hidden, -inf)

def masks_for(n: int, window: int, like: Tensor) -> Optional[Tensor]:
  mask = annotate(Optional[Tensor], None)
  if window > 0 and n > window:
    mask = window_mask(n, n, window, like)
  return mask

# The result [tokens, heads * d] and the log-sum-exp of the scores of each row, flat, for the backward pass.
def attention(q: Tensor, k: Tensor, v: Tensor, rows: List[int], window: int, scale: float) -> Tuple[Tensor, Tensor]:
  heads, d = torch.size(q, 1), torch.size(q, 2)
  kv = torch.size(k, 1)
  group = heads // kv
  outs = annotate(List[Tensor], [])
  sums = annotate(List[Tensor], [])
  for i in range(len(rows) - 1):
    s, e = rows[i], rows[i + 1]
    n = e - s
    mask = masks_for(n, window, q)
    o, lse = torch._scaled_dot_product_flash_attention_for_cpu(by_key_head(q, s, e, kv, group),
        by_key_head(k, s, e, kv, group), by_key_head(v, s, e, kv, group), 0., mask is None,
        attn_mask=mask, scale=scale)
    outs = torch.append(outs, torch.reshape(torch.permute(o, [2, 0, 1, 3]), [n, heads * d]))
    sums = torch.append(sums, torch.reshape(lse, [-1]))
  return (torch.cat(outs), torch.cat(sums))

def attention_backward(go: Tensor, q: Tensor, k: Tensor, v: Tensor, o: Tensor, lse: Tensor, rows: List[int],
                       window: int, scale: float) -> Tuple[Tensor, Tensor, Tensor]:
  heads, d = torch.size(q, 1), torch.size(q, 2)
  kv = torch.size(k, 1)
  group = heads // kv
  gq = torch.empty_like(q)
  gk = torch.empty_like(k)
  gv = torch.empty_like(v)
  for i in range(len(rows) - 1):
    s, e = rows[i], rows[i + 1]
    n = e - s
    mask = masks_for(n, window, q)
    shape = [-1, heads, d]
    sums = torch.view(torch.slice(lse, 0, s * heads, e * heads), [kv, group, n])
    a, b, c = torch._scaled_dot_product_flash_attention_for_cpu_backward(
        by_key_head(torch.view(go, shape), s, e, kv, group), by_key_head(q, s, e, kv, group),
        by_key_head(k, s, e, kv, group), by_key_head(v, s, e, kv, group),
        by_key_head(torch.view(o, shape), s, e, kv, group), sums, 0., mask is None, attn_mask=mask, scale=scale)
    torch.copy_(torch.slice(gq, 0, s, e), torch.reshape(torch.permute(a, [2, 0, 1, 3]), [n, heads, d]))
    torch.copy_(torch.slice(gk, 0, s, e), torch.permute(torch.sum(b, [1]), [1, 0, 2]))
    torch.copy_(torch.slice(gv, 0, s, e), torch.permute(torch.sum(c, [1]), [1, 0, 2]))
  return (gq, gk, gv)

# New tokens of one row against what is cached. cache_k and cache_v are [kv_heads, capacity, d], filled to `past`.
def attention_cached(q: Tensor, k: Tensor, v: Tensor, cache_k: Tensor, cache_v: Tensor, past: int, window: int,
                     scale: float) -> Tensor:
  n, heads, d = torch.size(q, 0), torch.size(q, 1), torch.size(q, 2)
  kv = torch.size(k, 1)
  group = heads // kv
  torch.copy_(torch.slice(cache_k, 1, past, past + n), torch.transpose(k, 0, 1))
  torch.copy_(torch.slice(cache_v, 1, past, past + n), torch.transpose(v, 0, 1))
  first = 0
  if window > 0:
    first = max(0, past - window + 1)
  seen = past + n - first
  keys = torch.expand(torch.unsqueeze(torch.slice(cache_k, 1, first, past + n), 1), [kv, group, seen, d])
  values = torch.expand(torch.unsqueeze(torch.slice(cache_v, 1, first, past + n), 1), [kv, group, seen, d])
  mask = annotate(Optional[Tensor], None)
  if n > 1 and (past > 0 or window > 0):
    mask = window_mask(n, seen, window, q)
  o = (torch._scaled_dot_product_flash_attention_for_cpu(by_key_head(q, 0, n, kv, group), keys, values, 0.,
      mask is None and n > 1, attn_mask=mask, scale=scale))[0]
  return torch.reshape(torch.permute(o, [2, 0, 1, 3]), [n, heads * d])

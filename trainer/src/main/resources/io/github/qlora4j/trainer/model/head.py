# Embeddings, the final norm, and the loss over learned positions in chunks: logits never stand whole in memory.

def embed(table: Tensor, ids: Tensor, dtype: int) -> Tensor:
  return torch.to(torch.embedding(table, ids), dtype)

# The sum of gradients of each token's embedding, in float32.
def embed_backward(gx: Tensor, ids: Tensor, tokens: int) -> Tensor:
  table = torch.zeros([tokens, torch.size(gx, 1)], dtype=6)
  return torch.index_add_(table, 0, ids, torch.to(gx, 6))

def logits(x: Tensor, norm: Tensor, eps: float, weight: Tensor) -> Tensor:
  n = rms_norm(x, norm, eps)
  return torch.to(torch.matmul(torch.to(n, weight), torch.t(weight)), 6)

# The logits of each token, or of the last alone.
def next_logits(x: Tensor, norm: Tensor, eps: float, weight: Tensor, each: bool) -> Tensor:
  if each:
    y = logits(x, norm, eps, weight)
  else:
    y = torch.squeeze(logits(torch.slice(x, 0, -1), norm, eps, weight), 0)
  return y

# The same in pieces, between which the product is made elsewhere: what it takes of the last tokens, as many as rows has,
# and what it gave as logits.

def head_input(x: Tensor, norm: Tensor, eps: float, rows: Tensor) -> Tensor:
  return torch.copy_(rows, rms_norm(torch.slice(x, 0, torch.size(x, 0) - torch.size(rows, 0)), norm, eps))

def head_logits(product: Tensor, each: bool) -> Tensor:
  y = torch.to(product, 6)
  if not each:
    y = torch.squeeze(y, 0)
  return y

# The summed cross entropy of positions `at` against `targets`, times `factor`, with its gradients: [loss float64,
# gradient of x [tokens, hidden], gradient of weight (empty where it is frozen)].
def loss(x: Tensor, at: Tensor, targets: Tensor, norm: Tensor, eps: float, weight: Tensor, chunk: int, factor: float,
         gradients: bool, train_weight: bool) -> List[Tensor]:
  total = torch.zeros([], dtype=7)
  gx = torch.zeros([0])
  gw = torch.zeros([0])
  if gradients:
    gx = torch.zeros_like(x)
  if train_weight:
    gw = torch.zeros(torch.size(weight), dtype=6)
  count = torch.size(at, 0)
  for i in range((count + chunk - 1) // chunk):
    where = torch.slice(at, 0, i * chunk, min(count, (i + 1) * chunk))
    answer = torch.unsqueeze(torch.slice(targets, 0, i * chunk, min(count, (i + 1) * chunk)), 1)
    part = torch.index_select(x, 0, where)
    hidden = torch.to(rms_norm(part, norm, eps), weight)
    scores = torch.matmul(hidden, torch.t(weight))
    chance = torch.softmax(scores, 1, 6)
    # the largest probability is at least 1 / vocabulary, so that its logarithm is good
    lse = torch.sub(torch.to(torch.amax(scores, [1], True), 6), torch.log(torch.amax(chance, [1], True)))
    total = torch.add(total, torch.sum(torch.sub(lse, torch.to(torch.gather(scores, 1, answer), 6)), dtype=7))
    if gradients:
      torch.scatter_add_(chance, 1, answer, torch.full([torch.size(answer, 0), 1], -1., dtype=6))
      g = torch.to(chance, weight)
      gn = torch.addmm(torch.zeros([1, 1], dtype=ops.prim.dtype(weight)), g, weight, beta=0, alpha=factor)
      if train_weight:
        torch.add_(gw, torch.to(torch.matmul(torch.t(g), hidden), 6), alpha=factor)
      torch.index_copy_(gx, 0, where, rms_norm_backward(torch.to(gn, x), part, norm, eps))
  return [torch.mul(total, factor), gx, gw]

# ln p(target) of each position, [positions].
def log_probabilities(x: Tensor, at: Tensor, targets: Tensor, norm: Tensor, eps: float, weight: Tensor,
                      chunk: int) -> Tensor:
  parts = annotate(List[Tensor], [])
  count = torch.size(at, 0)
  for i in range((count + chunk - 1) // chunk):
    where = torch.slice(at, 0, i * chunk, min(count, (i + 1) * chunk))
    answer = torch.unsqueeze(torch.slice(targets, 0, i * chunk, min(count, (i + 1) * chunk)), 1)
    scores = logits(torch.index_select(x, 0, where), norm, eps, weight)
    parts = torch.append(parts, torch.squeeze(torch.sub(torch.gather(scores, 1, answer), torch.logsumexp(scores, [1], True)), 1))
  return torch.cat(parts)

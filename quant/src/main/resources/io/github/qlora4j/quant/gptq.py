# The solver of GPTQ (arXiv:2210.17323), operation by operation that of auto-gptq 0.7.1's quantization/gptq.py and
# quantizer.py, so that both give the same codes. TorchScript, compiled at start-up.

# Takes more samples, x [tokens, in], into the Hessian h of a layer, 2/samples of the sum of xᵀx, in place.
def add_batch(h: Tensor, x: Tensor, before: int, added: int) -> Tensor:
  samples = before + added
  torch.mul_(h, float(before) / float(samples))
  t = torch.mul(torch.t(torch.to(x, 6)), (2. / float(samples)) ** 0.5)
  return torch.add_(h, torch.matmul(t, torch.t(t)))

# Scales and zero points [rows, 1] of the columns x of one group.
def find_params(x: Tensor, maxq: int, sym: bool) -> Tuple[Tensor, Tensor]:
  zeros = torch.zeros([torch.size(x, 0)])
  low = torch.minimum(torch.amin(x, [1]), zeros)
  high = torch.maximum(torch.amax(x, [1]), zeros)
  if sym:
    high = torch.maximum(torch.abs(low), high)
    low = torch.where(torch.lt(low, 0), torch.neg(high), low)
  none = torch.logical_and(torch.eq(low, 0), torch.eq(high, 0))
  low = torch.masked_fill(low, none, -1)
  high = torch.masked_fill(high, none, 1)
  scale = torch.div(torch.sub(high, low), maxq)
  if sym:
    zero = torch.full_like(scale, float(maxq + 1) / 2.)
  else:
    zero = torch.round(torch.div(torch.neg(low), scale))
  return (torch.unsqueeze(scale, 1), torch.unsqueeze(zero, 1))

# Quantizes w [rows, in]; uses h up. [codes, scales, zero points, the group of each input, the loss].
def solve(weight: Tensor, h: Tensor, maxq: int, group_size: int, sym: bool, act_order: bool, static_groups: bool,
          damp_percent: float, blocksize: int) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
  w = torch.to(torch.clone(torch.detach(weight)), 6)
  columns = torch.size(w, 1)
  scale, zero = find_params(w, maxq, sym)
  scales = annotate(List[Tensor], [])
  zeros = annotate(List[Tensor], [])
  dead = torch.eq(torch.diag(h), 0)
  torch.masked_fill_(torch.diagonal(h), dead, 1)
  w = torch.masked_fill(w, torch.unsqueeze(dead, 0), 0)
  if static_groups:
    for at in range(0, columns, group_size):
      s, z = find_params(torch.slice(w, 1, at, at + group_size), maxq, sym)
      scales = torch.append(scales, s)
      zeros = torch.append(zeros, z)
  perm = torch.arange(columns)
  if act_order:
    perm = torch.argsort(torch.diag(h), -1, True)
    w = torch.index_select(w, 1, perm)
    h = torch.index_select(torch.index_select(h, 0, perm), 1, perm)
  torch.add_(torch.diagonal(h), torch.mul(torch.mean(torch.diag(h)), damp_percent))
  h = torch.linalg_cholesky(h)
  h = torch.cholesky_inverse(h)
  h = torch.linalg_cholesky(h, upper=True)
  codes = torch.empty([torch.size(w, 0), columns], dtype=0)
  loss = torch.zeros([], dtype=7)
  for i1 in range(0, columns, blocksize):
    i2 = min(i1 + blocksize, columns)
    w1 = torch.clone(torch.slice(w, 1, i1, i2))
    errors = torch.zeros_like(w1)
    h1 = torch.slice(torch.slice(h, 0, i1, i2), 1, i1, i2)
    for i in range(i2 - i1):
      column = torch.select(w1, 1, i)
      row = torch.slice(torch.select(h1, 0, i), 0, i)
      d = torch.select(row, 0, 0)
      if group_size > 0:
        if static_groups:
          group = int(torch.item(torch.select(perm, 0, i1 + i))) // group_size
          scale = scales[group]
          zero = zeros[group]
        elif (i1 + i) % group_size == 0:
          scale, zero = find_params(torch.slice(w, 1, i1 + i, i1 + i + group_size), maxq, sym)
          scales = torch.append(scales, scale)
          zeros = torch.append(zeros, zero)
      code = torch.clamp(torch.add(torch.round(torch.div(torch.unsqueeze(column, 1), scale)), zero), 0, maxq)
      torch.copy_(torch.select(codes, 1, i1 + i), torch.flatten(code))
      quantized = torch.flatten(torch.mul(scale, torch.sub(code, zero)))
      apart = torch.sub(column, quantized)
      torch.add_(loss, torch.sum(torch.div(torch.pow(apart, 2), torch.pow(d, 2))), alpha=0.5)
      error = torch.div(apart, d)
      torch.sub_(torch.slice(w1, 1, i), torch.matmul(torch.unsqueeze(error, 1), torch.unsqueeze(row, 0)))
      torch.copy_(torch.select(errors, 1, i), error)
    torch.sub_(torch.slice(w, 1, i2), torch.matmul(errors, torch.slice(torch.slice(h, 0, i1, i2), 1, i2)))
  if len(scales) == 0:
    scales = torch.append(scales, scale)
    zeros = torch.append(zeros, zero)
  size = columns
  if group_size > 0:
    size = group_size
  groups = torch.floor_divide(torch.arange(columns), size)
  if static_groups and act_order:
    groups = torch.floor_divide(perm, size)
  if act_order:
    back = torch.argsort(perm)
    codes = torch.index_select(codes, 1, back)
    groups = torch.index_select(groups, 0, back)
  return (codes, torch.cat(scales, 1), torch.cat(zeros, 1), torch.to(groups, 3), loss)

# LLM.int8(): rows of int8 with one scale each, and their product. TorchScript, compiled at start-up.
#
# Operation for operation what bitsandbytes 0.50.2 does on a CPU (backends/default/ops.py, backends/cpu/ops.py;
# MatMul8bitLt in autograd/_functions.py), so that results are its bits. cb is int8 [out, in], scb the largest
# absolute value of each row, float32 [out]. Python's 127.0 / x is torch.reciprocal(x) * 127, which rounds twice.

# Scales by rows for values up to `largest` in each; a row of zeros stays zeros, where bitsandbytes casts NaN to int8.
def int8_scales(largest: Tensor) -> Tensor:
  scales = torch.mul(torch.reciprocal(largest), 127.)
  return torch.unsqueeze(torch.masked_fill(scales, torch.eq(largest, 0.), 0.), 1)

# [codes, largest of each row] of a weight, which goes through float16 whatever its dtype; a window of rows at a time.
def int8_rows(weight: Tensor, window: int) -> List[Tensor]:
  codes = annotate(List[Tensor], [])
  largest = annotate(List[Tensor], [])
  for part in torch.split(torch.detach(weight), window, 0):
    h = torch.to(part, 5)
    r = torch.to(torch.amax(torch.abs(h), [1]), 6)
    codes = torch.append(codes, torch.to(torch.round(torch.mul(h, int8_scales(r))), 1))
    largest = torch.append(largest, r)
  return [torch.cat(codes), torch.cat(largest)]

# The weight into target, of whatever dtype, rounded once; a window of rows at a time.
def int8_dense(target: Tensor, cb: Tensor, scb: Tensor, window: int) -> Tensor:
  scales = torch.unsqueeze(torch.mul(scb, 0.007874015748031496), 1)
  if ops.prim.dtype(target) == 6:
    torch.mul_(torch.copy_(target, cb), scales)
  else:
    targets = torch.split(target, window, 0)
    codes = torch.split(cb, window, 0)
    parts = torch.split(scales, window, 0)
    for i in range(len(codes)):
      torch.copy_(targets[i], torch.mul_(torch.to(codes[i], 6), parts[i]))
  return target

# Columns of x; index_select is quick for few, but takes one core, and for many six times as long.
def columns_of(x: Tensor, columns: Tensor) -> Tensor:
  if torch.size(columns, 0) < 64:
    y = torch.index_select(x, 1, columns)
  else:
    y = torch.gather(x, 1, torch.expand(torch.unsqueeze(columns, 0), [torch.size(x, 0), -1]))
  return y

def replace_columns(x: Tensor, columns: Tensor, source: Tensor) -> Tensor:
  if torch.size(columns, 0) < 64:
    y = torch.index_copy_(x, 1, columns, source)
  else:
    y = torch.scatter_(x, 1, torch.expand(torch.unsqueeze(columns, 0), [torch.size(x, 0), -1]), source)
  return y

def clear_columns(codes: Tensor, columns: Tensor) -> Tensor:
  if torch.size(columns, 0) < 64:
    y = torch.index_fill_(codes, 1, columns, 0)
  else:
    y = torch.mul_(codes, torch.index_fill_(torch.ones([torch.size(codes, 1)], dtype=1), 0, columns, 0))
  return y

# Integer products as numbers of `like`'s dtype; largest [tokens, 1] and scb [1, out] are the scales, bias is a list of
# one or none, added in float32.
def int8_scaled(products: Tensor, largest: Tensor, scb: Tensor, bias: List[Tensor], like: Tensor) -> Tensor:
  y = torch.mul_(torch.mul_(torch.mul(largest, scb), torch.to(products, 6)), 6.200124e-05)
  if len(bias) > 0:
    y = torch.add_(y, bias[0])
  return torch.to(y, like)

# Whether the engine's integer products are right: oneDNN adds pairs in 16 bits where a CPU has no VNNI, and cuts them off.
def int8_engine() -> Tensor:
  weight = torch.full([64, 256], 127, dtype=1)
  one = torch.eq(torch._int_mm(torch.full([1, 256], 127, dtype=1), torch.t(weight)), 4129024)
  many = torch.eq(torch._int_mm(torch.full([32, 256], 127, dtype=1), torch.t(weight)), 4129024)
  return torch.all(torch.cat([one, many]))

# codes [tokens, in] times cb: by the engine, or exactly in float32, whose sums of 1,024 products stay below 2^24.
def int8_sums(codes: Tensor, cb: Tensor, engine: bool) -> Tensor:
  if engine:
    return torch._int_mm(codes, torch.t(cb))
  sums = torch.zeros([torch.size(codes, 0), torch.size(cb, 0)], dtype=3)
  lefts = torch.split(codes, 1024, 1)
  rights = torch.split(cb, 1024, 1)
  for i in range(len(lefts)):
    sums = torch.add_(sums, torch.to(torch.mm(torch.to(lefts[i], 6), torch.t(torch.to(rights[i], 6))), 3))
  return sums

# x [tokens, in] times the weight, in x's dtype. Columns of x with an element of at least the threshold are multiplied
# in that dtype, the others in int8; threshold 0 means none. The results are scaled a window of rows at a time, which
# then stays in a core's cache.
def int8_product(x: Tensor, cb: Tensor, scb: Tensor, bias: List[Tensor], threshold: float, engine: bool) -> Tensor:
  # by way of float32: torch's direct cast from bfloat16 is five times slower, and the same
  h = torch.to(torch.to(x, 6), 5)
  size = torch.abs(h)
  columns = annotate(List[Tensor], [])
  if threshold > 0.:
    found = torch.ge(torch.amax(size, [0]), threshold)
    if bool(torch.any(found)):
      columns = [torch.view(torch.nonzero(found), [-1])]
      some = columns_of(size, columns[0])
      replace_columns(size, columns[0], torch.masked_fill_(some, torch.ge(some, threshold), 0.))
  largest = torch.unsqueeze(torch.to(torch.amax(size, [1]), 6), 1)
  codes = torch.mul_(torch.to(h, 6), int8_scales(torch.squeeze(largest, 1)))
  codes = torch.to(torch.round_(codes), 1)
  if len(columns) > 0:
    codes = clear_columns(codes, columns[0])
  products = int8_sums(codes, cb, engine)
  scales = torch.unsqueeze(scb, 0)
  window = max(1, 262144 // torch.size(products, 1))
  if torch.size(products, 0) <= window:
    y = int8_scaled(products, largest, scales, bias, x)
  else:
    y = torch.empty(torch.size(products), dtype=ops.prim.dtype(x))
    targets = torch.split(y, window, 0)
    parts = torch.split(products, window, 0)
    rows = torch.split(largest, window, 0)
    for i in range(len(targets)):
      torch.copy_(targets[i], int8_scaled(parts[i], rows[i], scales, bias, x))
  if len(columns) > 0:
    weights = torch.mul(columns_of(cb, columns[0]), torch.unsqueeze(scb, 1))
    weights = torch.to(torch.mul(weights, 0.007874015718698502), x)
    y = torch.addmm(y, columns_of(x, columns[0]), torch.t(weights))
  return y

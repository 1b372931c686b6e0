# What trainer.optim computes. TorchScript; dtype codes are c10::ScalarType's: uint8 0, int32 3, float32 6,
# float64 7. Each formula keeps its original's order of operations, since every rounding shows in the result.
#
# A page of state is given as float32 and as bytes, both over the same memory. `where` holds for each piece of a
# parameter: its first element, its length, and where in the page its floats begin (8-bit: then its bytes).

def part(x: Tensor, start: int, length: int) -> Tensor:
  return torch.narrow(torch.view(torch.detach(x), [-1]), 0, start, length)

# target[at : at + length] = source[start : start + length], cast
def move(target: Tensor, at: int, source: Tensor, start: int, length: int) -> Tensor:
  return torch.copy_(part(target, at, length), part(source, start, length))

# what is updated: the parameter itself, or its float32 master copy where it has fewer bits
def master(p: Tensor, page: Tensor, at: int) -> Tensor:
  if ops.prim.dtype(p) == 6:
    x = p
  else:
    x = torch.narrow(page, 0, at, torch.numel(p))
  return x

def round_into(p: Tensor, x: Tensor) -> Tensor:
  if ops.prim.dtype(p) == 6:
    y = p
  else:
    y = torch.copy_(p, x)
  return y

# torch/optim/adam.py, _single_tensor_adam with decoupled weight decay: what Python runs on a CPU
def adamw_torch(params: List[Tensor], grads: List[Tensor], decays: List[float], where: List[int], page: Tensor,
                step: int, lr: float, beta1: float, beta2: float, eps: float) -> int:
  correction1 = 1.0 - beta1 ** float(step)
  correction2 = 1.0 - beta2 ** float(step)
  step_size = lr / correction1
  root2 = correction2 ** 0.5
  for i in range(torch.len(params)):
    n = where[3 * i + 1]
    at = where[3 * i + 2]
    p = part(params[i], where[3 * i], n)
    g = part(grads[i], where[3 * i], n)
    m = torch.narrow(page, 0, at, n)
    v = torch.narrow(page, 0, at + n, n)
    x = master(p, page, at + 2 * n)
    if decays[i] != 0.0:
      torch.mul_(x, 1.0 - lr * decays[i])
    torch.lerp_(m, g, 1.0 - beta1)
    torch.addcmul_(torch.mul_(v, beta2), g, g, value=1.0 - beta2)
    denominator = torch.add_(torch.div(torch.sqrt(v), root2), eps)
    torch.addcdiv_(x, m, denominator, value=-step_size)
    round_into(p, x)
  return step

# bitsandbytes/backends/cpu/ops.py, _optimizer_update_32bit_cpu
def adamw_32bit(params: List[Tensor], grads: List[Tensor], decays: List[float], where: List[int], page: Tensor,
                step: int, lr: float, beta1: float, beta2: float, eps: float) -> int:
  correction1 = 1.0 - beta1 ** float(step)
  correction2 = torch.sqrt(1.0 - beta2 ** float(step))
  step_size = -lr * correction2 / correction1
  for i in range(torch.len(params)):
    n = where[3 * i + 1]
    at = where[3 * i + 2]
    p = part(params[i], where[3 * i], n)
    g = part(grads[i], where[3 * i], n)
    m = torch.narrow(page, 0, at, n)
    v = torch.narrow(page, 0, at + n, n)
    x = master(p, page, at + 2 * n)
    torch.add_(torch.mul_(m, beta1), g, alpha=1.0 - beta1)
    torch.addcmul_(torch.mul_(v, beta2), g, g, value=1.0 - beta2)
    if decays[i] > 0.0:
      torch.mul_(x, 1.0 - lr * decays[i])
    update = torch.div(m, torch.add(torch.sqrt(v), eps * correction2))
    torch.add_(x, update, alpha=step_size)
    round_into(p, x)
  return step

# bitsandbytes/functional.py, create_dynamic_map
def dynamic_map(signed: bool) -> Tensor:
  parts = annotate(List[Tensor], [])
  for i in range(7):
    if signed:
      items = 2 ** i + 1
    else:
      items = 2 ** (i + 1) + 1
    ends = torch.linspace(0.1, 1.0, int(items), dtype=6)
    means = torch.div(torch.add(torch.narrow(ends, 0, 0, int(items) - 1), torch.narrow(ends, 0, 1, int(items) - 1)), 2.0)
    scale = 10.0 ** float(i - 6)
    torch.append(parts, torch.mul(means, scale))
    if signed:
      torch.append(parts, torch.mul(means, -scale))
  torch.append(parts, torch.tensor([0.0, 1.0], dtype=6))
  values, order = torch.sort(torch.cat(parts))
  return values

# csrc/cpu_ops.cpp, build_quantize_lut: the code nearest to each of 65,536 values spread evenly over -1 to 1
def nearest_codes(qmap: Tensor) -> Tensor:
  middles = torch.mul(torch.add(torch.narrow(qmap, 0, 0, 255), torch.narrow(qmap, 0, 1, 255)), 0.5)
  grid = torch.to(torch.arange(65536), 6)
  values = torch.sub(torch.div(torch.add(grid, grid), 65535.0), 1.0)
  return torch.to(torch.bucketize(values, middles), 0)

def dequantize(codes: Tensor, absmax: Tensor, qmap: Tensor) -> Tensor:
  scale = torch.narrow(torch.repeat_interleave(absmax, 256), 0, 0, torch.numel(codes))
  return torch.mul(torch.index_select(qmap, 0, torch.to(codes, 3)), scale)

# csrc/cpu_ops.cpp, quantize_cpu: it rounds to the grid first; its fused multiply-add is exact in float64. A block of
# zeros gives 0 * inf = nan, which lands on code 0 there too.
def quantize(x: Tensor, codes: Tensor, absmax: Tensor, nearest: Tensor) -> Tensor:
  n = torch.numel(x)
  blocks = torch.numel(absmax)
  rows = torch.view(torch.constant_pad_nd(x, [0, blocks * 256 - n]), [blocks, 256])
  torch.copy_(absmax, torch.amax(torch.abs(rows), [1]))
  unit = torch.clamp(torch.mul(rows, torch.unsqueeze(torch.reciprocal(absmax), 1)), -1.0, 1.0)
  half = torch.mul(torch.add(torch.nan_to_num(unit, -1.0), 1.0), 0.5)
  grid = torch.to(torch.to(torch.add(torch.mul(torch.to(half, 7), 65535.0), 0.5), 6), 3)
  found = torch.index_select(nearest, 0, torch.view(grid, [-1]))
  return torch.copy_(codes, torch.narrow(found, 0, 0, n))

# bitsandbytes/backends/cpu/ops.py, _optimizer_update_8bit_blockwise_cpu
def adamw_8bit(params: List[Tensor], grads: List[Tensor], decays: List[float], where: List[int], page: Tensor,
               bytes: Tensor, qmap1: Tensor, qmap2: Tensor, nearest1: Tensor, nearest2: Tensor,
               step: int, lr: float, beta1: float, beta2: float, eps: float) -> int:
  correction1 = 1.0 - beta1 ** float(step)
  correction2 = torch.sqrt(1.0 - beta2 ** float(step))
  for i in range(torch.len(params)):
    n = where[4 * i + 1]
    at = where[4 * i + 2]
    blocks = (n + 255) // 256
    p = part(params[i], where[4 * i], n)
    g = part(grads[i], where[4 * i], n)
    absmax1 = torch.narrow(page, 0, at, blocks)
    absmax2 = torch.narrow(page, 0, at + blocks, blocks)
    state1 = torch.narrow(bytes, 0, where[4 * i + 3], n)
    state2 = torch.narrow(bytes, 0, where[4 * i + 3] + n, n)
    x = master(p, page, at + 2 * blocks)
    m = dequantize(state1, absmax1, qmap1)
    v = dequantize(state2, absmax2, qmap2)
    torch.add_(torch.mul_(m, beta1), g, alpha=1.0 - beta1)
    torch.addcmul_(torch.mul_(v, beta2), g, g, value=1.0 - beta2)
    denominator = torch.add_(torch.div(torch.sqrt(v), correction2), eps)
    if decays[i] > 0.0:
      torch.mul_(x, 1.0 - lr * decays[i])
    torch.addcdiv_(x, m, denominator, value=-lr / correction1)
    round_into(p, x)
    quantize(m, state1, absmax1, nearest1)
    quantize(v, state2, absmax2, nearest2)
  return step

# torch/nn/utils/clip_grad.py: the norm of each gradient, and the norm of these norms as the last one
def norms(grads: List[Tensor]) -> Tensor:
  each = annotate(List[Tensor], [])
  for i in range(torch.len(grads)):
    torch.append(each, torch.linalg_vector_norm(torch.detach(grads[i]), 2))
  single = torch.stack(each)
  return torch.cat([single, torch.view(torch.linalg_vector_norm(single, 2), [1])])

def scale(grads: List[Tensor], norms: Tensor, max_norm: float) -> int:
  norm = torch.select(norms, 0, -1)
  coefficient = torch.clamp(torch.mul(torch.reciprocal(torch.add(norm, 1e-6)), max_norm), None, 1.0)
  for i in range(torch.len(grads)):
    torch.mul_(torch.detach(grads[i]), coefficient)
  return 0

# AWQ's quantization and searches (arXiv:2306.00978), those of autoawq 0.2.9's quantize/quantizer.py.
# TorchScript, compiled at start-up. Weights are [out, in], inputs [tokens, in]; a group is `group` neighbouring inputs.

# [the quantized matrix, codes as uint8, scales, zero points as uint8]: 4 bits with zero points, in w's own dtype.
def quantize(w: Tensor, group: int) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
  rows = torch.size(w, 0)
  g = torch.reshape(w, [-1, group])
  low = torch.amin(g, [1], True)
  scales = torch.div(torch.clamp(torch.sub(torch.amax(g, [1], True), low), 1e-05), 15)
  zeros = torch.clamp(torch.neg(torch.round(torch.div(low, scales))), 0, 15)
  codes = torch.clamp(torch.add(torch.round(torch.div(g, scales)), zeros), 0, 15)
  quantized = torch.mul(torch.sub(codes, zeros), scales)
  return (torch.reshape(quantized, [rows, -1]), torch.to(torch.reshape(codes, [rows, -1]), 0),
          torch.reshape(scales, [rows, -1]), torch.to(torch.reshape(zeros, [rows, -1]), 0))

# How large the weights of each input are within their groups, on average over all outputs of the layers.
def weight_means(weights: List[Tensor], group: int) -> Tensor:
  w = torch.cat(weights, 0)
  g = torch.abs(torch.reshape(w, [-1, group]))
  g = torch.div(g, torch.add(torch.amax(g, [1], True), 1e-06))
  return torch.mean(torch.reshape(g, torch.size(w)), [0])

# How large each input is on average, summed `chunk` tokens at a time.
def input_means(x: Tensor, chunk: int) -> Tensor:
  total = torch.zeros([torch.size(x, 1)])
  for at in range(0, torch.size(x, 0), chunk):
    part = torch.to(torch.abs(torch.slice(x, 0, at, at + chunk)), 6)
    total = torch.add(total, torch.sum(part, [0]))
  return torch.to(torch.div(total, torch.size(x, 0)), x)

# The scales of inputs at one ratio between activations and weights.
def candidate(x_means: Tensor, w_means: Tensor, ratio: float) -> Tensor:
  s = torch.div(torch.pow(x_means, ratio), torch.add(torch.pow(w_means, 1. - ratio), 0.0001))
  s = torch.clamp(s, 0.0001)
  s = torch.div(s, torch.sqrt(torch.mul(torch.max(s), torch.min(s))))
  return torch.masked_fill(s, torch.logical_or(torch.isinf(s), torch.isnan(s)), 1)

# What a layer computes with when its weights are scaled, quantized, and its inputs scaled back.
def scaled_and_quantized(w: Tensor, scales: Tensor, group: int) -> Tensor:
  quantized, codes, s, z = quantize(torch.mul(w, scales), group)
  return torch.div(quantized, scales)

def loss(wanted: Tensor, found: Tensor) -> float:
  return float(torch.item(torch.sum(torch.pow(torch.to(torch.sub(wanted, found), 6), 2))))

# The largest absolute value [out, groups, 1] to clip each group of weights to, so that its products change least.
def clip(w: Tensor, x: Tensor, group: int, out_chunk: int) -> Tensor:
  step = max(1, torch.size(x, 0) // 512)
  x = torch.slice(x, 0, 0, torch.size(x, 0), step)
  xs = torch.contiguous(torch.permute(torch.reshape(x, [torch.size(x, 0), -1, group]), [1, 0, 2]))
  best = annotate(List[Tensor], [])
  for at in range(0, torch.size(w, 0), out_chunk):
    part = torch.slice(w, 0, at, at + out_chunk)
    rows = torch.size(part, 0)
    groups = torch.reshape(part, [rows, -1, group])
    largest = torch.amax(torch.abs(groups), [-1], True)
    chosen = torch.clone(largest)
    least = torch.mul(torch.ones_like(largest), 1000000000.)
    wanted = torch.matmul(xs, torch.permute(groups, [1, 2, 0]))
    for i in range(10):
      most = torch.mul(largest, 1. - float(i) / 20.)
      clipped = torch.clamp(groups, torch.neg(most), most)
      quantized, codes, s, z = quantize(torch.reshape(clipped, [rows, -1]), group)
      found = torch.matmul(xs, torch.permute(torch.reshape(quantized, [rows, -1, group]), [1, 2, 0]))
      error = torch.unsqueeze(torch.t(torch.mean(torch.pow(torch.sub(found, wanted), 2), [1])), -1)
      better = torch.lt(error, least)
      least = torch.where(better, error, least)
      chosen = torch.where(better, most, chosen)
    best = torch.append(best, chosen)
  return torch.cat(best, 0)

def clipped(w: Tensor, most: Tensor) -> Tensor:
  groups = torch.reshape(w, [torch.size(most, 0), torch.size(most, 1), -1])
  return torch.reshape(torch.clamp(groups, torch.neg(most), most), torch.size(w))

def times_inputs(w: Tensor, scales: Tensor) -> Tensor:
  return torch.mul(w, scales)

def divided_inputs(x: Tensor, scales: Tensor) -> Tensor:
  return torch.div(x, scales)

# A norm's weight [out] or a layer's weight [out, in] with its results divided by scales [out].
def divided_results(w: Tensor, scales: Tensor) -> Tensor:
  if torch.dim(w) == 2:
    scales = torch.unsqueeze(scales, 1)
  return torch.div(w, scales)

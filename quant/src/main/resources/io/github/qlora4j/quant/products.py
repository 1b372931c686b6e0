# Products with weights that are kept worked out.

def put_rows(all: Tensor, first: int, some: Tensor) -> Tensor:
  return torch.copy_(torch.narrow(all, 0, first, torch.size(some, 0)), some)

# In oneDNN's own layout, for a row at a time; reading it is a third faster.
def packed(weight: Tensor) -> Tensor:
  return ops.mkldnn._reorder_linear_weight(weight, 1)

def packed_product(y: Tensor, x: Tensor, weight: Tensor) -> Tensor:
  return torch.copy_(y, ops.mkldnn._linear_pointwise(x, weight, None, "none", [], ""))

def product(y: Tensor, x: Tensor, weight: Tensor) -> Tensor:
  return torch.copy_(y, torch.linear(x, weight))

# 4-bit codes [out, in] of a byte each in the layout of the engine's own kernel.
def int4_packed(codes: Tensor) -> Tensor:
  return torch._convert_weight_to_int4pack_for_cpu(torch.to(codes, 3), 1)

# What that kernel takes as scales and zero points, [groups, out, 2], from those of [out, groups].
def int4_factors(scales: Tensor, zeros: Tensor, repeat: int) -> Tensor:
  s = torch.to(scales, 6)
  z = torch.mul(s, torch.neg(torch.sub(torch.to(zeros, 6), 8)))
  both = torch.permute(torch.stack([s, z], -1), [1, 0, 2])
  return torch.contiguous(torch.to(torch.repeat_interleave(both, repeat, 0), 15))

def beside(parts: List[Tensor], dim: int) -> Tensor:
  return torch.cat(parts, dim)

# order is a list of none, or of the inputs' places where groups are not neighbours.
def int4_product(y: Tensor, x: Tensor, codes: Tensor, group: int, factors: Tensor, order: List[Tensor]) -> Tensor:
  if len(order) > 0:
    x = torch.index_select(x, 1, order[0])
  return torch.copy_(y, torch._weight_int4pack_mm_for_cpu(x, codes, group, factors))

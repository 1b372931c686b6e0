# LoRA's arithmetic. x [.., in], w [out, in], a [r, in], b [out, r], g [.., out]. TorchScript, compiled at start-up.

def forward(x: Tensor, w: Tensor, a: Tensor, b: Tensor, scaling: float) -> Tensor:
  xa = torch.to(x, ops.prim.dtype(a))
  delta = torch.mul(torch.linear(torch.linear(xa, a), b), scaling)
  base = torch.linear(x, torch.to(w, ops.prim.dtype(x)))
  return torch.to(torch.add(base, delta), ops.prim.dtype(x))

# With h = x a^T: dB = s g^T h, dA = s (g B)^T x, dx = g W + s (g B) A.
def backward(g: Tensor, x: Tensor, w: Tensor, a: Tensor, b: Tensor, scaling: float) -> Tuple[Tensor, Tensor, Tensor]:
  g2 = torch.reshape(g, [-1, torch.size(g, -1)])
  x2 = torch.to(torch.reshape(x, [-1, torch.size(x, -1)]), ops.prim.dtype(a))
  gs = torch.mul(torch.to(g2, ops.prim.dtype(a)), scaling)
  gh = torch.matmul(gs, b)
  ga = torch.matmul(torch.t(gh), x2)
  gb = torch.matmul(torch.t(gs), torch.linear(x2, a))
  gx = torch.add(torch.matmul(g2, torch.to(w, ops.prim.dtype(g2))), torch.matmul(gh, a))
  return (ga, gb, torch.reshape(torch.to(gx, ops.prim.dtype(g)), torch.size(x)))

def merge(w: Tensor, a: Tensor, b: Tensor, scaling: float, transposed: bool, dtype: int) -> Tensor:
  delta = torch.mul(torch.matmul(torch.to(b, 6), torch.to(a, 6)), scaling)
  if transposed:
    delta = torch.t(delta)
  return torch.contiguous(torch.to(torch.add(torch.to(w, 6), delta), dtype))

def count_not_finite(x: Tensor) -> int:
  return int(torch.item(torch.sum(torch.logical_not(torch.isfinite(x)))))

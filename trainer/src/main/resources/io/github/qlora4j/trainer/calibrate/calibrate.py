# A block of Llama's kind piece by piece, for what each linear layer gets to see in calibration. Everything is float32.
# block.py and llama.py have the whole; attention comes from there.

def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
  return torch.mul(weight, torch.mul(x, torch.rsqrt(torch.add(torch.mean(torch.mul(x, x), [-1], True), eps))))

# bias is a list of one or none.
def linear(x: Tensor, weight: Tensor, bias: List[Tensor]) -> Tensor:
  y = torch.matmul(x, torch.t(weight))
  if len(bias) > 0:
    y = torch.add(y, bias[0])
  return y

def gated(gate: Tensor, up: Tensor) -> Tensor:
  return torch.mul(torch.silu(gate), up)

def plus(x: Tensor, y: Tensor) -> Tensor:
  return torch.add(x, y)

def cat(parts: List[Tensor]) -> Tensor:
  return torch.cat(parts, 0)

def embed(table: Tensor, ids: Tensor) -> Tensor:
  return torch.to(torch.index_select(table, 0, ids), 6)

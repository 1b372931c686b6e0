# What quantized weights need of torch. TorchScript, compiled at start-up.

def contiguous(x: Tensor) -> Tensor:
  return torch.contiguous(torch.detach(x))

def mean(x: Tensor) -> Tensor:
  return torch.mean(x)

def minus(x: Tensor, y: Tensor) -> Tensor:
  return torch.sub(x, y)

def linspace(steps: int) -> Tensor:
  return torch.linspace(0.1, 1.0, steps, dtype=6)

def add_to_first(x: Tensor, count: int, summand: float) -> Tensor:
  return torch.add_(torch.narrow(x, 0, 0, count), summand)

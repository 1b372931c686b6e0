# What the schemes need of torch. TorchScript, compiled at start-up.

def linspace(start: float, end: float, steps: int) -> Tensor:
  return torch.linspace(start, end, steps, dtype=6)

def normal_quantiles(p: Tensor) -> Tensor:
  return torch.special_ndtri(torch.to(p, 7))

def normal_cdf(x: Tensor) -> Tensor:
  return torch.special_ndtr(torch.to(x, 7))

def mean(x: Tensor) -> Tensor:
  return torch.mean(x)

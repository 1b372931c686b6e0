# The sums of one accumulated step.

def accumulate(totals: List[Tensor], parts: List[Tensor]) -> Tensor:
  for i in range(len(totals)):
    torch.add_(totals[i], torch.to(parts[i], 6))
  return torch.zeros([0])

def clear(totals: List[Tensor]) -> Tensor:
  for t in totals:
    torch.zero_(t)
  return torch.zeros([0])

def finite(x: Tensor) -> int:
  return int(torch.all(torch.isfinite(x)))

# What quant.torch.Torch is made of. TorchScript, compiled at start-up; dtype codes are c10::ScalarType's.

def empty(shape: List[int], dtype: int) -> Tensor:
  return torch.empty(shape, dtype=dtype)

def zeros(shape: List[int], dtype: int) -> Tensor:
  return torch.zeros(shape, dtype=dtype)

def cast(x: Tensor, dtype: int) -> Tensor:
  return torch.contiguous(torch.to(torch.detach(x), dtype, False, True))

def copy(x: Tensor) -> Tensor:
  return torch.contiguous(torch.clone(torch.detach(x)))

def assign(target: Tensor, source: Tensor) -> Tensor:
  return torch.copy_(torch.detach(target), torch.detach(source))

def window(x: Tensor, start: int, length: int) -> Tensor:
  return torch.narrow(torch.view(torch.detach(x), [-1]), 0, start, length)

def is_finite(x: Tensor) -> int:
  finite = 1
  if torch.gt(torch.numel(x), 0):
    low, high = torch.aminmax(torch.detach(x))
    finite = int(torch.isfinite(low)) * int(torch.isfinite(high))
  return finite

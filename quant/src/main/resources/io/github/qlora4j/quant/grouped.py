# What weights of grouped codes (GPTQ, AWQ) need of torch. TorchScript, compiled at start-up.

def transposed(x: Tensor) -> Tensor:
  return torch.contiguous(torch.t(torch.detach(x)))

def plus(x: Tensor, summand: int, mask: int) -> Tensor:
  return torch.to(torch.bitwise_and(torch.add(torch.to(x, 3), summand), mask), 0)

# Words are int32 and wrap around.
def plus_words(x: Tensor, summand: int) -> Tensor:
  return torch.add(x, summand)

# The number at bits 4i of a word is that of column order[i] out of the word's eight.
def unpack_interleaved(words: Tensor, order: List[int]) -> Tensor:
  cols = torch.size(words, 1) * 8
  out = torch.empty([torch.size(words, 0), cols], dtype=0)
  for i in range(8):
    torch.copy_(torch.slice(out, 1, order[i], cols, 8), torch.bitwise_and(torch.bitwise_right_shift(words, 4 * i), 15))
  return out

def pack_interleaved(x: Tensor, order: List[int]) -> Tensor:
  cols = torch.size(x, 1)
  words = torch.zeros([torch.size(x, 0), cols // 8], dtype=3)
  for i in range(8):
    part = torch.to(torch.slice(x, 1, order[i], cols, 8), 3)
    words = torch.bitwise_or(words, torch.bitwise_left_shift(part, 4 * i))
  return words

# The tables of rotary position embeddings (transformers LlamaRotaryEmbedding), in float32 until the end.

def inverse_frequencies(base: float, dim: int) -> Tensor:
  return torch.reciprocal(torch.pow(base, torch.div(torch.arange(0, dim, 2, dtype=6), dim)))

# frequencies is [1, dim / 2], or a row a position.
def angles(positions: Tensor, frequencies: Tensor, factor: float, dtype: int) -> List[Tensor]:
  half = torch.mul(torch.unsqueeze(torch.to(positions, 6), 1), frequencies)
  whole = torch.unsqueeze(torch.cat([half, half], 1), 1)
  return [torch.to(torch.mul(torch.cos(whole), factor), dtype), torch.to(torch.mul(torch.sin(whole), factor), dtype)]

def rows(table: Tensor, positions: Tensor) -> Tensor:
  return torch.index_select(table, 0, positions)

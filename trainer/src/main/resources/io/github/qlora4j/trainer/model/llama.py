# The decoder of Llama, Mistral and Qwen2 (transformers/models/llama/modeling_llama.py): what is particular to the
# family, as the two halves of a block, each without its last linear layer and its residual. block.py does the rest.
# w has the tensors of one layer under the names of its modules; shape is [heads, kv_heads, head_dim].

def attention_last() -> str:
  return "self_attn.o_proj"

def mlp_last() -> str:
  return "mlp.down_proj"

# Root mean square normalization in float32, rounded to x's dtype before the weight (LlamaRMSNorm).
def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
  f = torch.to(x, 6)
  n = torch.mul(f, torch.rsqrt(torch.add(torch.mean(torch.mul(f, f), [-1], True), eps)))
  return torch.to(torch.mul(weight, torch.to(n, x)), x)

# Rotates the halves of each head by its position's angles; cos and sin are [tokens, 1, head_dim].
def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
  a, b = torch.chunk(x, 2, -1)
  return torch.add(torch.mul(x, cos), torch.mul(torch.cat([torch.neg(b), a], -1), sin))

def attention_core(x: Tensor, w: Dict[str, Tensor], t: Dict[str, Tensor], cos: Tensor, sin: Tensor, shape: List[int],
                   eps: float, p: float, seed: int) -> Tuple[Tensor, Tensor, Tensor]:
  n = rms_norm(x, w["input_layernorm.weight"], eps)
  q = torch.view(linear(n, w, t, "self_attn.q_proj", p, seed), [-1, shape[0], shape[2]])
  k = torch.view(linear(n, w, t, "self_attn.k_proj", p, seed + 1), [-1, shape[1], shape[2]])
  v = torch.view(linear(n, w, t, "self_attn.v_proj", p, seed + 2), [-1, shape[1], shape[2]])
  return (rope(q, cos, sin), rope(k, cos, sin), v)

def mlp_core(h: Tensor, w: Dict[str, Tensor], t: Dict[str, Tensor], eps: float, p: float, seed: int) -> Tensor:
  n = rms_norm(h, w["post_attention_layernorm.weight"], eps)
  gate = linear(n, w, t, "mlp.gate_proj", p, seed)
  return torch.mul(torch.silu(gate), linear(n, w, t, "mlp.up_proj", p, seed + 1))

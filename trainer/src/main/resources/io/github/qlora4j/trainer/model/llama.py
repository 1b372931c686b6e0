# The decoder of Llama, Mistral and Qwen2 (transformers/models/llama/modeling_llama.py): what is particular to the
# family. A block has two halves, attention and MLP: norm, linear layers side by side, a mix of their results without
# weights, a last linear layer, a residual. block.py runs them; here are the names, the norm and the two mixes.
# w has the tensors of one layer under the names of its modules; shape is [heads, kv_heads, head_dim].

def attention_norm() -> str:
  return "input_layernorm"

def attention_inputs() -> List[str]:
  return ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]

def attention_last() -> str:
  return "self_attn.o_proj"

def mlp_norm() -> str:
  return "post_attention_layernorm"

def mlp_inputs() -> List[str]:
  return ["mlp.gate_proj", "mlp.up_proj"]

def mlp_last() -> str:
  return "mlp.down_proj"

# Root mean square normalization in float32, rounded to x's dtype before the weight (LlamaRMSNorm).
def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
  n = torch.rms_norm(torch.to(x, 6), [torch.size(x, -1)], None, eps)
  return torch.to(torch.mul(weight, torch.to(n, x)), x)

# With r = 1 / rms: r (g w) - x r^3 mean(g w x).
def rms_norm_backward(g: Tensor, x: Tensor, weight: Tensor, eps: float) -> Tensor:
  f = torch.to(x, 6)
  r = torch.rsqrt(torch.add(torch.mean(torch.mul(f, f), [-1], True), eps))
  gw = torch.to(torch.mul(g, weight), 6)
  along = torch.mul(torch.mean(torch.mul(gw, f), [-1], True), torch.mul(torch.mul(r, r), r))
  return torch.to(torch.sub(torch.mul(gw, r), torch.mul(f, along)), x)

def norm(x: Tensor, w: Dict[str, Tensor], name: str, eps: float) -> Tensor:
  return rms_norm(x, w[name + ".weight"], eps)

def norm_backward(g: Tensor, x: Tensor, w: Dict[str, Tensor], name: str, eps: float) -> Tensor:
  return rms_norm_backward(g, x, w[name + ".weight"], eps)

# Rotates the halves of each head by its position's angles; cos and sin are [tokens, 1, head_dim]. Turning back is
# turning by the negative angle.
def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
  a, b = torch.chunk(x, 2, -1)
  return torch.add(torch.mul(x, cos), torch.mul(torch.cat([torch.neg(b), a], -1), sin))

# Query, key and value as attention takes them, from the results of attention_inputs.
def heads(parts: List[Tensor], cos: Tensor, sin: Tensor, shape: List[int]) -> Tuple[Tensor, Tensor, Tensor]:
  q = torch.view(parts[0], [-1, shape[0], shape[2]])
  k = torch.view(parts[1], [-1, shape[1], shape[2]])
  v = torch.view(parts[2], [-1, shape[1], shape[2]])
  return (rope(q, cos, sin), rope(k, cos, sin), v)

def heads_backward(gq: Tensor, gk: Tensor, gv: Tensor, cos: Tensor, sin: Tensor) -> List[Tensor]:
  back = torch.neg(sin)
  return [torch.flatten(rope(gq, cos, back), 1), torch.flatten(rope(gk, cos, back), 1), torch.flatten(gv, 1)]

# What the MLP's last layer takes, from the results of mlp_inputs.
def mix(parts: List[Tensor]) -> Tensor:
  return torch.mul(torch.silu(parts[0]), parts[1])

def mix_backward(gm: Tensor, parts: List[Tensor]) -> List[Tensor]:
  return [torch.silu_backward(torch.mul(gm, parts[1]), parts[0]), torch.mul(gm, torch.silu(parts[0]))]

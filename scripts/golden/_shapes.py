"""Keys of config.json of well-known decoders, and of small ones."""
LLAMA2_7B = dict(
    model_type="llama", hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
    num_key_value_heads=32, vocab_size=32000, tie_word_embeddings=False)
LLAMA3_8B = dict(LLAMA2_7B, intermediate_size=14336, num_key_value_heads=8, vocab_size=128256)
MISTRAL_7B = dict(LLAMA3_8B, model_type="mistral", vocab_size=32000, head_dim=128)
QWEN2_HALF_B = dict(
    model_type="qwen2", hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
    num_key_value_heads=2, vocab_size=151936, tie_word_embeddings=True)
TINY = dict(
    model_type="llama", hidden_size=64, intermediate_size=176, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, vocab_size=512, tie_word_embeddings=False, max_position_embeddings=128)
PEERS_168M = dict(
    TINY, hidden_size=1024, intermediate_size=2816, num_hidden_layers=8, num_attention_heads=16,
    num_key_value_heads=16, vocab_size=32000)

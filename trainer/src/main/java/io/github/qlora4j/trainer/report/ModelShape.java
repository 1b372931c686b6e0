package io.github.qlora4j.trainer.report;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.torch.Dtype;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * The sizes of a Llama-like decoder, from {@code config.json} alone: enough to count everything before a weight is read.
 *
 * @param modelType {@code llama}, {@code mistral} or {@code qwen2}
 * @param hidden {@code hidden_size}
 * @param intermediate {@code intermediate_size}
 * @param layers {@code num_hidden_layers}
 * @param heads {@code num_attention_heads}
 * @param keyValueHeads {@code num_key_value_heads}
 * @param headDim {@code head_dim}
 * @param vocabulary {@code vocab_size}
 * @param tied whether the head is the embedding table
 * @param queryBias whether q, k and v have a bias
 * @param outputBias whether o has one
 * @param mlpBias whether gate, up and down have one
 * @param dtype the dtype that the file names; bfloat16 where it names none
 */
public record ModelShape(
        String modelType,
        long hidden,
        long intermediate,
        int layers,
        long heads,
        long keyValueHeads,
        long headDim,
        long vocabulary,
        boolean tied,
        boolean queryBias,
        boolean outputBias,
        boolean mlpBias,
        Dtype dtype) {
    private static final List<String> TYPES = List.of("llama", "mistral", "qwen2");
    /** Beyond what any model has, and small enough that no product of sizes overflows. */
    private static final long WIDEST = 1L << 20;

    private static final long MOST_TOKENS = 1L << 24;
    private static final long MOST_LAYERS = 10_000;

    /**
     * A linear layer of a decoder block.
     *
     * @param name its path in the block, such as {@code self_attn.q_proj}
     */
    public record Linear(String name, long out, long in, boolean bias) {
        /** Elements of the matrix. */
        public long weights() {
            return out * in;
        }
    }

    /**
     * Reads a model directory's {@code config.json}.
     *
     * @throws QloraException if it is missing, is no JSON object, names another model type, or has sizes that no model has
     */
    public static ModelShape read(Path modelDirectory) {
        Path file = modelDirectory.resolve("config.json");
        if (!Files.isRegularFile(file)) {
            throw new QloraException(file + ": not found; a model directory as Hugging Face lays it out is needed");
        }
        return of(StrictJson.readObject(file), file.toString());
    }

    /** Reads the object of a {@code config.json}; {@code file} is its name in messages. */
    static ModelShape of(JsonObject json, String file) {
        Fields fields = new Fields(json, file);
        String type = fields.text("model_type", "");
        if (!TYPES.contains(type)) {
            throw new QloraException(
                    file + ": model_type is '" + type + "'; supported are " + String.join(", ", TYPES));
        }
        boolean qwen = type.equals("qwen2");
        boolean attentionBias = !qwen && fields.flag("attention_bias", false);
        long hidden = fields.size("hidden_size", -1, WIDEST);
        long heads = fields.size("num_attention_heads", -1, WIDEST);
        if (!json.has("head_dim") && hidden % heads != 0) {
            throw new QloraException(file + ": hidden_size " + hidden + " is no multiple of num_attention_heads "
                    + heads + ", and there is no head_dim");
        }
        return new ModelShape(
                type,
                hidden,
                fields.size("intermediate_size", -1, WIDEST),
                (int) fields.size("num_hidden_layers", -1, MOST_LAYERS),
                heads,
                fields.size("num_key_value_heads", heads, WIDEST),
                fields.size("head_dim", hidden / heads, WIDEST),
                fields.size("vocab_size", -1, MOST_TOKENS),
                fields.flag("tie_word_embeddings", false),
                qwen || attentionBias,
                attentionBias,
                type.equals("llama") && fields.flag("mlp_bias", false),
                fields.dtype());
    }

    /** The linear layers of one decoder block, in the model's order. */
    public List<Linear> linears() {
        long query = heads * headDim;
        long keyValue = keyValueHeads * headDim;
        return List.of(
                new Linear("self_attn.q_proj", query, hidden, queryBias),
                new Linear("self_attn.k_proj", keyValue, hidden, queryBias),
                new Linear("self_attn.v_proj", keyValue, hidden, queryBias),
                new Linear("self_attn.o_proj", hidden, query, outputBias),
                new Linear("mlp.gate_proj", intermediate, hidden, mlpBias),
                new Linear("mlp.up_proj", intermediate, hidden, mlpBias),
                new Linear("mlp.down_proj", hidden, intermediate, mlpBias));
    }

    /** Elements of the matrices of one block's linear layers. */
    public long blockWeights() {
        return linears().stream().mapToLong(Linear::weights).sum();
    }

    /** Elements of the biases of all linear layers. */
    public long biases() {
        return layers
                * linears().stream().filter(Linear::bias).mapToLong(Linear::out).sum();
    }

    /** Elements of all norms. */
    public long norms() {
        return (2L * layers + 1) * hidden;
    }

    /** Elements of the embedding table. */
    public long embeddings() {
        return vocabulary * hidden;
    }

    /** Elements of the head; 0 where it is the embedding table. */
    public long head() {
        return tied ? 0 : vocabulary * hidden;
    }

    /** All parameters. */
    public long parameters() {
        return layers * blockWeights() + biases() + norms() + embeddings() + head();
    }

    /** Reads values with messages that name the file and the key. */
    private record Fields(JsonObject json, String file) {
        long size(String key, long orElse, long most) {
            JsonElement value = json.get(key);
            if ((value == null || value.isJsonNull()) && orElse > 0) {
                return orElse;
            }
            if (value == null || !value.isJsonPrimitive()) {
                throw new QloraException(file + ": " + key + " is missing");
            }
            String text = value.getAsString();
            long size = text.matches("\\d{1,9}") ? Long.parseLong(text) : 0;
            if (size < 1 || size > most) {
                throw new QloraException(
                        file + ": " + key + " is " + text + "; a whole number from 1 to " + most + " is expected");
            }
            return size;
        }

        boolean flag(String key, boolean orElse) {
            JsonElement value = json.get(key);
            if (value == null || value.isJsonNull()) {
                return orElse;
            }
            if (!value.isJsonPrimitive() || !value.getAsJsonPrimitive().isBoolean()) {
                throw new QloraException(file + ": " + key + " is " + value + "; true or false is expected");
            }
            return value.getAsBoolean();
        }

        String text(String key, String orElse) {
            JsonElement value = json.get(key);
            return value == null || !value.isJsonPrimitive() ? orElse : value.getAsString();
        }

        Dtype dtype() {
            String name = text("dtype", text("torch_dtype", "bfloat16"));
            return Dtype.ofTorchName(name.startsWith("torch.") ? name.substring("torch.".length()) : name);
        }
    }
}

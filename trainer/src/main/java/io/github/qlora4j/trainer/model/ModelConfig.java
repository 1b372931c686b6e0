package io.github.qlora4j.trainer.model;

import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Nearest;
import io.github.qlora4j.quant.torch.Dtype;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * What {@code config.json} says of a decoder, in the names of Hugging Face.
 *
 * <p>Both spellings are read: that of transformers 5 ({@code dtype}, {@code rope_parameters}) and the one that most
 * published models have ({@code torch_dtype}, {@code rope_theta}, {@code rope_scaling}).
 *
 * @param slidingWindows a layer each: how many tokens back it looks, itself included, or 0 for all
 * @param dtype the stored dtype, where the file names one
 * @param quantization the file's {@code quantization_config}, where it has one
 * @param json the whole file
 */
public record ModelConfig(
        Family family,
        int vocabSize,
        int hiddenSize,
        int intermediateSize,
        int numHiddenLayers,
        int numAttentionHeads,
        int numKeyValueHeads,
        int headDim,
        int maxPositionEmbeddings,
        double rmsNormEps,
        boolean attentionBias,
        boolean mlpBias,
        boolean tieWordEmbeddings,
        double ropeTheta,
        RopeScaling ropeScaling,
        List<Integer> slidingWindows,
        Optional<Dtype> dtype,
        Optional<JsonObject> quantization,
        JsonObject json) {

    // Many times what the largest models have, and so few that no product of them overflows a long.
    private static final int MOST_LAYERS = 10_000;
    private static final int MOST_HEADS = 1 << 12;
    private static final int MOST_HEAD_DIM = 1 << 12;
    private static final int MOST_FEATURES = 1 << 20;
    private static final int MOST_TOKENS = 1 << 22;

    /** {@code model_type}. */
    public String modelType() {
        return family.modelType();
    }

    /**
     * Reads {@code config.json} of a model directory.
     *
     * @throws QloraException if the file is missing or damaged, or names something that is not supported here
     */
    public static ModelConfig read(Path directory) {
        if (Files.isRegularFile(directory)) {
            throw new QloraException(
                    directory + ": this is a file; name the model's directory, which holds config.json,"
                            + " tokenizer.json and *.safetensors");
        } else if (!Files.exists(directory)) {
            throw new QloraException(directory + ": there is no such model directory" + nearest(directory)
                    + " (looked in " + Path.of("").toAbsolutePath() + ")");
        }
        return readFile(directory.resolve("config.json"));
    }

    private static String nearest(Path directory) {
        Path name = directory.getFileName();
        Path parent = directory.toAbsolutePath().normalize().getParent();
        if (name == null || parent == null || !Files.isDirectory(parent)) {
            return "";
        }
        try (Stream<Path> beside = Files.list(parent)) {
            return Nearest.hint(
                    name.toString(),
                    beside.filter(Files::isDirectory)
                            .map(path -> path.getFileName().toString())
                            .sorted()
                            .toList());
        } catch (IOException | UncheckedIOException e) {
            return ""; // what is beside it may not be read; the name is told all the same
        }
    }

    static ModelConfig readFile(Path file) {
        ConfigJson config = ConfigJson.read(file);
        if (!config.has("model_type")) {
            throw config.missing("model_type");
        }
        Family family = Family.of(config.string("model_type", ""))
                .orElseThrow(() -> config.wrong("model_type", "one of " + Family.supported()));
        int hidden = config.size("hidden_size", MOST_FEATURES);
        int heads = config.size("num_attention_heads", MOST_HEADS);
        int keyHeads = family.keyValueHeads(config, heads);
        if (heads % keyHeads != 0) {
            throw config.wrong("num_key_value_heads", "a divisor of num_attention_heads, " + heads);
        }
        if (!config.has("head_dim") && hidden % heads != 0) {
            throw config.wrong("num_attention_heads", "a divisor of hidden_size, " + hidden);
        }
        int headDim = config.has("head_dim") ? config.size("head_dim", MOST_HEAD_DIM) : hidden / heads;
        if (headDim % 2 != 0) {
            throw config.wrong("head_dim", "an even number");
        }
        String activation = config.string("hidden_act", "silu");
        if (!activation.equals("silu")) {
            throw config.wrong("hidden_act", "silu, the only one supported");
        }
        int layers = config.size("num_hidden_layers", MOST_LAYERS);
        int positions = config.integer("max_position_embeddings", 1, family.defaultPositions());
        Optional<ConfigJson> parameters = config.object("rope_parameters");
        if (parameters.isPresent()
                && config.object("rope_scaling")
                        .filter(s -> s.has("type") || s.has("rope_type"))
                        .isPresent()) {
            throw config.wrong(
                    "rope_scaling", "nothing beside rope_parameters, whose place it would take: put its keys there");
        }
        Optional<ConfigJson> rope = parameters.or(() -> config.object("rope_scaling"));
        double theta = rope.filter(p -> p.has("rope_theta"))
                .map(p -> p.positive("rope_theta", 0))
                .orElseGet(() -> config.positive("rope_theta", 10000));
        return new ModelConfig(
                family,
                config.size("vocab_size", MOST_TOKENS),
                hidden,
                config.size("intermediate_size", MOST_FEATURES),
                layers,
                heads,
                keyHeads,
                headDim,
                positions,
                config.positive("rms_norm_eps", 1e-6),
                family.attentionBias(config),
                family.mlpBias(config),
                config.bool("tie_word_embeddings", false),
                theta,
                rope.map(r -> RopeScaling.read(r, positions, config.integer("original_max_position_embeddings", 1, 0)))
                        .orElse(new RopeScaling.None()),
                windows(config, family, layers),
                dtype(config),
                config.object("quantization_config").map(ConfigJson::json),
                config.json());
    }

    private static Optional<Dtype> dtype(ConfigJson config) {
        String key = config.has("dtype") ? "dtype" : "torch_dtype";
        String name = config.string(key, null);
        if (name == null) {
            return Optional.empty();
        }
        Dtype dtype;
        try {
            dtype = Dtype.ofTorchName(name);
        } catch (QloraException e) {
            throw config.wrong(key, "float32, float16 or bfloat16");
        }
        if (!dtype.isFloating() || dtype == Dtype.FLOAT64) {
            throw config.wrong(key, "float32, float16 or bfloat16");
        }
        return Optional.of(dtype);
    }

    private static List<Integer> windows(ConfigJson config, Family family, int layers) {
        int window = family.slidingWindow(config);
        Optional<List<String>> types = config.strings("layer_types");
        if (types.isPresent() && family != Family.QWEN2) {
            String one = window > 0 ? "sliding_attention" : "full_attention";
            if (!types.get().stream().allMatch(one::equals)) {
                // transformers' class of the family would pass over them
                throw config.wrong("layer_types", one + " in every layer of a " + family.modelType());
            }
        }
        if (types.isPresent() && window == 0 && types.get().contains("sliding_attention")) {
            throw config.wrong("layer_types", "no sliding_attention, since the file names no window");
        }
        if (types.isPresent() && types.get().size() < layers) {
            throw config.wrong("layer_types", layers + " entries, one a layer");
        }
        if (types.isPresent()) {
            return types.get().subList(0, layers).stream()
                    .map(type -> switch (type) {
                        case "full_attention" -> 0;
                        case "sliding_attention" -> window;
                        default -> throw config.wrong("layer_types", "full_attention or sliding_attention");
                    })
                    .toList();
        }
        int first = Math.min(layers, family.firstSlidingLayer(config));
        return java.util.stream.Stream.concat(
                        Collections.nCopies(first, 0).stream(), Collections.nCopies(layers - first, window).stream())
                .toList();
    }
}

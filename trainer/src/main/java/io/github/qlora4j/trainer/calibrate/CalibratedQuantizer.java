package io.github.qlora4j.trainer.calibrate;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.QuantizedOutput;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.safetensors.ShardedSafetensorsWriter;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.safetensors.TensorSpec;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.data.PackedRows;
import io.github.qlora4j.trainer.model.Family;
import io.github.qlora4j.trainer.model.ModelConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Turns a model directory into one whose linear layers are quantized by GPTQ or AWQ, block by block with the inputs that
 * calibration texts give them, in the files that transformers loads.
 *
 * <p>It computes in float32. Memory: one block's tensors, what its method needs, and the texts' hidden states.
 */
public final class CalibratedQuantizer {

    /** Tokens that go through a block at once, unless one text has more. */
    private static final int CHUNK_TOKENS = 2048;

    private static final String EMBEDDINGS = "model.embed_tokens.weight";

    private final CalibrationMethod method;
    private final long maxShardBytes;

    /** A quantizer by a method that writes files of at most so many bytes of tensors. */
    public CalibratedQuantizer(CalibrationMethod method, long maxShardBytes) {
        this.method = method;
        this.maxShardBytes = maxShardBytes;
    }

    /** Is told of each block that is done. */
    public interface Progress {
        /** So many blocks of all are done. */
        void done(int blocks, int all);
    }

    /**
     * Quantizes a model.
     *
     * @param model the directory to read, unquantized
     * @param output the directory to make; it must not be there, or be empty
     * @param texts the token ids of the calibration's texts, none empty
     * @throws QloraException if the model cannot be read or is quantized already, a layer does not fit the method, or the
     *     output cannot be written
     */
    public void quantize(Path model, Path output, List<int[]> texts, Progress progress) {
        ModelConfig config = ModelConfig.read(model);
        if (texts.isEmpty()) {
            throw new QloraException("there are no calibration texts");
        }
        if (config.quantization().isPresent()) {
            throw new QloraException(model + ": this model is quantized already");
        }
        try (ModelDirectory files = ModelDirectory.open(model)) {
            List<TensorSpec> specs = specs(config, files);
            try (QuantizedOutput made = QuantizedOutput.create(model, output)) {
                try (ShardedSafetensorsWriter writer = ShardedSafetensorsWriter.create(
                        made.directory(), Map.of("format", "pt"), specs, maxShardBytes)) {
                    write(config, files, texts, progress, writer);
                    writer.finish();
                }
                made.finish(StrictJson.readObject(model.resolve("config.json")), method.quantizationConfig());
            }
        }
    }

    private List<TensorSpec> specs(ModelConfig config, ModelDirectory files) {
        Map<String, Family.Linear> linears = new LinkedHashMap<>();
        for (int i = 0; i < config.numHiddenLayers(); i++) {
            for (Family.Linear linear : config.family().linears(config)) {
                linears.put(CalibrationBlock.prefix(i) + linear.name() + ".weight", linear);
            }
            for (String name : CalibrationBlock.names(config)) {
                files.info(CalibrationBlock.prefix(i) + name);
            }
            for (Family.Linear linear : config.family().linears(config)) {
                if (linear.bias()) {
                    requireShape(files, CalibrationBlock.prefix(i) + linear.name() + ".bias", linear.out());
                }
            }
            for (String name : List.of(CalibrationBlock.INPUT_NORM, CalibrationBlock.POST_NORM)) {
                requireShape(files, CalibrationBlock.prefix(i) + name, config.hiddenSize());
            }
        }
        requireShape(files, EMBEDDINGS, config.vocabSize(), config.hiddenSize());
        List<TensorSpec> specs = new ArrayList<>();
        for (String name : files.names()) {
            TensorInfo info = files.info(name);
            Family.Linear linear = linears.get(name);
            if (linear == null) {
                specs.add(new TensorSpec(name, info.dtype(), info.shape()));
            } else {
                String module = name.substring(0, name.length() - ".weight".length());
                if (info.shape().length != 2
                        || info.shape()[0] != linear.out()
                        || info.shape()[1] != linear.in()
                        || !info.dtype().isFloating()) {
                    throw new QloraException(files.fileOf(name) + ": tensor " + name + ": floating-point ["
                            + linear.out() + ", " + linear.in() + "] is expected, found " + info);
                }
                specs.addAll(method.specs(module, linear.out(), linear.in()));
            }
        }
        return specs;
    }

    private static void requireShape(ModelDirectory files, String name, long... shape) {
        TensorInfo info = files.info(name);
        if (!Arrays.equals(info.shape(), shape) || !info.dtype().isFloating()) {
            throw new QloraException(files.fileOf(name) + ": tensor " + name + ": floating-point "
                    + Arrays.toString(shape) + " is expected, found " + info);
        }
    }

    private void write(
            ModelConfig config,
            ModelDirectory files,
            List<int[]> texts,
            Progress progress,
            ShardedSafetensorsWriter writer) {
        int layers = config.numHiddenLayers();
        Set<String> inBlocks = new HashSet<>();
        for (int i = 0; i < layers; i++) {
            for (String name : CalibrationBlock.names(config)) {
                inBlocks.add(CalibrationBlock.prefix(i) + name);
            }
        }
        try (NDManager states = Torch.newManager()) {
            List<CalibrationBlock.Chunk> chunks = chunks(states, files, texts);
            for (String name : files.names()) {
                if (!inBlocks.contains(name)) {
                    try (NDManager one = Torch.newManager()) {
                        writer.write(name, files.read(one, name));
                    }
                }
            }
            for (int i = 0; i < layers; i++) {
                String prefix = CalibrationBlock.prefix(i);
                requireFinite(files, i, chunks);
                try (NDManager made = Torch.newManager();
                        CalibrationBlock block = new CalibrationBlock(config, files, i)) {
                    quantized(made, files, block, chunks, prefix).forEach(writer::write);
                    for (String name : CalibrationBlock.names(config)) {
                        if (!name.endsWith("_proj.weight")) {
                            writer.write(prefix + name, Torch.cast(made, block.get(name), block.stored(name)));
                        }
                    }
                }
                progress.done(i + 1, layers);
            }
        }
    }

    private Map<String, NDArray> quantized(
            NDManager made,
            ModelDirectory files,
            CalibrationBlock block,
            List<CalibrationBlock.Chunk> chunks,
            String prefix) {
        try {
            return method.quantize(made, block, chunks, prefix);
        } catch (QloraException e) {
            throw e.getMessage().startsWith(files.path().toString())
                    ? e
                    : new QloraException(files.path() + ": " + e.getMessage(), e);
        }
    }

    /** What the texts are before a block: with weights that are damaged, no numbers any more. */
    private static void requireFinite(ModelDirectory files, int block, List<CalibrationBlock.Chunk> chunks) {
        if (!chunks.stream().allMatch(chunk -> Torch.isFinite(chunk.x()))) {
            throw new QloraException(files.path() + ": "
                    + (block == 0 ? "the embeddings" : "the results of block " + block + " (counted from 1)")
                    + " are NaN or infinite for the calibration texts; a weight is damaged or far too large");
        }
    }

    /** The texts' embeddings, some texts at a time. */
    private static List<CalibrationBlock.Chunk> chunks(NDManager states, ModelDirectory files, List<int[]> texts) {
        List<CalibrationBlock.Chunk> chunks = new ArrayList<>();
        try (NDManager table = Torch.newManager()) {
            NDArray embeddings = files.read(table, EMBEDDINGS);
            List<Example> rows = new ArrayList<>();
            int tokens = 0;
            for (int i = 0; i < texts.size(); i++) {
                rows.add(new Example(texts.get(i), texts.get(i)));
                tokens += texts.get(i).length;
                boolean last = i + 1 == texts.size();
                if (last || tokens + texts.get(i + 1).length > CHUNK_TOKENS) {
                    PackedRows packed = PackedRows.of(rows);
                    try (NDArray ids = Torch.ofInts(table, packed.inputIds(), packed.tokens())) {
                        chunks.add(new CalibrationBlock.Chunk(packed, CalibrationBlock.embed(states, embeddings, ids)));
                    }
                    rows.clear();
                    tokens = 0;
                }
            }
        }
        return chunks;
    }
}

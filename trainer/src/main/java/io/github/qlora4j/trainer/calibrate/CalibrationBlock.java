package io.github.qlora4j.trainer.calibrate;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.DenseWeight;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.ModelDirectory;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import io.github.qlora4j.trainer.data.PackedRows;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.Decoder;
import io.github.qlora4j.trainer.model.Family;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.model.Trained;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One block of a model in float32 while its layers are quantized: its tensors, which may be replaced, and the pieces of
 * its forward pass, so that each layer's inputs can be looked at.
 *
 * <p>The tensors belong to the block; closing it frees them. Results belong to the manager given.
 */
final class CalibrationBlock implements AutoCloseable {

    static final String Q = "self_attn.q_proj";
    static final String K = "self_attn.k_proj";
    static final String V = "self_attn.v_proj";
    static final String O = "self_attn.o_proj";
    static final String GATE = "mlp.gate_proj";
    static final String UP = "mlp.up_proj";
    static final String DOWN = "mlp.down_proj";
    static final String INPUT_NORM = "input_layernorm.weight";
    static final String POST_NORM = "post_attention_layernorm.weight";

    private static final List<String> LINEARS = List.of(Q, K, V, O, GATE, UP, DOWN);

    private final NDManager manager = Torch.newManager();
    private final ModelConfig config;
    private final ModelDirectory files;
    private final int layer;
    private final Map<String, NDArray> tensors = new LinkedHashMap<>();

    CalibrationBlock(ModelConfig config, ModelDirectory files, int layer) {
        this.config = config;
        this.files = files;
        this.layer = layer;
        try {
            for (String name : names(config)) {
                tensors.put(name, Torch.cast(manager, files.read(manager, prefix(layer) + name), Dtype.FLOAT32));
            }
        } catch (RuntimeException e) {
            manager.close();
            throw e;
        }
    }

    static String prefix(int layer) {
        return "model.layers." + layer + ".";
    }

    /** The tensors of a block within their layer: weights, biases, norms. */
    static List<String> names(ModelConfig config) {
        List<Family.Linear> linears = config.family().linears(config);
        if (!linears.stream().map(Family.Linear::name).toList().equals(LINEARS)) {
            throw new QloraException("models of type " + config.modelType()
                    + " are not quantized with calibration; their blocks are not Llama's");
        }
        List<String> names = new ArrayList<>();
        for (Family.Linear linear : linears) {
            names.add(linear.name() + ".weight");
            if (linear.bias()) {
                names.add(linear.name() + ".bias");
            }
        }
        config.family().norms().forEach(norm -> names.add(norm + ".weight"));
        return names;
    }

    /** The texts' hidden states before this block, some of the texts at a time. */
    record Chunk(PackedRows rows, NDArray x) {}

    /** A tensor by its name within the layer. */
    NDArray get(String name) {
        return tensors.get(name);
    }

    NDArray weight(String linear) {
        return tensors.get(linear + ".weight");
    }

    /** Puts a tensor in the place of another, which is freed. */
    void replace(String name, NDArray tensor) {
        tensor.attach(manager);
        tensors.put(name, tensor).close();
    }

    /** The dtype that a tensor is stored in. */
    Dtype stored(String name) {
        return files.info(prefix(layer) + name).dtype();
    }

    NDArray norm(NDManager owner, NDArray x, String name) {
        return Operators.SCRIPT.tensor(owner, "norm", x, get(name), config.rmsNormEps());
    }

    NDArray linear(NDManager owner, NDArray x, String linear) {
        return linear(owner, x, weight(linear), linear);
    }

    NDArray linear(NDManager owner, NDArray x, NDArray weight, String linear) {
        NDArray bias = get(linear + ".bias");
        return Operators.SCRIPT.tensor(owner, "linear", x, weight, bias == null ? List.of() : List.of(bias));
    }

    NDArray gated(NDManager owner, NDArray gate, NDArray up) {
        return Operators.SCRIPT.tensor(owner, "gated", gate, up);
    }

    static NDArray plus(NDManager owner, NDArray x, NDArray y) {
        return Operators.SCRIPT.tensor(owner, "plus", x, y);
    }

    /** Rows of a table in float32. */
    static NDArray embed(NDManager owner, NDArray table, NDArray ids) {
        return Operators.SCRIPT.tensor(owner, "embed", table, ids);
    }

    static NDArray cat(NDManager owner, List<NDArray> parts) {
        return Operators.SCRIPT.tensor(owner, "cat", parts);
    }

    /**
     * What attention hands to its last layer, {@code [tokens, heads · head_dim]}.
     *
     * @param q what takes the place of the query's weight; k and v likewise
     */
    NDArray attention(NDManager owner, Chunk chunk, NDArray q, NDArray k, NDArray v) {
        try (NDManager pass = Torch.newManager()) {
            int hidden = config.hiddenSize();
            // the rest of the block is not looked at, and made as small as may be
            Map<String, LinearWeight> linears = new LinkedHashMap<>();
            linears.put(Q, new DenseWeight(q));
            linears.put(K, new DenseWeight(k));
            linears.put(V, new DenseWeight(v));
            linears.put(O, new DenseWeight(weight(O)));
            linears.put(GATE, new DenseWeight(Torch.zeros(pass, Dtype.FLOAT32, 1, hidden)));
            linears.put(UP, new DenseWeight(Torch.zeros(pass, Dtype.FLOAT32, 1, hidden)));
            linears.put(DOWN, new DenseWeight(Torch.zeros(pass, Dtype.FLOAT32, hidden, 1)));
            Map<String, NDArray> others = new LinkedHashMap<>(tensors);
            others.keySet().removeIf(name -> name.startsWith("mlp.") || name.endsWith("_proj.weight"));
            BaseModel.Layer none = new BaseModel.Layer(Map.of(), Map.of());
            List<BaseModel.Layer> layers = new ArrayList<>(Collections.nCopies(config.numHiddenLayers(), none));
            layers.set(layer, new BaseModel.Layer(linears, others));
            NDArray unused = get(INPUT_NORM);
            BaseModel base = BaseModel.of(
                    pass,
                    files.path(),
                    config,
                    BaseOptions.unquantized(Dtype.FLOAT32),
                    Dtype.FLOAT32,
                    unused,
                    unused,
                    unused,
                    layers);
            try (Trained trained = new Trained(config.numHiddenLayers());
                    Decoder decoder = new Decoder(base, trained)) {
                // [result, input, attention's result, …]: see block.py
                NDArray result = decoder.forward(pass, layer, chunk.x(), decoder.rows(pass, chunk.rows()), false, 0)
                        .get(2);
                result.attach(owner);
                return result;
            }
        }
    }

    @Override
    public void close() {
        manager.close();
    }

    private static final class Operators {
        static final TorchScript SCRIPT = TorchScript.load(CalibrationBlock.class, "calibrate.py");
    }
}

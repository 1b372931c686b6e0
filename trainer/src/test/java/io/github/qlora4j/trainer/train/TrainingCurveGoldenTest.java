package io.github.qlora4j.trainer.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.Int8Scheme;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.OptimizerName;
import io.github.qlora4j.trainer.data.Batch;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.Decoder;
import io.github.qlora4j.trainer.model.Modules;
import io.github.qlora4j.trainer.model.Recomputation;
import io.github.qlora4j.trainer.model.Trained;
import io.github.qlora4j.trainer.optim.Clipping;
import io.github.qlora4j.trainer.optim.Optimizer;
import io.github.qlora4j.trainer.optim.OptimizerConfig;
import io.github.qlora4j.trainer.optim.Parameter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Gradients and 50-step loss curves against peft's, from the same adapter and rows. */
class TrainingCurveGoldenTest {

    private static final Path ROOT = Path.of("src/test/resources/golden/training");

    static List<String> inFloat32() throws IOException {
        return runs("fp32");
    }

    static List<String> runs(String mode) throws IOException {
        try (Stream<Path> all = Files.list(ROOT)) {
            return all.filter(Files::isDirectory)
                    .map(p -> p.getFileName().toString())
                    .filter(name -> curve(name).get("mode").getAsString().equals(mode))
                    .sorted()
                    .toList();
        }
    }

    // float32 on both sides: 1e-4 of the largest entry of each tensor
    @ParameterizedTest
    @MethodSource("inFloat32")
    void gradientsEqualPefts(String name) {
        for (Recomputation recomputation : List.of(new Recomputation.All(), new Recomputation.None())) {
            try (Setup run = new Setup(name, BaseOptions.unquantized(Dtype.FLOAT32), recomputation);
                    SafetensorsFile golden =
                            SafetensorsFile.open(ROOT.resolve(name).resolve("gradients.safetensors"))) {
                Batch batch = new Batch(rows().subList(0, 2));
                double loss = run.step.forwardAndBackward(1, batch, 1.0 / batch.learned(), 0);
                assertThat(loss).isCloseTo(run.curve.get("gradients_loss").getAsDouble(), within(1e-5));
                List<Trained.Parameter> parameters = run.trained.parameters();
                assertThat(parameters.stream().map(Trained.Parameter::name))
                        .containsExactlyInAnyOrderElementsOf(golden.tensors().keySet());
                for (int i = 0; i < parameters.size(); i++) {
                    String tensor = parameters.get(i).name();
                    try (NDArray expected = golden.read(run.manager, tensor)) {
                        assertClose(
                                name + " " + tensor,
                                Torch.toFloats(run.step.gradients().get(i)),
                                Torch.toFloats(expected));
                    }
                }
            }
        }
    }

    // float32 base and adapter: each step's loss within 1e-4
    @ParameterizedTest
    @MethodSource("inFloat32")
    void lossesEqualPefts(String name) {
        try (Setup run = new Setup(name, BaseOptions.unquantized(Dtype.FLOAT32), new Recomputation.All())) {
            run.follow(1e-4);
        }
    }

    static Stream<Arguments> inOtherModes() throws IOException {
        Stream.Builder<Arguments> cases = Stream.builder();
        for (String name : runs("nf4-fp32")) {
            cases.add(Arguments.of(name, fourBit(Dtype.FLOAT32), 1e-4));
        }
        // bfloat16 rounds elsewhere where sums are taken in another order; peft's own run with another attention kernel
        // comes out eager_attention_apart from itself. Twice that for a base that is bfloat16 throughout; on NF4 2e-3,
        // which lies between once and four times that.
        for (String name : runs("bf16")) {
            cases.add(Arguments.of(name, BaseOptions.unquantized(Dtype.BFLOAT16), 2 * apart(name)));
        }
        for (String name : runs("nf4-bf16")) {
            cases.add(Arguments.of(name, fourBit(Dtype.BFLOAT16), 2e-3));
        }
        for (String name : runs("nf4-bf16-upcast")) {
            cases.add(Arguments.of(name, fourBit(Dtype.BFLOAT16).withUpcast(true), 2e-3));
        }
        // training multiplies by the dense weight, as bitsandbytes does on a CPU: nothing is rounded to int8 on the way
        for (String name : runs("int8-fp32")) {
            cases.add(Arguments.of(name, int8(Dtype.FLOAT32), 1e-4));
        }
        for (String name : runs("int8-bf16")) {
            cases.add(Arguments.of(name, int8(Dtype.BFLOAT16), 2 * apart(name)));
        }
        return cases.build();
    }

    private static BaseOptions int8(Dtype dtype) {
        return BaseOptions.eightBit(new Int8Scheme(6)).withDtype(dtype);
    }

    private static double apart(String name) {
        return curve(name).getAsJsonObject("eager_attention_apart").get("loss").getAsDouble();
    }

    private static BaseOptions fourBit(Dtype dtype) {
        return BaseOptions.fourBit(FourBitConfig.DEFAULT, dtype).withDtype(dtype);
    }

    @ParameterizedTest
    @MethodSource("inOtherModes")
    void lossesInOtherModesEqualPefts(String name, BaseOptions options, double tolerance) {
        try (Setup run = new Setup(name, options, new Recomputation.All())) {
            run.follow(tolerance);
        }
    }

    static void assertClose(String what, float[] found, float[] expected) {
        float largest = 0;
        for (float value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        assertThat(found).as(what).hasSameSizeAs(expected);
        for (int i = 0; i < found.length; i++) {
            assertThat(found[i]).as("%s[%d]", what, i).isCloseTo(expected[i], within(1e-4f * largest + 1e-9f));
        }
    }

    static JsonObject curve(String name) {
        try {
            return JsonParser.parseString(Files.readString(ROOT.resolve(name).resolve("curve.json")))
                    .getAsJsonObject();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    static List<Example> rows() {
        try {
            List<Example> rows = new ArrayList<>();
            for (String line : Files.readAllLines(ROOT.resolve("rows.jsonl"))) {
                JsonObject row = JsonParser.parseString(line).getAsJsonObject();
                rows.add(new Example(ints(row.getAsJsonArray("input_ids")), ints(row.getAsJsonArray("labels"))));
            }
            return rows;
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private static int[] ints(JsonArray array) {
        int[] values = new int[array.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = array.get(i).getAsInt();
        }
        return values;
    }

    /** A golden run, ready for its first step. */
    static final class Setup implements AutoCloseable {
        final NDManager manager = Torch.newManager();
        final JsonObject curve;
        final BaseModel base;
        final Adapter adapter;
        final Trained trained;
        final Decoder decoder;
        final Optimizer optimizer;
        final TrainingStep step;

        Setup(String name, BaseOptions options, Recomputation recomputation) {
            curve = curve(name);
            base = BaseModel.load(
                    Path.of("src/test/resources/golden/models")
                            .resolve(curve.get("model").getAsString()),
                    options);
            adapter = Adapter.load(
                    manager,
                    ROOT.resolve(name).resolve("first"),
                    Modules.of(base.config()),
                    base.config().modelType(),
                    null);
            trained = Trained.of(base.config(), adapter);
            decoder = new Decoder(base, trained);
            optimizer = Optimizer.create(
                    OptimizerConfig.of(OptimizerName.ADAMW_TORCH)
                            .withWeightDecay(curve.get("weight_decay").getAsDouble()),
                    trained.parameters().stream()
                            .map(p -> new Parameter(p.name(), p.value()))
                            .toList());
            step = new TrainingStep(
                    decoder, optimizer, new Clipping(curve.get("max_grad_norm").getAsDouble()), recomputation, 0);
        }

        void follow(double tolerance) {
            List<Example> rows = rows();
            int at = 0;
            assertThat(curve.getAsJsonArray("steps")).hasSize(50);
            for (JsonElement element : curve.getAsJsonArray("steps")) {
                JsonObject expected = element.getAsJsonObject();
                List<Batch> batches = new ArrayList<>();
                for (int i = 0; i < curve.get("gradient_accumulation_steps").getAsInt(); i++) {
                    List<Example> batch = new ArrayList<>();
                    for (int r = 0; r < curve.get("per_device_train_batch_size").getAsInt(); r++) {
                        batch.add(rows.get(at++ % rows.size()));
                    }
                    batches.add(new Batch(batch));
                }
                long number = expected.get("step").getAsLong();
                TrainingStep.Result result =
                        step.run(number, batches, expected.get("learning_rate").getAsDouble());
                assertThat(result.learnedTokens())
                        .isEqualTo(expected.get("learned_tokens").getAsLong());
                assertThat(result.tokens()).isEqualTo(expected.get("tokens").getAsLong());
                assertThat(result.loss())
                        .as("loss of step %d", number)
                        .isCloseTo(expected.get("loss").getAsDouble(), within(tolerance));
                assertThat(result.gradNorm())
                        .as("grad norm of step %d", number)
                        .isCloseTo(expected.get("grad_norm").getAsDouble(), within(tolerance * 10));
            }
        }

        @Override
        public void close() {
            step.close();
            optimizer.close();
            decoder.close();
            trained.close();
            adapter.close();
            base.close();
            manager.close();
        }
    }
}

package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.Int8Scheme;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.data.PackedRows;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Adapters that peft trained and saved, with every option of LoRA, score as they do there. */
class TrainedAdapterGoldenTest {

    private static final Path ROOT = Golden.ROOT.resolve("training");

    static List<String> runs() throws IOException {
        try (Stream<Path> all = Files.list(ROOT)) {
            return all.filter(p -> Files.exists(p.resolve("logprobs.jsonl")))
                    .filter(p -> mode(p).endsWith("fp32"))
                    .map(p -> p.getFileName().toString())
                    .sorted()
                    .toList();
        }
    }

    private static String mode(Path run) {
        return Golden.json(run.resolve("curve.json")).get("mode").getAsString();
    }

    private static BaseOptions options(String mode) {
        return switch (mode) {
            case "fp32" -> BaseOptions.unquantized(Dtype.FLOAT32);
            case "nf4-fp32" ->
                BaseOptions.fourBit(FourBitConfig.DEFAULT, Dtype.FLOAT32).withDtype(Dtype.FLOAT32);
            case "int8-fp32" -> BaseOptions.eightBit(new Int8Scheme(6)).withDtype(Dtype.FLOAT32);
            default -> throw new IllegalArgumentException(mode);
        };
    }

    // float32 on both sides, over a float32 base or the same 4-bit bytes; in int8 bitsandbytes scores by its own
    // product
    // what it trained on the dense weight
    @ParameterizedTest
    @MethodSource("runs")
    void scoresAsInPeft(String name) {
        String model = Golden.json(ROOT.resolve(name).resolve("curve.json"))
                .get("model")
                .getAsString();
        BaseOptions options = options(mode(ROOT.resolve(name)));
        try (BaseModel base = BaseModel.load(Golden.model(model), options);
                NDManager manager = Torch.newManager();
                Adapter adapter = Adapter.load(
                        manager,
                        ROOT.resolve(name).resolve("trained"),
                        Modules.of(base.config()),
                        base.config().modelType(),
                        null);
                Trained trained = Trained.of(base.config(), adapter);
                Decoder decoder = new Decoder(base, trained)) {
            for (JsonObject row : Golden.lines(ROOT.resolve(name).resolve("logprobs.jsonl"))) {
                int[] ids = Golden.ints(row, "input_ids");
                float[] expected = Golden.floats(row, "logprobs");
                PackedRows packed = PackedRows.of(List.of(new Example(ids, ids)));
                float[] found = packed.learned() == 0
                        ? new float[0]
                        : Torch.toFloats(decoder.logProbabilities(manager, decoder.encode(manager, packed), packed));
                assertThat(found).hasSameSizeAs(expected);
                for (int i = 0; i < found.length; i++) {
                    assertThat(found[i]).as("%s, position %d", name, i).isCloseTo(expected[i], within(1e-4f));
                }
            }
        }
    }
}

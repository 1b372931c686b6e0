package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
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

/** Log-probabilities and greedy tokens of every decoder option, against transformers'. */
class DecoderGoldenTest {

    static List<String> models() throws IOException {
        try (Stream<Path> all = Files.list(Golden.ROOT.resolve("models"))) {
            return all.filter(Files::isDirectory)
                    .map(p -> p.getFileName().toString())
                    .sorted()
                    .toList();
        }
    }

    // float32 on both sides; kernels of the same operators sum in another order. ln p is of size 1 to 10.
    @ParameterizedTest
    @MethodSource("models")
    void scoresRowsAsTransformersDoesInFloat32(String name) {
        try (BaseModel base = BaseModel.load(Golden.model(name), BaseOptions.unquantized(Dtype.FLOAT32));
                Trained none = new Trained(base.config().numHiddenLayers());
                Decoder decoder = new Decoder(base, none);
                NDManager manager = Torch.newManager()) {
            List<JsonObject> rows = Golden.lines(Golden.model(name).resolve("logprobs.jsonl"));
            // all rows in one batch: none may see another
            List<Example> examples = rows.stream()
                    .map(r -> Golden.ints(r, "input_ids"))
                    .map(ids -> new Example(ids, ids))
                    .toList();
            PackedRows packed = PackedRows.of(examples);
            NDArray x = decoder.encode(manager, packed);
            float[] found = Torch.toFloats(decoder.logProbabilities(manager, x, packed));
            int at = 0;
            for (JsonObject row : rows) {
                for (float expected : Golden.floats(row, "logprobs")) {
                    assertThat(found[at++]).as("%s, position %d", name, at - 1).isCloseTo(expected, within(1e-4f));
                }
            }
            assertThat(at).isEqualTo(found.length);
        }
    }

    @ParameterizedTest
    @MethodSource("models")
    void generatesGreedilyAsTransformersDoesWithACache(String name) {
        JsonObject golden = Golden.json(Golden.model(name).resolve("generate.json"));
        try (BaseModel base = BaseModel.load(Golden.model(name), BaseOptions.unquantized(Dtype.FLOAT32));
                Trained none = new Trained(base.config().numHiddenLayers());
                Decoder decoder = new Decoder(base, none);
                KvCache cache = decoder.newCache();
                NDManager manager = Torch.newManager()) {
            int[] tokens = Golden.ints(golden, "input_ids");
            int[] expected = Golden.ints(golden, "output_ids");
            int[] found = new int[expected.length];
            for (int i = 0; i < found.length; i++) {
                try (NDArray logits = decoder.next(manager, tokens, cache)) {
                    float[] scores = Torch.toFloats(logits);
                    for (int v = 0; v < scores.length; v++) {
                        if (scores[v] > scores[found[i]]) {
                            found[i] = v;
                        }
                    }
                }
                tokens = new int[] {found[i]};
            }
            assertThat(found).isEqualTo(expected);
        }
    }
}

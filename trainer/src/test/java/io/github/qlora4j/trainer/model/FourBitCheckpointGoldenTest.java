package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.data.Example;
import io.github.qlora4j.trainer.data.PackedRows;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** 4-bit checkpoints that transformers saved, whole and sharded, score as they do there. */
class FourBitCheckpointGoldenTest {

    // the same packed bytes on both sides, float32 products
    @ParameterizedTest
    @CsvSource({"nf4-double,NF4,true", "fp4-single-sharded,FP4,false"})
    void scoresAsInTransformers(String name, QuantType type, boolean doubled) {
        BaseOptions options = BaseOptions.fourBit(new FourBitConfig(type, 64, doubled), Dtype.FLOAT32)
                .withDtype(Dtype.FLOAT32);
        try (BaseModel base = BaseModel.load(Golden.ROOT.resolve("checkpoints").resolve(name), options);
                NDManager manager = Torch.newManager();
                Trained none = new Trained(base.config().numHiddenLayers());
                Decoder decoder = new Decoder(base, none)) {
            for (JsonObject row : Golden.lines(
                    Golden.ROOT.resolve("checkpoints").resolve(name).resolve("logprobs-fp32.jsonl"))) {
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

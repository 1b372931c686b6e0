package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.peft.LoraConfig;
import io.github.qlora4j.peft.TargetModules;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.bitsandbytes.GemvLibrary;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class FewTokensTest {

    private static final long SEED = 5;

    /**
     * Against the same weights worked out in the compute dtype. Both round each product's result and the stream to
     * bfloat16 (2^-9 of each value); the kernel rounds absmax to bfloat16 too, where double quantization has blurred it
     * already. Over two blocks of these models that comes to 1 or 2 % of the logits; a bias or an adapter left out, or parts
     * that are exchanged, to more than 10.
     */
    @ParameterizedTest
    @CsvSource({
        "llama,BFLOAT16,false",
        "llama-gqa,BFLOAT16,true",
        "qwen2,BFLOAT16,false",
        "qwen2,BFLOAT16,true",
        "qwen2,FLOAT32,true",
        "llama,FLOAT32,false"
    })
    void tokensAreWhatWorkedOutWeightsMakeOfThem(String name, Dtype stream, boolean adapted) {
        assumeTrue(GemvLibrary.usable());
        BaseOptions options =
                BaseOptions.fourBit(FourBitConfig.DEFAULT, Dtype.BFLOAT16).withDtype(stream);
        try (NDManager manager = Torch.newManager();
                BaseModel base = BaseModel.load(Golden.model(name), options);
                Trained trained = adapted ? adapter(manager, base.config()) : new Trained(2);
                Decoder decoder = new Decoder(base, trained);
                CachedDecoder worked = new CachedDecoder(decoder);
                FewTokens few = FewTokens.of(decoder, Long.MAX_VALUE).orElseThrow();
                KvCache fewCache = worked.newCache();
                KvCache workedCache = worked.newCache()) {
            Random random = new Random(SEED);
            for (int count : new int[] {7, 1, 1, FewTokens.MOST, 1}) {
                int[] ids = random.ints(count, 0, base.config().vocabSize()).toArray();
                float[] expected = Torch.toFloats(worked.next(manager, ids, workedCache));

                fewCache.reserve(count);
                NDArray logits = few.next(manager, ids, fewCache);
                fewCache.grow(count);

                float[] found = Torch.toFloats(logits);
                double sum = 0;
                double squares = 0;
                for (int i = 0; i < found.length; i++) {
                    sum += Math.pow(found[i] - expected[i], 2);
                    squares += Math.pow(expected[i], 2);
                }
                assertThat(Math.sqrt(sum / squares))
                        .as("%s %s seed %d, %s", name, stream, SEED, Arrays.toString(ids))
                        .isLessThan(0.05);
            }
        }
    }

    private static Trained adapter(NDManager manager, ModelConfig config) {
        LoraConfig lora = LoraConfig.builder()
                .optR(4)
                .optLoraAlpha(16)
                .optTargetModules(new TargetModules.AllLinear())
                .build();
        Adapter adapter = Adapter.create(
                manager,
                lora,
                TargetModules.resolve(lora, Modules.of(config), config.modelType()),
                Dtype.FLOAT32,
                SEED);
        Trained trained = Trained.of(config, adapter);
        Random random = new Random(SEED);
        for (Trained.Parameter parameter : trained.parameters()) {
            float[] values = new float[(int) parameter.value().getShape().size()];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (random.nextGaussian() / 8);
            }
            Torch.assign(parameter.value(), Torch.ofFloats(manager, values, Torch.shape(parameter.value())));
        }
        return trained;
    }
}

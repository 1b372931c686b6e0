package io.github.qlora4j.quant.scheme;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.FourBitWeight;
import io.github.qlora4j.quant.GoldenInputs;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.QuantType;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.internal.StrictJson;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Compares with scripts/golden/schemes.py's results, to the bit but for sums. */
class SchemeGoldenTest {

    private static JsonObject golden;

    @BeforeAll
    static void read() {
        golden = StrictJson.readObject(Path.of("src/test/resources/golden/schemes.json"));
        Torch.setThreads(1);
    }

    private static String sha(float[] values) {
        float[] unsigned = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            unsigned[i] = values[i] + 0f; // −0 is 0, there as here
        }
        return GoldenInputs.sha256(GoldenInputs.memory(Dtype.FLOAT32, unsigned));
    }

    private static String sha(byte[] codes) {
        return GoldenInputs.sha256(ByteBuffer.wrap(codes));
    }

    private static Code code(String key) {
        String[] parts = key.split("-");
        return switch (parts[0]) {
            case "dynamic" ->
                Code.dynamic(parts[1].equals("signed"), Integer.parseInt(parts[2]), Integer.parseInt(parts[3]));
            case "linear" ->
                Code.linear(Boolean.parseBoolean(parts[1]), Integer.parseInt(parts[2]), Boolean.parseBoolean(parts[3]));
            case "fp8" ->
                Code.fp8(Boolean.parseBoolean(parts[1]), Integer.parseInt(parts[2]), Integer.parseInt(parts[3]));
            case "quantiles" -> Code.quantiles(GoldenInputs.values(5000, 11), Integer.parseInt(parts[1]));
            default ->
                switch (key) {
                    case "normal-map" -> Code.normalMap(0.9677083, true);
                    case "normal-map-symmetric" -> Code.normalMap(0.9677083, false);
                    case "normal-map-0.95" -> Code.normalMap(0.95, true);
                    default -> Code.normal(Integer.parseInt(parts[1]));
                };
        };
    }

    @Test
    void codesEqualThoseOfBitsandbytesScipyAndNumpy() {
        for (Map.Entry<String, JsonElement> entry :
                golden.getAsJsonObject("codes").entrySet()) {
            float[] values = code(entry.getKey()).values();
            if (entry.getValue() instanceof JsonArray bits) {
                assertThat(Arrays.stream(toBits(values)).boxed())
                        .as("%s: %s", entry.getKey(), Arrays.toString(values))
                        .containsExactlyElementsOf(bits.asList().stream()
                                .map(JsonElement::getAsInt)
                                .toList());
            } else {
                assertThat(sha(values))
                        .as("%s: %s", entry.getKey(), Arrays.toString(values))
                        .isEqualTo(entry.getValue().getAsString());
            }
        }
    }

    private static int[] toBits(float[] values) {
        int[] bits = new int[values.length];
        for (int i = 0; i < bits.length; i++) {
            bits[i] = Float.floatToIntBits(values[i]);
        }
        return bits;
    }

    @Test
    void nf4FollowsFromItsDerivation() {
        assertThat(Code.normalMap(0.9677083, true).values()).isEqualTo(QuantType.NF4.code());
        assertThat(Code.nf4().values()).isEqualTo(QuantType.NF4.code());
    }

    /** bitsandbytes says that FP4 can be made by create_fp8_map(2, 1, 4); its smallest number is another. */
    @Test
    void fp4IsNotQuiteAnFp8Map() {
        assertThat(Code.fp4().values()).contains(0.0625f / 12).hasSize(15);
        assertThat(Code.fp8(true, 2, 1).values()).contains(0.25f / 12).doesNotContain(0.0625f / 12);
    }

    @Test
    void normalQuantilesEqualScipys() {
        JsonObject normal = golden.getAsJsonObject("normal");
        double[] expected = doubles(normal.getAsJsonArray("quantiles"));
        double[] found = Normal.quantiles(doubles(normal.getAsJsonArray("probabilities")));
        for (int i = 0; i < expected.length; i++) {
            // torch and scipy both have Cephes' rational function; compilers round it apart by a few units
            assertThat(found[i]).isCloseTo(expected[i], within(8 * Math.ulp(expected[i])));
            assertThat((float) found[i]).isEqualTo((float) expected[i]);
        }
        double[] x = doubles(normal.getAsJsonArray("x"));
        double[] cdf = doubles(normal.getAsJsonArray("cdf"));
        for (int i = 0; i < x.length; i++) {
            assertThat(Normal.cumulative(x[i])).isCloseTo(cdf[i], within(1e-15));
        }
        for (int bits = 2; bits <= 8; bits++) {
            double spread = golden.getAsJsonArray("spread").get(bits - 2).getAsDouble();
            assertThat(Code.normal(bits).spread()).isCloseTo(spread, within(1e-14));
        }
    }

    private static double[] doubles(JsonArray array) {
        return array.asList().stream().mapToDouble(JsonElement::getAsDouble).toArray();
    }

    /** 1.05: nearest numbers part between quantiles, not at them. The outermost two take the tails as well. */
    @Test
    void aQuantileCodeIsUsedEquallyOften() {
        float[] normal = new float[400_000];
        Random random = new Random(5);
        for (int i = 0; i < normal.length; i++) {
            normal[i] = (float) random.nextGaussian();
        }
        for (int bits = 2; bits <= 6; bits++) {
            Code code = Code.normal(bits);
            int[] used = new int[code.values().length];
            for (float value : normal) {
                used[code.nearest((float) (value / code.spread()))]++;
            }
            checkUse(used, bits, normal.length, code.name());
            Quantized own = new OwnQuantiles(bits, Granularity.TENSOR).quantize(normal);
            int[] ownUse = new int[((Coded.Result) own).code().values().length];
            for (byte b : own.codes()) {
                ownUse[b & 0xff]++;
            }
            checkUse(ownUse, bits, normal.length, "own");
        }
    }

    private static void checkUse(int[] used, int bits, int count, String name) {
        double share = (double) count / ((1 << bits) + 1);
        assertThat(used).hasSize((1 << bits) - 1);
        for (int i = 0; i < used.length; i++) {
            boolean outermost = i == 0 || i == used.length - 1;
            // four standard deviations of a count over what the bounds make of it
            double noise = 4 * Math.sqrt(share) / share;
            assertThat(used[i] / share)
                    .as("%s of %d bits, code %d, seed 5", name, bits, i)
                    .isBetween((outermost ? 1.85 : 0.99) - noise, (outermost ? 2.0 : 1.09) + noise);
        }
    }

    @Test
    void integersEqualTorchs() {
        float[] values = GoldenInputs.values(41 * 67, 3);
        for (int row = 0; row < 41; row++) {
            values[row * 67 + 5] = 0.25f;
        }
        Arrays.fill(values, 7 * 67, 8 * 67, -0.125f);
        for (JsonElement element : golden.getAsJsonArray("integers")) {
            JsonObject expected = element.getAsJsonObject();
            Granularity granularity =
                    Granularity.parse(expected.get("granularity").getAsString());
            int bits = expected.get("bits").getAsInt();
            Scheme scheme = expected.get("scheme").getAsString().equals("absmax")
                    ? new Absmax(bits, granularity)
                    : new ZeroPoint(bits, granularity);
            check(expected, values, scheme.quantize(values, 41, 67));
        }
    }

    @Test
    void blockCodesEqualBitsandbytes() {
        float[] values = GoldenInputs.values(3001, 17);
        for (JsonElement element : golden.getAsJsonArray("blocks")) {
            JsonObject expected = element.getAsJsonObject();
            Scheme scheme =
                    SchemeNames.parse(expected.get("scheme").getAsString()).get(0);
            Quantized result = scheme.quantize(values);
            check(expected, values, result);
            assertThat(sha(result.scales()))
                    .as("%s", expected)
                    .isEqualTo(expected.get("absmax").getAsString());
        }
    }

    private static void check(JsonObject expected, float[] values, Quantized result) {
        assertThat(sha(result.codes()))
                .as("%s", expected)
                .isEqualTo(expected.get("codes").getAsString());
        assertThat(sha(result.dequantize()))
                .as("%s", expected)
                .isEqualTo(expected.get("values").getAsString());
        Fidelity fidelity = Fidelity.of(values, result);
        double mse = expected.get("mse").getAsDouble();
        // sums of a few thousand doubles in another order
        assertThat(fidelity.mse()).isCloseTo(mse, within(1e-12 * mse));
        assertThat(fidelity.maxError()).isEqualTo(expected.get("max_error").getAsDouble());
        assertThat(fidelity.snrDb()).isCloseTo(expected.get("snr_db").getAsDouble(), within(1e-10));
    }

    /** A stranger's schemes and the trainer's weights are the same arithmetic. */
    @Test
    void fourBitSchemesEqualFourBitWeights() {
        float[] values = GoldenInputs.values(130 * 511, 2);
        try (NDManager manager = Torch.newManager();
                Scratch scratch = new Scratch()) {
            NDArray matrix = Torch.ofFloats(manager, values, 130, 511);
            for (String name : new String[] {"nf4", "nf4-double", "fp4", "fp4-double"}) {
                FourBitConfig config =
                        new FourBitConfig(QuantType.ofKey(name.substring(0, 3)), 64, name.endsWith("-double"));
                Quantized scheme = SchemeNames.parse(name).get(0).quantize(matrix);
                try (FourBitWeight weight =
                        FourBitWeight.quantize(matrix, config, Kernels.choose(KernelChoice.BUILTIN))) {
                    for (Dtype dtype : new Dtype[] {Dtype.FLOAT32, Dtype.BFLOAT16}) {
                        assertThat(Torch.toFloats(scheme.dequantize(manager, dtype)))
                                .as(name)
                                .containsExactly(Torch.toFloats(weight.dense(dtype, scratch)), within(0f));
                    }
                    assertThat((scheme.bits() + 7) / 8).as(name).isEqualTo(weight.bytes());
                }
            }
        }
    }
}

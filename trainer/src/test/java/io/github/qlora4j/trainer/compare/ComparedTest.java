package io.github.qlora4j.trainer.compare;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.google.gson.JsonObject;
import io.github.qlora4j.quant.scheme.Fidelity;
import io.github.qlora4j.quant.scheme.Scheme;
import io.github.qlora4j.quant.scheme.SchemeNames;
import java.util.List;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;

/** Rows, cells and bins of a comparison, from weights of which everything can be worked out by hand. */
class ComparedTest {

    private static final Scheme SCHEME = SchemeNames.parse("absmax-int2:row").get(0);

    /** A row of two codes and a scale: −1 and 1 come back, 0.25 becomes 0. */
    private final Compared compared = new Compared(
            SCHEME, List.of(fidelity(1, -1), fidelity(1, 0.25f)), Histogram.ofWeights(), OptionalDouble.of(12.34567));

    private static Fidelity fidelity(float... values) {
        return Fidelity.of(values, SCHEME.quantize(values, 1, values.length));
    }

    @Test
    void theModelIsTheSumOfItsBlocks() {
        JsonObject whole = compared.json();
        assertThat(whole.keySet())
                .containsExactly(
                        "scheme", "granularity", "bits_per_weight", "mse", "max_error", "snr_db", "perplexity");
        assertThat(whole.get("scheme").getAsString()).isEqualTo("absmax-int2");
        assertThat(whole.get("granularity").getAsString()).isEqualTo("row");
        assertThat(whole.get("bits_per_weight").getAsDouble()).isEqualTo(2 + 32 / 2.0);
        assertThat(whole.get("mse").getAsDouble()).isEqualTo(0.0625 / 4);
        assertThat(whole.get("max_error").getAsDouble()).isEqualTo(0.25);
        assertThat(whole.get("snr_db").getAsDouble()).isCloseTo(10 * Math.log10(3.0625 / 0.0625), within(1e-12));
        assertThat(whole.get("perplexity").getAsDouble()).isEqualTo(12.34567);
    }

    @Test
    void aBlockHasItsNumberAndNoPerplexity_andNoRatioWithoutNoise() {
        JsonObject first = compared.json(0);
        assertThat(first.get("layer").getAsInt()).isZero();
        assertThat(first.has("perplexity")).isFalse();
        assertThat(first.get("mse").getAsDouble()).isZero();
        assertThat(first.get("snr_db").isJsonNull()).isTrue();
        assertThat(compared.json(1).get("layer").getAsInt()).isEqualTo(1);
        assertThat(compared.json(1).get("mse").getAsDouble()).isEqualTo(0.03125);
    }

    @Test
    void namesStandLeftAndNumbersRight() {
        Compared unmeasured = new Compared(SCHEME, compared.layers(), Histogram.ofWeights(), OptionalDouble.empty());
        assertThat(ComparisonFiles.columns(ComparisonFiles.table(List.of(compared), OptionalDouble.of(9.5))))
                .containsExactly(
                        "scheme       granularity  bits/weight        mse  max error  SNR dB  perplexity",
                        "unquantized                                                              9.5000",
                        "absmax-int2  row               18.000  1.563e-02  2.500e-01   16.90     12.3457");
        assertThat(ComparisonFiles.columns(ComparisonFiles.table(List.of(unmeasured), OptionalDouble.empty())))
                .containsExactly(
                        "scheme       granularity  bits/weight        mse  max error  SNR dB",
                        "absmax-int2  row               18.000  1.563e-02  2.500e-01   16.90");
    }

    @Test
    void binsAreOfEqualWidth_bothEndsCounted_theRestNot() {
        Histogram histogram = new Histogram(-1, 1, new long[4]);
        histogram.add(new float[] {-1, -0.75f, -0.5f, 0.25f, 0.5f, 0.99f, 1, 1.01f, -1.01f, Float.NaN});
        assertThat(histogram.counts()).containsExactly(2, 1, 1, 3);
        assertThat(histogram.middle(0)).isEqualTo(-0.75);
        assertThat(histogram.middle(3)).isEqualTo(0.75);
        assertThat(Histogram.ofWeights().counts()).hasSize(150);
        assertThat(Histogram.ofWeights().middle(0)).isCloseTo(-2 + 2 / 150.0, within(1e-12));
    }
}

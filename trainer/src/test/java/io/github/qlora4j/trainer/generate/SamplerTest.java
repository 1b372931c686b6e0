package io.github.qlora4j.trainer.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Which tokens may be drawn, against transformers' logits processors, and the draws themselves. */
class SamplerTest {

    static List<JsonObject> cases() throws IOException {
        List<JsonObject> cases = new ArrayList<>();
        JsonParser.parseString(Files.readString(Path.of("src/test/resources/golden/sampling.json")))
                .getAsJsonArray()
                .forEach(c -> cases.add(c.getAsJsonObject()));
        return cases;
    }

    private static double setting(JsonObject row, String key, double orElse) {
        JsonElement value = row.getAsJsonObject("settings").get(key);
        return value == null ? orElse : value.getAsDouble();
    }

    private static Sampling sampling(JsonObject row) {
        return new Sampling(
                setting(row, "temperature", 1),
                (int) setting(row, "top_k", 0),
                setting(row, "top_p", 1),
                setting(row, "repetition_penalty", 1),
                3);
    }

    private static double[] doubles(JsonArray array) {
        return array.asList().stream().mapToDouble(JsonElement::getAsDouble).toArray();
    }

    private static float[] floats(double[] values) {
        float[] narrow = new float[values.length];
        for (int i = 0; i < narrow.length; i++) {
            narrow[i] = (float) values[i];
        }
        return narrow;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void leavesTheTokensAndProbabilitiesThatTransformersLeaves(JsonObject row) {
        int[] seen = row.getAsJsonArray("seen").asList().stream()
                .mapToInt(JsonElement::getAsInt)
                .toArray();
        double[] expected = doubles(row.getAsJsonArray("probabilities"));
        float[] logits = floats(doubles(row.getAsJsonArray("logits")));
        Sampler sampler = new Sampler(sampling(row), seen);
        sampler.penalize(logits);
        Sampler.Choices choices = sampler.choices(logits);
        double[] found = new double[expected.length];
        for (int i = 0; i < choices.tokens().length; i++) {
            found[choices.tokens()[i]] = choices.weights()[i] / choices.sum();
        }
        for (int i = 0; i < found.length; i++) {
            // its logits are divided in float32, ours in float64
            assertThat(found[i]).as("token %d of %s", i, row.get("settings")).isCloseTo(expected[i], within(1e-6));
            assertThat(found[i] > 0).isEqualTo(expected[i] > 0);
        }
    }

    @Test
    void drawsAsOftenAsTheProbabilitiesSay() {
        Sampler sampler = new Sampler(new Sampling(1, 0, 1, 1, 5), new int[0]);
        int[] counts = new int[3];
        int draws = 20_000;
        for (int i = 0; i < draws; i++) {
            counts[sampler.next(new float[] {(float) Math.log(0.1), (float) Math.log(0.6), (float) Math.log(0.3)})]++;
        }
        // four standard deviations of 20,000 draws are below 0.014
        assertThat(counts[0] / (double) draws).as("seed 5").isCloseTo(0.1, within(0.014));
        assertThat(counts[1] / (double) draws).as("seed 5").isCloseTo(0.6, within(0.014));
    }

    @Test
    void greedyTakesTheFirstOfEqualsAndCountsWhatItTook() {
        Sampler sampler = new Sampler(new Sampling(0, 0, 1, 2, 0), new int[0]);
        assertThat(sampler.next(new float[] {1, 3, 3})).isEqualTo(1);
        assertThat(sampler.next(new float[] {1, 3, 2})).isEqualTo(2);
        assertThat(sampler.next(new float[] {-1, -1.5f, -1.2f})).isEqualTo(0);
    }

    @Test
    void tokensThatShareTheLastPlaceOfTopKAllStay() {
        Sampler sampler = new Sampler(new Sampling(1, 2, 1, 1, 0), new int[0]);
        assertThat(sampler.choices(new float[] {2, 3, 2, -0f, 2}).tokens()).containsExactly(1, 0, 2, 4);
        Sampler all = new Sampler(new Sampling(1, 9, 1, 1, 0), new int[0]);
        assertThat(all.choices(new float[] {-1, -0f, -2, 0f}).tokens()).containsExactly(1, 3, 0, 2);
    }

    @Test
    void largeScoresDoNotOverflow() {
        Sampler.Choices choices =
                new Sampler(new Sampling(0.5, 0, 1, 1, 0), new int[0]).choices(new float[] {999, 1000});
        assertThat(choices.tokens()).containsExactly(1, 0);
        assertThat(choices.weights()).containsExactly(1, Math.exp(-2));
    }

    @Test
    void topPKeepsTheTokenThatCrossesItAndNoMore() {
        float[] quarters = {0, 0, 0, 0};
        assertThat(new Sampler(new Sampling(1, 0, 0.5, 1, 0), new int[0])
                        .choices(quarters)
                        .tokens())
                .containsExactly(0, 1);
        assertThat(new Sampler(new Sampling(1, 0, 0.51, 1, 0), new int[0])
                        .choices(quarters)
                        .tokens())
                .containsExactly(0, 1, 2);
        assertThat(new Sampler(new Sampling(1, 0, 1e-9, 1, 0), new int[0])
                        .choices(quarters)
                        .tokens())
                .containsExactly(0);
    }

    @Test
    void aPenaltyFallsOnWhatThePromptHeldAndPassesOverIdsWithoutAScore() {
        float[] logits = {1, -1, 0, 3};
        new Sampler(new Sampling(0, 0, 1, 2, 0), new int[] {0, 1, 2, 4}).penalize(logits);
        assertThat(logits).containsExactly(0.5f, -2, 0, 3);
    }

    @Test
    void theSameSeedDrawsTheSameTokens() {
        Sampler one = new Sampler(new Sampling(1, 0, 1, 1, 7), new int[0]);
        Sampler same = new Sampler(new Sampling(1, 0, 1, 1, 7), new int[0]);
        for (int i = 0; i < 20; i++) {
            assertThat(one.next(new float[8])).isEqualTo(same.next(new float[8]));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "-0.1, 0, 1, 1, 'temperature must be >= 0, got -0.1'",
        "Infinity, 0, 1, 1, 'temperature must be >= 0, got Infinity'",
        "NaN, 0, 1, 1, 'temperature must be >= 0, got NaN'",
        "1, -1, 1, 1, 'top_k must be >= 0, got -1.0'",
        "1, 0, 0, 1, 'top_p must be in (0, 1], got 0.0'",
        "1, 0, 1.01, 1, 'top_p must be in (0, 1], got 1.01'",
        "1, 0, 1, 0, 'repetition_penalty must be > 0, got 0.0'",
        "1, 0, 1, Infinity, 'repetition_penalty must be > 0, got Infinity'",
    })
    void settingsOutOfRangeAreRefusedByName(double temperature, int topK, double topP, double penalty, String message) {
        assertThatThrownBy(() -> new Sampling(temperature, topK, topP, penalty, 0))
                .isInstanceOf(QloraException.class)
                .hasMessage(message);
    }

    @Test
    void saysThatScoresAreNotNumbers() {
        Sampler sampler = new Sampler(Sampling.GREEDY, new int[0]);
        assertThatThrownBy(() -> sampler.next(new float[] {1, Float.NaN}))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("NaN");
    }

    @Test
    void infiniteScoresAreAnError() {
        for (float odd : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
            for (Sampling sampling : List.of(Sampling.GREEDY, new Sampling(1, 0, 1, 1, 3))) {
                assertThatThrownBy(() -> new Sampler(sampling, new int[0]).next(new float[] {1, odd, 2}))
                        .isInstanceOf(QloraException.class)
                        .hasMessageContaining("scores for the next token");
            }
        }
    }
}

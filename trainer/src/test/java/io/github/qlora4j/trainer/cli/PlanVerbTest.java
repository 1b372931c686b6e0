package io.github.qlora4j.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PlanVerbTest {
    @TempDir
    Path dir;

    @BeforeEach
    void llama2() throws IOException {
        Files.writeString(
                dir.resolve("config.json"),
                "{\"model_type\":\"llama\",\"hidden_size\":4096,\"intermediate_size\":11008,\"num_hidden_layers\":32,"
                        + "\"num_attention_heads\":32,\"vocab_size\":32000,\"torch_dtype\":\"float16\"}");
    }

    @Test
    void llama2_7b_isCountedAsPeftCountsIt() {
        Ran ran = Ran.qlora(
                "plan", "--model", dir.toString(), "--load-in-4bit", "--r", "8", "--target-modules", "q_proj,v_proj");
        assertThat(ran.code()).as(ran.err()).isZero();
        assertThat(ran.out())
                .contains("trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622")
                .contains("compute dtype: ");
    }

    @Test
    void json_isOneObject() {
        Ran ran = Ran.qlora("plan", "--model", dir.toString(), "--json");
        JsonObject plan = JsonParser.parseString(ran.out()).getAsJsonObject();
        assertThat(plan.get("trainable_parameters").getAsLong()).isEqualTo(4_194_304);
        assertThat(ran.out()).hasLineCount(1);
    }

    @Test
    void doubleQuantFlags_meanWhatTheySay() {
        assertThat(scales("--double-quant")).isEqualTo(scales()).isLessThan(scales("--no-double-quant"));
    }

    private long scales(String... flags) {
        String[] args = java.util.stream.Stream.concat(
                        java.util.stream.Stream.of("plan", "--model", dir.toString(), "--json", "--load-in-4bit"),
                        java.util.stream.Stream.of(flags))
                .toArray(String[]::new);
        return JsonParser.parseString(Ran.qlora(args).out())
                .getAsJsonObject()
                .getAsJsonArray("stages")
                .get(0)
                .getAsJsonObject()
                .getAsJsonObject("items")
                .get("linear layers, scales")
                .getAsLong();
    }

    @Test
    void placement_isShownAndOnlyWhatStaysIsCounted() throws IOException {
        Ran ran = Ran.qlora("plan", "--model", dir.toString(), "--device-map", "auto", "--max-memory", "cpu=4GB");
        assertThat(ran.code()).as(ran.err()).isZero();
        assertThat(ran.out())
                .contains("in memory: embeddings, blocks 0 to 7\n", "on the disk: blocks 8 to 31, head\n")
                // 8 of 32 blocks of 2 x 202,375,168 bytes
                .containsPattern("linear layers +3.24 GB")
                .containsPattern("what is read from the disk, in use and next +810 MB")
                .doesNotContain("    head ");
        Path map = Files.writeString(dir.resolve("map.yaml"), "\"\": disk\nmodel.layers.0: cpu\n");
        JsonObject plan = JsonParser.parseString(
                        Ran.qlora("plan", "--model", dir.toString(), "--device-map", map.toString(), "--json")
                                .out())
                .getAsJsonObject();
        assertThat(plan.get("device_map")).hasToString("{\"\":\"disk\",\"model.layers.0\":\"cpu\"}");
    }

    @Test
    void gpus_arePlanned() {
        Ran ran = Ran.qlora(
                "plan", "--model", dir.toString(), "--device-map", "auto", "--max-memory", "0=8GiB,cpu=16GiB");
        assertThat(ran.code()).as(ran.err()).isZero();
        assertThat(ran.out())
                .contains("GPU 0: embeddings, blocks 0 to ", "nothing computes on GPUs yet: this is a plan");
    }

    @Test
    void placementFlags_thatSayNothingAreWrongUse() {
        for (String[] flags : new String[][] {
            {"--device-map", "vram"},
            {"--device-map", "cpu", "--max-memory", "cpu=1GB"},
            {"--device-map", "auto", "--max-memory", "cpu=much"},
            {"--offload-folder", "x"},
            {"--device-map", "disk", "--load-in-8bit", "--max-memory", "cpu=1"},
            {"--llm-int8-enable-fp32-cpu-offload", "--load-in-8bit", "--device-map", "auto"},
            {"--llm-int8-enable-fp32-cpu-offload", "--device-map", "{\"\": cpu, lm_head: disk}"},
        }) {
            String[] args = java.util.stream.Stream.concat(
                            java.util.stream.Stream.of("plan", "--model", dir.toString()),
                            java.util.stream.Stream.of(flags))
                    .toArray(String[]::new);
            Ran ran = Ran.qlora(args);
            assertThat(ran.code()).as(String.join(" ", flags) + ran.err()).isEqualTo(2);
            assertThat(ran.err()).contains(flags[0].startsWith("--l") ? "--llm-int8" : "--");
        }
    }

    @Test
    void targetThatMatchesNothing_isAnErrorWithTheNearest() {
        Ran ran = Ran.qlora("plan", "--model", dir.toString(), "--target-modules", "q_prj");
        assertThat(ran.code()).isEqualTo(1);
        assertThat(ran.err()).contains("q_proj").doesNotContain("\tat ", "internal error");
    }

    @Test
    void wrongUse_isExitCode2() {
        assertThat(Ran.qlora("plan").code()).isEqualTo(2);
        assertThat(Ran.qlora("plan", "--model", dir.toString(), "--blocksize", "128")
                        .code())
                .isEqualTo(2);
        assertThat(Ran.qlora("plan", "--model", dir.toString(), "--r", "x").code())
                .isEqualTo(2);
    }

    @Test
    void configurationWithATypo_isExitCode2_withTheLine() throws IOException {
        Path file =
                Files.writeString(dir.resolve("run.yaml"), "model: {path: x}\ndata: {train: y.json}\nlora: {rr: 3}\n");
        Ran ran = Ran.qlora("plan", file.toString());
        assertThat(ran.code()).isEqualTo(2);
        assertThat(ran.err()).contains("run.yaml:3:").doesNotContain("\tat ");
    }

    @Test
    void doctor_findsTheEngine() {
        Ran ran = Ran.qlora("doctor", "--json");
        assertThat(ran.code()).as(ran.err()).isZero();
        assertThat(JsonParser.parseString(ran.out()).getAsJsonObject().getAsJsonArray("findings"))
                .anySatisfy(finding -> assertThat(finding.toString()).contains("\"engine\"", "\"ok\":true"));
    }
}

package io.github.qlora4j.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class InspectVerbTest {
    private static final Path MODEL = Path.of("src/test/resources/golden/models/llama-gqa");

    @TempDir
    Path dir;

    private static JsonObject json(Path path) {
        Ran ran = Ran.qlora("inspect", path.toString(), "--json");
        assertThat(ran.code()).as(ran.err()).isZero();
        assertThat(ran.out()).hasLineCount(1);
        return JsonParser.parseString(ran.out()).getAsJsonObject();
    }

    @Test
    void model_itsConfigurationAndTensors() {
        JsonObject model = json(MODEL);
        assertThat(model.get("kind").getAsString()).isEqualTo("model");
        assertThat(model.get("model_type").getAsString()).isEqualTo("llama");
        long sum = 0;
        for (var tensor : model.getAsJsonArray("tensors")) {
            sum += tensor.getAsJsonObject().get("bytes").getAsLong();
        }
        assertThat(model.get("bytes").getAsLong()).isEqualTo(sum).isPositive();
    }

    @Test
    void safetensorsFile_aLineATensor() {
        Ran ran = Ran.qlora("inspect", MODEL.resolve("model.safetensors").toString());
        assertThat(ran.code()).isZero();
        assertThat(ran.out()).contains("safetensors file", "model.embed_tokens.weight", "model.norm.weight");
        assertThat(ran.err()).isEmpty();
    }

    @Test
    void run_itsLastStepAndItsCheckpointsInOrder() throws IOException {
        Files.writeString(
                dir.resolve("metrics.jsonl"),
                "{\"step\":9,\"loss\":2.0,\"epoch\":0.5}\n{\"step\":10,\"loss\":1.5,\"epoch\":0.6}\n{\"step\":10,\"eval_loss\":1.7}\n");
        Files.createDirectory(dir.resolve("checkpoint-10"));
        Files.createDirectory(dir.resolve("checkpoint-9"));
        JsonObject run = json(dir);
        assertThat(run.get("kind").getAsString()).isEqualTo("run");
        assertThat(run.get("step").getAsInt()).isEqualTo(10);
        assertThat(run.get("eval_loss").getAsDouble()).isEqualTo(1.7);
        assertThat(run.get("checkpoints").toString()).isEqualTo("[\"checkpoint-9\",\"checkpoint-10\"]");
    }

    @Test
    void fourBitState_thatIsDamaged_isToldByFileAndTensor() throws IOException {
        String state = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [2, \"x\"]}";
        String header = "{\"w\": {\"dtype\": \"U8\", \"shape\": [2, 1], \"data_offsets\": [0, 2]},"
                + " \"w.quant_state.bitsandbytes__nf4\": {\"dtype\": \"U8\", \"shape\": [" + state.length()
                + "], \"data_offsets\": [2, " + (2 + state.length()) + "]}}";
        ByteBuffer bytes = ByteBuffer.allocate(8 + header.length() + 2 + state.length())
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(header.length())
                .put(header.getBytes(StandardCharsets.UTF_8))
                .putShort((short) 0)
                .put(state.getBytes(StandardCharsets.UTF_8));
        Path file = Files.write(dir.resolve("w.safetensors"), bytes.array());
        Ran ran = Ran.qlora("inspect", file.toString());
        assertThat(ran.code()).isEqualTo(1);
        assertThat(ran.err())
                .startsWith("error: " + file + ": w.quant_state.bitsandbytes__nf4: shape: ")
                .hasLineCount(1);
    }

    @Test
    void nothingThere_isNamed() {
        Ran ran = Ran.qlora("inspect", dir.resolve("none").toString());
        assertThat(ran.code()).isEqualTo(1);
        assertThat(ran.err())
                .startsWith("error: ")
                .contains("none: no such file or directory")
                .hasLineCount(1);
    }

    @Test
    void emptyDirectory_saysWhatWasLookedFor() {
        Ran ran = Ran.qlora("inspect", dir.toString());
        assertThat(ran.code()).isEqualTo(1);
        assertThat(ran.err())
                .contains("config.json", "adapter_config.json", "metrics.jsonl")
                .hasLineCount(1);
    }

    @Test
    void damagedFile_isAnErrorWithoutATrace() throws IOException {
        Path file = dir.resolve("x.safetensors");
        byte[] noise = new byte[100];
        java.util.Arrays.fill(noise, (byte) 0x7f);
        Files.write(file, noise);
        Ran ran = Ran.qlora("inspect", file.toString());
        assertThat(ran.code()).isEqualTo(1);
        assertThat(ran.err()).startsWith("error: ").contains("x.safetensors").doesNotContain("\tat ", "internal error");
    }
}

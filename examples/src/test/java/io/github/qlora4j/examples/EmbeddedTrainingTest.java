package io.github.qlora4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.qlora4j.trainer.report.StepMetrics;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EmbeddedTrainingTest {

    static final Path QUICKSTART = Path.of("quickstart").toAbsolutePath();

    @TempDir
    Path directory;

    @Test
    void trainsCancelsResumesAndServes() throws Exception {
        List<StepMetrics> steps = new ArrayList<>();
        EmbeddedTraining.Result result = EmbeddedTraining.run(
                EmbeddedTraining.configuration(QUICKSTART, directory.resolve("run"), 10),
                3,
                "What is the plural of river?",
                steps::add);
        // a step is under way when the cancelling thread has seen the third
        assertThat(result.cancelled().finished()).isFalse();
        assertThat(result.cancelled().steps()).isBetween(3L, 4L);
        assertThat(result.resumed().finished()).isTrue();
        assertThat(result.resumed().steps()).isEqualTo(10);
        assertThat(steps.stream().map(StepMetrics::step))
                .containsExactlyElementsOf(LongStream.rangeClosed(1, 10).boxed().toList());
        assertThat(steps.get(9).loss()).isLessThan(steps.get(0).loss());
        assertThat(result.served()).isEqualTo(result.answer());
        assertThat(directory.resolve("run")).isDirectoryContaining("glob:**/adapter_model.safetensors");
    }
}

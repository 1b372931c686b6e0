package io.github.qlora4j.trainer.report;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.Logger;
import org.apache.logging.log4j.core.appender.AbstractAppender;
import org.apache.logging.log4j.core.config.Configurator;
import org.apache.logging.log4j.core.config.Property;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MetricsFileTest {
    @TempDir
    Path dir;

    private static StepMetrics step(long step) {
        return new StepMetrics(step, step / 10.0, 2.5, 0.75, 2e-4, 100, 60, 50.0, 2.0, 1L << 30);
    }

    private Path written(int steps) {
        Path file = dir.resolve("metrics.jsonl");
        try (MetricsFile metrics = MetricsFile.open(file)) {
            for (int i = 1; i <= steps; i++) {
                metrics.write(step(i));
            }
        }
        return file;
    }

    @Test
    void aStep_isOneLineWithTheseKeys() throws IOException {
        assertThat(written(1))
                .hasContent("{\"step\":1,\"epoch\":0.1,\"loss\":2.5,\"grad_norm\":0.75,\"learning_rate\":2.0E-4,"
                        + "\"tokens\":100,\"learned_tokens\":60,\"tokens_per_second\":50.0,\"seconds\":2.0,"
                        + "\"peak_rss_bytes\":1073741824}\n");
    }

    @Test
    void aLine_isThereBeforeTheFileIsClosed() throws IOException {
        Path file = dir.resolve("metrics.jsonl");
        try (MetricsFile metrics = MetricsFile.open(file)) {
            metrics.write(step(1));
            assertThat(Files.readAllLines(file)).hasSize(1);
        }
    }

    @Test
    void openingAgain_addsLines() throws IOException {
        Path file = written(2);
        try (MetricsFile metrics = MetricsFile.open(file)) {
            metrics.write(new EvalMetrics(2, 0.2, 1.5, 40, 0.5));
        }
        assertThat(MetricsFile.read(file)).hasSize(3).last().satisfies(row -> {
            assertThat(row.get("eval_loss").getAsDouble()).isEqualTo(1.5);
            assertThat(row.has("loss")).isFalse();
        });
    }

    @Test
    void lossThatIsNoNumber_isNull_soThatTheLineStaysJson() throws IOException {
        Path file = dir.resolve("metrics.jsonl");
        try (MetricsFile metrics = MetricsFile.open(file)) {
            metrics.write(new StepMetrics(1, 0.1, Double.NaN, 1, 1, 1, 1, 1, 1, 1));
        }
        assertThat(Files.readString(file)).contains("\"loss\":null");
    }

    @Test
    void cutBackTo_keepsStepsUpToTheCheckpoint_byteForByte() throws IOException {
        Path file = written(5);
        String before = Files.readString(file);
        assertThat(MetricsFile.cutBackTo(file, 3, true)).isEqualTo(2);
        String after = Files.readString(file);
        assertThat(before).startsWith(after);
        assertThat(MetricsFile.read(file))
                .extracting(row -> row.get("step").getAsLong())
                .containsExactly(1L, 2L, 3L);
    }

    @Test
    void cutBackTo_removesATornLastLine_andTheNextLineStandsAlone() throws IOException {
        Path file = written(2);
        Files.writeString(file, "{\"step\":3,\"epo", StandardOpenOption.APPEND);
        assertThat(MetricsFile.cutBackTo(file, 2, true)).isEqualTo(1);
        try (MetricsFile metrics = MetricsFile.open(file)) {
            metrics.write(step(3));
        }
        assertThat(Files.readAllLines(file))
                .hasSize(3)
                .allSatisfy(line -> assertThat(line).startsWith("{").endsWith("}"));
    }

    @Test
    void cutBackTo_givesALineThatLacksItsEndOne() throws IOException {
        Path file = written(1);
        Files.writeString(file, "{\"step\":2}", StandardOpenOption.APPEND);
        MetricsFile.cutBackTo(file, 2, true);
        try (MetricsFile metrics = MetricsFile.open(file)) {
            metrics.write(step(3));
        }
        assertThat(MetricsFile.read(file))
                .extracting(row -> row.get("step").getAsLong())
                .containsExactly(1L, 2L, 3L);
    }

    @Test
    void cutBackTo_survivesZerosThatAPowerLossLeft() throws IOException {
        Path file = written(1);
        Files.write(file, new byte[100], StandardOpenOption.APPEND);
        assertThat(MetricsFile.cutBackTo(file, 9, true)).isEqualTo(1);
        assertThat(MetricsFile.read(file)).extracting(JsonObject::size).containsExactly(10);
    }

    @Test
    void cutBackTo_keepsStepZero_andDropsWhatHasNoStep() throws IOException {
        Path file = Files.writeString(
                dir.resolve("metrics.jsonl"),
                "{\"step\":0}\n{\"step\":\"x\"}\n{\"step\":[1]}\n{}\n7\n{\"step\":-1}\n{\"step\":1}\n");
        assertThat(MetricsFile.cutBackTo(file, 1, true)).isEqualTo(5);
        assertThat(Files.readString(file)).isEqualTo("{\"step\":0}\n{\"step\":1}\n");
    }

    @Test
    void cutBackTo_tellsOfLinesThatNoRunWrote_butNotOfATornLastOne() throws IOException {
        Path file = Files.writeString(
                dir.resolve("metrics.jsonl"),
                "{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":\"a\"}\nnotes\n{\"step\":3,\"eval_loss\":1e999}\n"
                        + "{\"step\":4,\"loss\":null}\n{\"step\":9,\"loss\":\"x\"}\n{\"st");
        List<String> said = said(() -> MetricsFile.cutBackTo(file, 4, true));
        assertThat(said)
                .containsExactly(
                        file + ":3: no JSON object with a step: the line is taken out",
                        file + ":2: the loss is no number: the line is kept, but not drawn (and 1 others so)");
        assertThat(Files.readAllLines(file)).hasSize(4);
    }

    private static List<String> said(Runnable what) {
        List<String> said = new ArrayList<>();
        AbstractAppender appender = new AbstractAppender("said", null, null, false, Property.EMPTY_ARRAY) {
            @Override
            public void append(LogEvent event) {
                said.add(event.getMessage().getFormattedMessage());
            }
        };
        appender.start();
        Configurator.setLevel(MetricsFile.class.getName(), Level.WARN);
        Logger logger = (Logger) LogManager.getLogger(MetricsFile.class);
        logger.addAppender(appender);
        try {
            what.run();
        } finally {
            logger.removeAppender(appender);
            Configurator.setLevel(MetricsFile.class.getName(), Level.ERROR);
        }
        return said;
    }

    @Test
    void cutBackTo_aFileThatIsNotThere_doesNothing() {
        assertThat(MetricsFile.cutBackTo(dir.resolve("none.jsonl"), 1, true)).isZero();
        assertThat(dir).isEmptyDirectory();
    }
}

package io.github.qlora4j.trainer.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LossPictureTest {
    @TempDir
    Path dir;

    @Test
    void aRun_becomesAPng() throws IOException {
        Path metrics = dir.resolve("metrics.jsonl");
        try (MetricsFile file = MetricsFile.open(metrics)) {
            for (int i = 1; i <= 60; i++) {
                file.write(new StepMetrics(i, i / 60.0, 1 + 3.0 / i, 1, 1e-4, 10, 10, 10, 1, 0));
                if (i % 20 == 0) {
                    file.write(new EvalMetrics(i, i / 60.0, 1.2 + 3.0 / i, 10, 1));
                }
            }
        }
        Path png = dir.resolve("loss.png");
        assertThat(LossPicture.draw(metrics, png)).isTrue();
        BufferedImage image = ImageIO.read(png.toFile());
        assertThat(image.getWidth()).isEqualTo(900);
        assertThat(dir.toFile().list()).containsExactlyInAnyOrder("metrics.jsonl", "loss.png");
    }

    @Test
    void whatIsNoNumber_isNoPoint() throws IOException {
        Path metrics = dir.resolve("metrics.jsonl");
        java.nio.file.Files.writeString(metrics, """
                {"step": 1, "loss": "a/b"}
                {"step": 2, "loss": null}
                {"step": 3, "loss": 2.5}
                """);
        assertThat(LossPicture.draw(metrics, dir.resolve("loss.png"))).isTrue();
    }

    @Test
    void noSteps_noPicture() throws IOException {
        Path metrics = dir.resolve("metrics.jsonl");
        MetricsFile.open(metrics).close();
        assertThat(LossPicture.draw(metrics, dir.resolve("loss.png"))).isFalse();
        assertThat(dir.resolve("loss.png")).doesNotExist();
    }
}

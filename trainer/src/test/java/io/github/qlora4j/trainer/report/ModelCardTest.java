package io.github.qlora4j.trainer.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;

class ModelCardTest {
    @TempDir
    Path dir;

    @Test
    void frontMatter_isYaml_whateverTheBaseIsCalled() {
        String base = "models/a: \"odd\" # name";
        new ModelCard(base, "model: {path: x}\n", Map.of("loss", "1|2"), Map.of("qlora4j", "0.1.0"))
                .write(dir.resolve("README.md"));
        assertThat(dir.resolve("README.md")).content().satisfies(text -> {
            String[] parts = text.split("(?m)^---$");
            Map<?, ?> front = (Map<?, ?>) new Load(LoadSettings.builder().build()).loadFromString(parts[1]);
            assertThat(front.get("base_model")).isEqualTo(base);
            assertThat(front.get("library_name")).isEqualTo("peft");
            assertThat(parts[2]).contains("```yaml\nmodel: {path: x}\n```", "| loss | 1\\|2 |", "| qlora4j | 0.1.0 |");
        });
        assertThat(dir.toFile().list()).containsExactly("README.md");
    }
}

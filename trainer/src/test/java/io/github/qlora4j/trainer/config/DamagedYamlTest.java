package io.github.qlora4j.trainer.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whatever a file holds, reading it ends in a configuration or in an error that names a place. */
class DamagedYamlTest {

    private static final long SEED = 20240611;
    private static final String[] PIECES = {
        "\t",
        "\n",
        "  ",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "'",
        "\"",
        "#",
        "|",
        ">",
        "!!int ",
        "!x ",
        "? ",
        "null",
        ".nan",
        "1e999",
        "-1",
        "0x",
        "~",
        "<<: *a",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "\u0000",
        "\u2028",
        "😀",
        "\uFEFF",
        "\\",
        "@",
        "`",
        "9".repeat(400),
        "=",
        "2024-01-01"
    };

    @Test
    void damagedText_isAConfigurationOrAConfigException() {
        String whole = ResolvedYamlTest.FULL;
        Random random = new Random(SEED);
        int read = 0;
        for (int i = 0; i < 4000; i++) {
            String text = damage(whole, random);
            try {
                ConfigFile.parse(
                        text, "f.yaml", random.nextInt(4) == 0 ? List.of(damage("lora.r=8", random)) : List.of());
                read++;
            } catch (ConfigException e) {
                assertThat(e.problems()).isNotEmpty();
                assertThat(e.problems()).allSatisfy(p -> {
                    assertThat(p.place())
                            .as("seed %d: %s in\n%s", SEED, p, text)
                            .isNotEmpty();
                    assertThat(p.toString())
                            .as("seed %d: %s", SEED, text)
                            .doesNotContain("\n")
                            .hasSizeLessThan(1500);
                });
            } catch (RuntimeException | StackOverflowError e) {
                fail("seed " + SEED + ", mutation " + i + ": " + e + "\n" + text, e);
            }
        }
        assertThat(read).as("some damage is harmless").isBetween(50, 3500);
    }

    @Test
    void damagedBytes_areAConfigurationOrAConfigException(@TempDir Path dir) throws IOException {
        byte[] whole = ResolvedYamlTest.FULL.getBytes(StandardCharsets.UTF_8);
        Random random = new Random(SEED + 1);
        for (int i = 0; i < 300; i++) {
            byte[] bytes = whole.clone();
            for (int n = 1 + random.nextInt(3); n > 0; n--) {
                bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(256);
            }
            Path file = Files.write(dir.resolve("f.yaml"), bytes);
            try {
                ConfigFile.load(file, List.of());
            } catch (ConfigException e) {
                assertThat(e.getMessage()).contains("f.yaml");
            } catch (RuntimeException e) {
                fail("seed " + (SEED + 1) + ", mutation " + i + ": " + e, e);
            }
        }
    }

    private static String damage(String whole, Random random) {
        StringBuilder text = new StringBuilder(whole);
        for (int n = 1 + random.nextInt(3); n > 0; n--) {
            int at = random.nextInt(text.length() + 1);
            int to = Math.min(text.length(), at + 1 + random.nextInt(random.nextInt(5) == 0 ? 200 : 3));
            switch (random.nextInt(5)) {
                case 0 -> text.delete(at, to);
                case 1 -> text.insert(at, PIECES[random.nextInt(PIECES.length)]);
                case 2 -> text.replace(at, to, PIECES[random.nextInt(PIECES.length)]);
                case 3 -> text.insert(at, text.substring(at, to));
                default -> text.insert(at, (char) (32 + random.nextInt(95)));
            }
        }
        return text.toString();
    }
}

package io.github.qlora4j.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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

class UnknownAdapterKeyTest {

    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final String TELLS = "io.github.qlora4j.peft.UnsupportedKeys";

    @TempDir
    Path temp;

    /** The file is read twice: for the base that it names, and for the adapter. */
    @Test
    void merge_tellsOfItOnce() throws IOException {
        Path trained = GOLDEN.resolve("training/llama-gqa-nf4-fp32/trained");
        Path adapter = Files.createDirectory(temp.resolve("adapter"));
        for (String name : List.of("adapter_config.json", "adapter_model.safetensors")) {
            Files.copy(trained.resolve(name), adapter.resolve(name));
        }
        Path config = adapter.resolve("adapter_config.json");
        Files.writeString(config, Files.readString(config).replaceFirst("\\{", "{\"of_tomorrow\": 3,"));
        List<String> said = new ArrayList<>();
        AbstractAppender appender = new AbstractAppender("said", null, null, false, Property.EMPTY_ARRAY) {
            @Override
            public void append(LogEvent event) {
                said.add(event.getMessage().getFormattedMessage());
            }
        };
        appender.start();
        Logger logger = (Logger) LogManager.getLogger(TELLS);
        Configurator.setLevel(TELLS, Level.WARN);
        logger.addAppender(appender);
        logger.setAdditive(false);
        try {
            Ran merge = Ran.qlora(
                    "merge",
                    "--model",
                    GOLDEN.resolve("models/llama-gqa").toString(),
                    "--adapter",
                    adapter.toString(),
                    "--output",
                    temp.resolve("merged").toString());
            assertThat(merge.code()).as(merge.err()).isZero();
        } finally {
            logger.removeAppender(appender);
            logger.setAdditive(true);
            Configurator.setLevel(TELLS, Level.ERROR);
        }
        assertThat(said).singleElement().asString().contains("the key of_tomorrow is not known and is passed over");
    }
}

package io.github.qlora4j.examples;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TrainALinearAdapterTest {

    @TempDir
    Path directory;

    @Test
    void theLossFallsToAlmostNothing() {
        TrainALinearAdapter.Result result = TrainALinearAdapter.run(300, directory);
        assertThat(result.trained()).isEqualTo(4 * (48 + 64));
        assertThat(result.lossAfter()).isLessThan(result.lossBefore() / 100);
    }

    @Test
    void theSavedAdapterIsTheTrainedOne() {
        TrainALinearAdapter.Result result = TrainALinearAdapter.run(5, directory);
        assertThat(directory).isDirectoryContaining("glob:**/adapter_model.safetensors");
        assertThat(directory).isDirectoryContaining("glob:**/adapter_config.json");
        assertThat(result.lossReloaded()).isEqualTo(result.lossAfter()).isLessThan(result.lossBefore());
    }
}

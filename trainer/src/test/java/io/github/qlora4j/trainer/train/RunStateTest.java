package io.github.qlora4j.trainer.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code trainer_state.json}: nothing that is missing is filled in. */
class RunStateTest {

    private static final RunState STATE = new RunState(
            RunState.FORMAT,
            7,
            9,
            2,
            "d",
            "b",
            1.5,
            6,
            1,
            false,
            null,
            "model: {}",
            Map.of("java", "17"),
            Map.of("f", "00"));

    @TempDir
    Path temp;

    private RunState read(String text) throws IOException {
        Files.writeString(temp.resolve(RunState.FILE), text);
        return RunState.read(temp);
    }

    @Test
    void comesBackAsItWasWritten() throws IOException {
        assertThat(read(STATE.json())).isEqualTo(STATE);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "\"format\": 2,|",
                "\"format\": 2|\"format\": 1",
                "\"evaluationDue\": false,|",
                "\"evaluationDue\": false|\"evaluationDue\": 0",
                "\"globalStep\": 7|\"globalStep\": -7",
                "\"globalStep\": 7|\"globalStep\": 7.5",
                "\"globalStep\": 7|\"globalStep\": 1e99",
                "\"totalSteps\": 9,|",
                "\"threads\": 2|\"threads\": \"2\"",
                "\"data\": \"d\"|\"data\": null",
                "\"bestEvalLoss\": 1.5|\"bestEvalLoss\": 1e999",
                "\"bestEvalLoss\": 1.5,|",
                "\"bestStep\": 6|\"bestStep\": 8",
                "\"evaluationsWithoutGain\": 1|\"evaluationsWithoutGain\": true",
                "\"answeredBefore\": null|\"answeredBefore\": []",
                "\"f\": \"00\"|\"f\": {}",
                "\"java\": \"17\"|\"java\": \"17\", \"java\": \"17\"",
            })
    void whatIsWrongIsToldByFileAndKey(String from, String to) throws IOException {
        assertThat(STATE.json()).contains(from);
        assertThatThrownBy(() -> read(STATE.json().replace(from, to == null ? "" : to)))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith(temp.resolve(RunState.FILE) + ": ")
                .hasMessageNotContainingAny("\n", "Exception", "BEGIN_");
    }
}

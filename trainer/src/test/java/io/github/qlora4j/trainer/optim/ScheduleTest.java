package io.github.qlora4j.trainer.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.SchedulerArguments;
import io.github.qlora4j.trainer.config.SchedulerType;
import java.util.Locale;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;

class ScheduleTest {

    @Test
    void givesTransformersRateAtEveryUpdate() {
        for (JsonElement element : Golden.read("schedules").getAsJsonArray("cases")) {
            JsonObject c = element.getAsJsonObject();
            SchedulerType type =
                    SchedulerType.valueOf(c.get("type").getAsString().toUpperCase(Locale.ROOT));
            SchedulerArguments arguments = c.has("power")
                    ? new SchedulerArguments(
                            c.get("lr_end").getAsDouble(), c.get("power").getAsDouble())
                    : SchedulerArguments.DEFAULT;
            Schedule schedule = Schedule.of(
                    type,
                    arguments,
                    c.get("lr").getAsDouble(),
                    c.get("warmup").getAsLong(),
                    c.get("total").getAsLong());
            JsonArray rates = c.getAsJsonArray("rates");
            for (int k = 0; k < rates.size(); k++) {
                double expected = rates.get(k).getAsDouble();
                // a cosine or power of another library may differ in its last bit
                double tolerance = type == SchedulerType.COSINE || c.has("power") ? 2e-4 * 0x1p-52 : 0;
                assertThat(schedule.learningRate(k))
                        .as(c.get("type") + " " + c.get("warmup") + "/" + c.get("total") + " at " + k)
                        .isCloseTo(expected, Offset.offset(tolerance));
            }
        }
    }

    @Test
    void staysAtItsEndBeyondTheLastUpdate() {
        assertThat(Schedule.linear(1, 2, 10).learningRate(50)).isZero();
        assertThat(Schedule.cosine(1, 2, 10).learningRate(50)).isZero();
        assertThat(Schedule.polynomial(1, 2, 10, 0.25, 2).learningRate(50)).isEqualTo(0.25);
        assertThat(Schedule.constantWithWarmup(1, 2).learningRate(50)).isEqualTo(1);
    }

    @Test
    void aWarmUpAsLongAsTheRunEndsAtItsGoal() {
        // transformers: max(1, steps left), and half a cosine of no length
        assertThat(Schedule.linear(1, 10, 10).learningRate(9)).isEqualTo(0.9);
        assertThat(Schedule.linear(1, 10, 10).learningRate(10)).isZero();
        assertThat(Schedule.cosine(1, 10, 10).learningRate(10)).isEqualTo(1);
        assertThat(Schedule.cosine(1, 10, 5).learningRate(20)).isEqualTo(1);
        assertThat(Schedule.polynomial(1, 10, 10, 0.25, 2).learningRate(10)).isEqualTo(0.25);
        assertThat(Schedule.polynomial(2, 2, 10, 0.25, 2).learningRate(10)).isEqualTo(0.25);
        assertThat(Schedule.polynomial(2, 2, 10, 0.25, 2).learningRate(11)).isEqualTo(0.25);
        assertThat(Schedule.constantWithWarmup(4, 2).learningRate(1)).isEqualTo(2);
        assertThat(Schedule.constant(4).learningRate(0)).isEqualTo(4);
    }

    @Test
    void aRateOfZeroIsARate() {
        assertThat(Schedule.linear(0, 0, 10).learningRate(3)).isZero();
        assertThatThrownBy(() -> Schedule.constant(-1e-9))
                .hasMessage("learning_rate must be a number >= 0, got -1.0E-9");
        assertThatThrownBy(() -> Schedule.constantWithWarmup(1, -1)).hasMessage("warmup_steps must be >= 0, got -1");
    }

    @Test
    void refusesWhatTransformersRefuses() {
        assertThatThrownBy(() -> Schedule.polynomial(1e-7, 0, 10, 1e-7, 1))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("lr_end (1.0E-7) must be smaller than learning_rate (1.0E-7)");
        assertThatThrownBy(() -> Schedule.linear(Double.NaN, 0, 10)).isInstanceOf(QloraException.class);
        assertThatThrownBy(() -> Schedule.linear(1, -1, 10)).isInstanceOf(QloraException.class);
    }
}

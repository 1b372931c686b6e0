package io.github.qlora4j.quant.internal;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PythonFloatTest {

    /** Each as CPython 3.11's {@code repr(float(text))} gives it back. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "0.0",
                "-0.0",
                "1.0",
                "0.002",
                "-1.5",
                "100.0",
                "0.30000000000000004",
                "0.19470000267028809",
                "0.0001",
                "0.00012345",
                "1e-05",
                "-1.25e-05",
                "2e-09",
                "2e-10",
                "2.0000000000000002e-23",
                "1000000000000000.0",
                "9007199254740992.0",
                "1e+16",
                "-1.2345678901234568e+17",
                "1e+22",
                "1e+100",
                "5e-324",
                "2.2250738585072014e-308",
                "1.7976931348623157e+308",
            })
    void numbersAreWrittenAsPythonWritesThem(String text) {
        assertThat(PythonFloat.of(Double.parseDouble(text))).isEqualTo(text);
    }
}

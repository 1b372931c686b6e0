package io.github.qlora4j.peft;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class PythonJsonTest {

    @Test
    void valuesAreLaidOutAsPythonsDumpsWithIndentTwo() {
        Map<String, Object> value = new LinkedHashMap<>();
        value.put("a", Arrays.asList(1, null, List.of(), Map.of(), List.of("x")));
        value.put("b", Map.of("c", true));
        value.put("d", 1e-5);
        assertThat(PythonJson.write(value)).isEqualTo("""
                {
                  "a": [
                    1,
                    null,
                    [],
                    {},
                    [
                      "x"
                    ]
                  ],
                  "b": {
                    "c": true
                  },
                  "d": 1e-05
                }""");
    }

    @Test
    void whatIsNotPlainAsciiIsEscapedAsPythonDoes() {
        assertThat(PythonJson.write("\"\\/\n\r\t\b\f\0\u001f ~\u007fä\u2028\ud83d\ude00"))
                .isEqualTo("\"\\\"\\\\/\\n\\r\\t\\b\\f\\u0000\\u001f ~\\u007f\\u00e4\\u2028\\ud83d\\ude00\"");
    }
}

package io.github.qlora4j.quant.scheme;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import org.junit.jupiter.api.Test;

class SchemeNamesTest {

    @Test
    void aSchemeIsFoundByItsOwnLabel() {
        assertThat(SchemeNames.standard()).hasSize(34).doesNotHaveDuplicates();
        for (Scheme scheme : SchemeNames.standard()) {
            assertThat(SchemeNames.parse(scheme.label())).as(scheme.label()).containsExactly(scheme);
        }
    }

    @Test
    void aNameAloneStandsForSeveral() {
        assertThat(SchemeNames.parse("absmax"))
                .extracting(Scheme::label)
                .containsExactly("absmax-int8:tensor", "absmax-int8:row", "absmax-int8:column", "absmax-int8:block64");
        assertThat(SchemeNames.parse("nf4-double")).extracting(Scheme::label).containsExactly("nf4-double:block64");
        assertThat(SchemeNames.parse("zeropoint:block128"))
                .extracting(Scheme::label)
                .containsExactly("zeropoint-int8:block128");
        assertThat(SchemeNames.parse("linear4-double:row"))
                .extracting(Scheme::label)
                .containsExactly("linear4-double:row");
    }

    @Test
    void whatIsNoSchemeIsNamed() {
        for (String bad :
                new String[] {"nf5", "", "absmax-int9", "linear1", "nf4:", ":row", "NF4", "nf4-double-double"}) {
            assertThatThrownBy(() -> SchemeNames.parse(bad))
                    .as(bad)
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("scheme " + bad + " is not known");
        }
        assertThatThrownBy(() -> SchemeNames.parse("nf4:block0")).hasMessageContaining("granularity block0");
        assertThatThrownBy(() -> SchemeNames.parse("absmax-int8-double")).hasMessageContaining("fixed code");
        assertThatThrownBy(() -> Code.dynamic(true, 8, 8)).hasMessageContaining("1 to 7");
        assertThatThrownBy(() -> Code.dynamic(false, 5, 8)).hasMessageContaining("7 to 7");
        assertThatThrownBy(() -> Code.fp8(true, 5, 3)).hasMessageContaining("e5m3");
        assertThatThrownBy(() -> new Code("c", 2, new float[] {0, 0}, 1)).hasMessageContaining("0.0 after 0.0");
        assertThatThrownBy(() -> new Code("c", 2, new float[] {2}, 1)).hasMessageContaining("got 2.0");
        assertThatThrownBy(() -> new Code("c", 1, new float[] {0, 0.5f, 1}, 1)).hasMessageContaining("1 to 2 values");
    }
}

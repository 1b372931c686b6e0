package io.github.qlora4j.quant;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.ndarray.types.DataType;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.Test;

/** Plain JUnit tests: Surefire 3.5.3 starts ArchUnit's own engine but runs none of its rules. */
class ArchitectureTest {

    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("io.github.qlora4j");

    @Test
    void thereAreClassesToCheck() {
        assertThat(CLASSES.contain("io.github.qlora4j.quant.torch.Torch")).isTrue();
    }

    /** DJL's JNI layer ends the JVM on a bfloat16 tensor; {@code quant.torch} is the one way round it. */
    @Test
    void bfloat16GoesThroughQuantTorch() {
        noClasses()
                .that()
                .resideOutsideOfPackage("io.github.qlora4j.quant.torch..")
                .should()
                .accessField(DataType.class, "BFLOAT16")
                .because("DJL aborts the JVM on bfloat16; use quant.torch.Torch")
                .check(CLASSES);
    }

    @Test
    void theEngineDoorKnowsNothingBehindIt() {
        noClasses()
                .that()
                .resideInAPackage("io.github.qlora4j.quant.torch..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.github.qlora4j.quant.safetensors..", "io.github.qlora4j.quant.bitsandbytes..")
                .check(CLASSES);
    }
}

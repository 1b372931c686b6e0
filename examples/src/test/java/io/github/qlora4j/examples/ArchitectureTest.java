package io.github.qlora4j.examples;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.ndarray.types.DataType;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.Test;

/** What holds for all modules together; they are all on the class path here alone. */
class ArchitectureTest {

    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("io.github.qlora4j");

    @Test
    void allModulesAreChecked() {
        assertThat(CLASSES.containPackage("io.github.qlora4j.quant")).isTrue();
        assertThat(CLASSES.containPackage("io.github.qlora4j.peft")).isTrue();
        assertThat(CLASSES.containPackage("io.github.qlora4j.trainer.train")).isTrue();
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
    void noModuleKnowsTheNext() {
        noClasses()
                .that()
                .resideInAPackage("io.github.qlora4j.quant..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.github.qlora4j.peft..", "io.github.qlora4j.trainer..")
                .check(CLASSES);
        noClasses()
                .that()
                .resideInAPackage("io.github.qlora4j.peft..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("io.github.qlora4j.trainer..")
                .check(CLASSES);
    }
}

package io.github.qlora4j.quant;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import ai.djl.ndarray.types.DataType;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

@AnalyzeClasses(packages = "io.github.qlora4j", importOptions = ImportOption.DoNotIncludeTests.class)
class ArchitectureTest {

    /** DJL's JNI layer ends the JVM on a bfloat16 tensor; {@code quant.torch} is the one way round it. */
    @ArchTest
    static final ArchRule bfloat16GoesThroughQuantTorch = noClasses()
            .that()
            .resideOutsideOfPackage("io.github.qlora4j.quant.torch..")
            .should()
            .accessField(DataType.class, "BFLOAT16")
            .because("DJL aborts the JVM on bfloat16; use quant.torch.Torch");

    @ArchTest
    static final ArchRule theEngineDoorKnowsNothingBehindIt = noClasses()
            .that()
            .resideInAPackage("io.github.qlora4j.quant.torch..")
            .should()
            .dependOnClassesThat()
            .resideInAnyPackage("io.github.qlora4j.quant.safetensors..", "io.github.qlora4j.quant.bitsandbytes..");
}

package io.github.qlora4j.trainer;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Data flows config, data, model, train, cli: each package knows some of those before it, so there are no cycles. */
class ArchitectureTest {

    private static final String ROOT = "io.github.qlora4j.trainer";
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages(ROOT);

    @Test
    void everyPackageHasItsPlace() {
        assertThat(CLASSES.stream()
                        .map(c -> c.getPackageName())
                        .filter(p -> p.startsWith(ROOT + "."))
                        .map(p -> p.substring(ROOT.length() + 1).split("\\.")[0])
                        .distinct())
                .as("packages of the trainer; a new one needs a rule here")
                .containsExactlyInAnyOrder(
                        "config",
                        "tokenizer",
                        "data",
                        "model",
                        "calibrate",
                        "optim",
                        "report",
                        "generate",
                        "train",
                        "plan",
                        "inspect",
                        "compare",
                        "bench",
                        "cli");
    }

    /** What a package may know, in the order in which data flows; the command line knows all. */
    @ParameterizedTest
    @CsvSource({
        "config, config",
        "tokenizer, tokenizer",
        "report, report",
        "data, data config tokenizer",
        "optim, optim config",
        "model, model config data report",
        "calibrate, calibrate data model",
        "generate, generate config tokenizer report data model",
        "train, train config tokenizer report data optim model generate",
        "plan, plan config report model train",
        "inspect, inspect report model",
        "compare, compare report data model generate train",
        "bench, bench config report data model calibrate generate",
    })
    void aPackageKnowsThoseBeforeItAlone(String from, String known) {
        String others = CLASSES.stream()
                .map(c -> c.getPackageName())
                .filter(p -> p.startsWith(ROOT + "."))
                .map(p -> p.substring(ROOT.length() + 1).split("\\.")[0])
                .distinct()
                .filter(p -> !List.of(known.split(" ")).contains(p))
                .map(p -> ROOT + "." + p + "..")
                .collect(Collectors.joining(" "));
        noClasses()
                .that()
                .resideInAPackage(ROOT + "." + from + "..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(others.split(" "))
                .check(CLASSES);
    }
}

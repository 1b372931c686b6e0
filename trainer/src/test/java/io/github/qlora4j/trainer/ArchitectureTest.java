package io.github.qlora4j.trainer;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Data flows config, data, model, train, cli; no package knows a later one. */
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
                        "config", "tokenizer", "data", "model", "optim", "train", "generate", "report", "bench", "cli");
    }

    @ParameterizedTest
    @CsvSource({
        "config, tokenizer data model optim train generate report bench cli",
        "tokenizer, data model optim train generate report bench cli",
        "data, model optim train generate report bench cli",
        "model, tokenizer optim train generate report bench cli",
        "optim, tokenizer data model train generate report bench cli",
        "train, bench cli",
        "generate, bench cli",
        "report, bench cli",
        "bench, cli",
    })
    void noPackageKnowsALaterOne(String from, String later) {
        noClasses()
                .that()
                .resideInAPackage(ROOT + "." + from + "..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(Arrays.stream(later.split(" "))
                        .map(name -> ROOT + "." + name + "..")
                        .toArray(String[]::new))
                .check(CLASSES);
    }
}

package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.trainer.config.JsonSchema;
import picocli.CommandLine.Command;

/** {@code schema}: the JSON Schema of a run's YAML file. */
@Command(
        name = "schema",
        description = "Prints the JSON Schema of a run's YAML file, for an editor to complete and check keys.")
final class SchemaVerb extends Verb {
    @Override
    public Integer call() {
        out().print(JsonSchema.generate());
        out().flush();
        return Main.OK;
    }
}

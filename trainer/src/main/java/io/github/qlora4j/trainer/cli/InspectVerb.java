package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.trainer.inspect.Inspection;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code inspect}: what lies at a path. */
@Command(
        name = "inspect",
        description =
                "Shows what a model (4-bit, 8-bit, GPTQ and AWQ too), an adapter, a run, a checkpoint or a safetensors file"
                        + " holds: configuration, tensors, dtypes, shapes, sizes. Weights are not read.")
final class InspectVerb extends Verb {
    @Parameters(paramLabel = "PATH", description = "A directory or a .safetensors file.")
    private Path path;

    @Option(names = "--json", description = "One JSON object.")
    private boolean json;

    @Override
    public Integer call() {
        Inspection found = Inspection.of(path);
        if (json) {
            out().println(found.json());
        } else {
            found.lines().forEach(out()::println);
        }
        return Main.OK;
    }
}

package io.github.qlora4j.trainer.generate;

import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.peft.AdapterConfigFile;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.ConfigFile;
import io.github.qlora4j.trainer.config.RunConfig;
import io.github.qlora4j.trainer.model.BaseOptions;
import io.github.qlora4j.trainer.model.BaseSetup;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * What an adapter directory says about itself.
 *
 * @param directory the adapter's
 * @param config its {@code adapter_config.json}
 * @param run its {@code qlora.yaml}, where a run of ours left one
 */
public record AdapterOrigin(Path directory, AdapterConfigFile config, Optional<RunConfig> run) {

    private static final String RESOLVED = "qlora.yaml";

    /**
     * Reads a run, a checkpoint or an adapter that peft saved.
     *
     * @throws QloraException if it is none of them
     */
    public static AdapterOrigin read(Path directory) {
        if (!Files.isDirectory(directory)) {
            throw new QloraException(directory + ": there is no such adapter directory (looked in "
                    + Path.of("").toAbsolutePath() + ")");
        }
        if (!Files.isRegularFile(directory.resolve(AdapterConfigFile.NAME))) {
            throw new QloraException(directory + ": is not an adapter directory: it has no " + AdapterConfigFile.NAME
                    + newestCheckpoint(directory)
                            .map(c -> "; the run did not end, but a checkpoint of it can be taken: " + c)
                            .orElse(""));
        }
        if (!Files.isRegularFile(directory.resolve(Adapter.WEIGHTS))) {
            throw new QloraException(directory + ": is not a whole adapter: it has no " + Adapter.WEIGHTS);
        }
        Path resolved = directory.resolve(RESOLVED);
        Optional<RunConfig> run = Files.isRegularFile(resolved)
                ? Optional.of(ConfigFile.load(resolved, List.of()).config())
                : Optional.empty();
        return new AdapterOrigin(directory, AdapterConfigFile.read(directory), run);
    }

    private static Optional<Path> newestCheckpoint(Path directory) {
        try (Stream<Path> entries = Files.list(directory)) {
            return entries.filter(p -> p.getFileName().toString().matches("checkpoint-\\d{1,18}"))
                    .filter(p -> Files.isRegularFile(p.resolve(AdapterConfigFile.NAME)))
                    .max(Comparator.comparingLong(
                            p -> Long.parseLong(p.getFileName().toString().substring("checkpoint-".length()))));
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    /** The base that the files name; it exists. */
    public Path base() {
        String file = directory.resolve(run.isPresent() ? RESOLVED : AdapterConfigFile.NAME)
                + (run.isPresent() ? ": model.path" : ": base_model_name_or_path");
        Path base = run.map(r -> r.model().path()).orElseGet(() -> {
            String name = config.baseModelNameOrPath();
            if (name == null || name.isBlank()) {
                throw new QloraException(file + ": names no base model; say where it is with --model DIR");
            }
            return Path.of(name);
        });
        if (!Files.isDirectory(base)) {
            throw new QloraException(file + ": the base of this adapter was " + base + ", and "
                    + base.toAbsolutePath().normalize()
                    + " is not there. Say where it is now with --model DIR"
                    + (run.isPresent() ? flags() : ", and with --load-in-4bit or --load-in-8bit where it was quantized")
                    + ".");
        }
        return base;
    }

    /** The flags that read a base as the run read it; {@code --model} takes the place of all that the run says. */
    private String flags() {
        StringBuilder flags = new StringBuilder();
        options().fourBit().ifPresent(config -> {
            flags.append(" --load-in-4bit");
            if (config.type() != FourBitConfig.DEFAULT.type()) {
                flags.append(" --quant-type ").append(config.type().key());
            }
            if (config.blocksize() != FourBitConfig.DEFAULT.blocksize()) {
                flags.append(" --blocksize ").append(config.blocksize());
            }
            if (!config.doubleQuant()) {
                flags.append(" --no-double-quant");
            }
        });
        options().eightBit().ifPresent(scheme -> flags.append(" --load-in-8bit"));
        return flags.toString();
    }

    /** How the base was read when the adapter was trained, as far as the files say. */
    public BaseOptions options() {
        return run.map(BaseSetup::options).orElse(BaseOptions.unquantized());
    }
}

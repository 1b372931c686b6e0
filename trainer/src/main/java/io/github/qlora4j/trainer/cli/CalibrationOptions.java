package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.AwqConfig;
import io.github.qlora4j.quant.GptqConfig;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.ShardedSafetensorsWriter;
import io.github.qlora4j.trainer.calibrate.CalibratedQuantizer;
import io.github.qlora4j.trainer.calibrate.CalibrationMethod;
import io.github.qlora4j.trainer.data.JsonObjects;
import io.github.qlora4j.trainer.model.ModelConfig;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Consumer;
import picocli.CommandLine.Option;

/** The flags of methods that quantize with calibration, and what they ask for. */
final class CalibrationOptions {
    /** The methods that these flags are for. */
    static final Set<String> METHODS = Set.of("gptq", "awq");

    @Option(names = "--bits", paramLabel = "N", description = "gptq: 2, 3, 4 (the default) or 8; awq: 4.")
    private Integer bits;

    @Option(
            names = "--group-size",
            paramLabel = "N",
            description = "gptq, awq: inputs that share a scale; 128 is the default, -1 takes a whole row.")
    private Integer groupSize;

    @Option(
            names = "--sym",
            negatable = true,
            fallbackValue = "true",
            description = "gptq: zero in the middle of the codes (the default), or a zero point for each group.")
    private Boolean sym;

    @Option(names = "--desc-act", description = "gptq: quantize inputs in the order of their activations' size.")
    private Boolean descAct;

    @Option(
            names = "--calibration",
            paramLabel = "FILE",
            description = "gptq, awq: rows {\"text\": ...} or {\"input_ids\": [...]}, JSONL or a JSON array.")
    private Path file;

    @Option(
            names = "--calibration-length",
            paramLabel = "N",
            description = "gptq, awq: tokens of a row that are used at most; 512 is the default.")
    private Integer length;

    /** Refuses flags of methods other than the one asked for. */
    void checkUnused(String method) {
        if (bits != null || groupSize != null || sym != null || descAct != null || file != null || length != null) {
            throw new WrongUse("--bits, --group-size, --sym, --desc-act and --calibration are for --method gptq or awq,"
                    + " not " + method);
        }
    }

    void quantize(String method, Path model, Path output, Consumer<String> say) {
        CalibrationMethod chosen = method(method);
        if (file == null) {
            throw new WrongUse(
                    "--method " + method + " needs --calibration FILE: texts like those that the model will" + " meet");
        }
        int most = length == null ? 512 : length;
        if (most < 1) {
            throw new WrongUse("--calibration-length " + most + ": at least 1 is expected");
        }
        List<int[]> texts = texts(model, file, most);
        long tokens = texts.stream().mapToLong(t -> t.length).sum();
        say.accept(String.format(
                Locale.ROOT,
                "quantizing with %s, %d calibration texts, %,d tokens in all...",
                method,
                texts.size(),
                tokens));
        long start = System.nanoTime();
        new CalibratedQuantizer(chosen, ShardedSafetensorsWriter.DEFAULT_SHARD_BYTES)
                .quantize(model, output, texts, (blocks, all) -> {
                    long left = (System.nanoTime() - start) / 1_000_000_000L * (all - blocks) / blocks;
                    say.accept(
                            String.format(Locale.ROOT, "block %d/%d  %d:%02d left", blocks, all, left / 60, left % 60));
                });
    }

    private CalibrationMethod method(String method) {
        int size = groupSize == null ? GptqConfig.DEFAULT.groupSize() : groupSize;
        try {
            switch (method) {
                case "gptq" -> {
                    return CalibrationMethod.gptq(new GptqConfig(
                            bits == null ? GptqConfig.DEFAULT.bits() : bits,
                            size,
                            sym == null || sym,
                            descAct != null && descAct,
                            false,
                            GptqConfig.DEFAULT.dampPercent()));
                }
                case "awq" -> {
                    if (sym != null || descAct != null || bits != null && bits != 4) {
                        throw new WrongUse(
                                "--method awq has 4 bits and zero points; --bits, --sym and --desc-act are for gptq");
                    }
                    return CalibrationMethod.awq(new AwqConfig(size));
                }
                default -> throw new IllegalArgumentException(method);
            }
        } catch (WrongUse e) {
            throw e;
        } catch (QloraException e) {
            throw new WrongUse(e);
        }
    }

    private static List<int[]> texts(Path model, Path file, int most) {
        int vocabulary = ModelConfig.read(model).vocabSize();
        List<int[]> texts = new ArrayList<>();
        Tokenizer[] loaded = new Tokenizer[1];
        try {
            for (JsonObjects row : JsonObjects.read(file)) {
                int[] ids = TokenRows.ids(row, () -> {
                    loaded[0] = loaded[0] == null ? Tokenizer.load(model) : loaded[0];
                    return loaded[0];
                });
                for (int id : ids) {
                    if (id < 0 || id >= vocabulary) {
                        throw new QloraException(
                                row.place() + ": token id " + id + " is not one of the model's " + vocabulary);
                    }
                }
                texts.add(Arrays.copyOf(ids, Math.min(most, ids.length)));
            }
        } finally {
            if (loaded[0] != null) {
                loaded[0].close();
            }
        }
        if (texts.isEmpty()) {
            throw new QloraException(file + ": there are no rows to calibrate with");
        }
        return texts;
    }
}

package io.github.qlora4j.trainer.report;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.AtomicFile;
import io.github.qlora4j.quant.internal.Reason;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/**
 * {@code metrics.jsonl}: one JSON object a line, each written whole as it happens.
 *
 * <p>A process that is killed leaves at most one torn line, the last. {@link #cutBackTo} takes it away, together with the
 * steps that a resumed run will make again, so that each step stands there once.
 */
public final class MetricsFile implements AutoCloseable {
    private static final Logger LOG = LogManager.getLogger(MetricsFile.class);
    private static final Gson GSON = new GsonBuilder().serializeNulls().create();

    private final Path file;
    private final FileChannel channel;

    private MetricsFile(Path file, FileChannel channel) {
        this.file = file;
        this.channel = channel;
    }

    /**
     * Opens a metrics file to add lines at its end, making it where it is not there.
     *
     * @param file the file; the caller closes what is returned
     * @throws QloraException if it cannot be opened
     */
    public static MetricsFile open(Path file) {
        try {
            return new MetricsFile(
                    file,
                    FileChannel.open(
                            file, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.APPEND));
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be opened for writing: " + Reason.of(e), e);
        }
    }

    /** Adds the line of a step. */
    public void write(StepMetrics metrics) {
        JsonObject line = new JsonObject();
        line.addProperty("step", metrics.step());
        line.add("epoch", finite(metrics.epoch()));
        line.add("loss", finite(metrics.loss()));
        line.add("grad_norm", finite(metrics.gradNorm()));
        line.add("learning_rate", finite(metrics.learningRate()));
        line.addProperty("tokens", metrics.tokens());
        line.addProperty("learned_tokens", metrics.learnedTokens());
        line.add("tokens_per_second", finite(metrics.tokensPerSecond()));
        line.add("seconds", finite(metrics.seconds()));
        line.addProperty("peak_rss_bytes", metrics.peakRssBytes());
        append(line);
    }

    /** Adds the line of an evaluation. */
    public void write(EvalMetrics metrics) {
        JsonObject line = new JsonObject();
        line.addProperty("step", metrics.step());
        line.add("epoch", finite(metrics.epoch()));
        line.add("eval_loss", finite(metrics.evalLoss()));
        line.addProperty("eval_learned_tokens", metrics.learnedTokens());
        line.add("eval_seconds", finite(metrics.seconds()));
        append(line);
    }

    /** Waits until all lines are on the disk; called before a checkpoint that counts on them is put in place. */
    public void sync() {
        try {
            channel.force(false);
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be written: " + Reason.of(e), e);
        }
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be written: " + Reason.of(e), e);
        }
    }

    /**
     * Removes the lines of later steps, and lines that are no JSON object with a {@code step}; the rest keeps its bytes.
     *
     * <p>A torn last line is what a kill leaves. Any other line that no run wrote is logged with its number: one that
     * goes, and one that stays though its loss is no number.
     *
     * @param file the metrics file; nothing is done where it is not there
     * @param step the last step to keep; 0 keeps evaluations from before the first step
     * @param withEvaluation whether that step's evaluation is kept too, or will be made again
     * @return how many lines were removed
     * @throws QloraException if the file cannot be read or replaced; it is then as it was
     */
    public static int cutBackTo(Path file, long step, boolean withEvaluation) {
        if (!Files.exists(file)) {
            return 0;
        }
        int removed = 0;
        StringBuilder kept = new StringBuilder();
        String text = text(file);
        List<String> lines = text.lines().toList();
        OddLines unreadable = new OddLines(file, "no JSON object with a step: the line is taken out");
        OddLines noNumber = new OddLines(file, "the loss is no number: the line is kept, but not drawn");
        for (int i = 0; i < lines.size(); i++) {
            JsonObject object = parse(lines.get(i));
            if (object == null
                    || stepOf(object) > step
                    || !withEvaluation && stepOf(object) == step && object.has("eval_loss")) {
                removed++;
                if (object == null && i < lines.size() - 1) {
                    unreadable.add(i + 1);
                }
            } else {
                kept.append(lines.get(i)).append('\n');
                if (!lossIsNumber(object, "loss") || !lossIsNumber(object, "eval_loss")) {
                    noNumber.add(i + 1);
                }
            }
        }
        unreadable.log();
        noNumber.log();
        // The last line may be whole but for its end.
        if (removed > 0 || kept.length() != text.length()) {
            replace(file, kept.toString());
        }
        return removed;
    }

    /**
     * Reads all whole lines, in file order.
     *
     * @throws QloraException if the file cannot be read
     */
    public static List<JsonObject> read(Path file) {
        List<JsonObject> rows = new ArrayList<>();
        for (String line : text(file).lines().toList()) {
            JsonObject object = parse(line);
            if (object != null) {
                rows.add(object);
            }
        }
        return rows;
    }

    private void append(JsonObject line) {
        ByteBuffer bytes = ByteBuffer.wrap((GSON.toJson(line) + "\n").getBytes(StandardCharsets.UTF_8));
        try {
            long end = channel.size();
            try {
                while (bytes.hasRemaining()) {
                    channel.write(bytes);
                }
            } catch (IOException e) {
                channel.truncate(end);
                throw e;
            }
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be written: " + Reason.of(e), e);
        }
    }

    /** JSON has no NaN. */
    private static JsonElement finite(double value) {
        return Double.isFinite(value) ? new JsonPrimitive(value) : JsonNull.INSTANCE;
    }

    private static String text(Path file) {
        try {
            // Decoded leniently: a torn line may end inside a character.
            return new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be read: " + Reason.of(e), e);
        }
    }

    private static JsonObject parse(String line) {
        try {
            JsonElement element = JsonParser.parseString(line);
            return element.isJsonObject() && stepOf(element.getAsJsonObject()) >= 0 ? element.getAsJsonObject() : null;
        } catch (JsonParseException e) {
            return null;
        }
    }

    private static long stepOf(JsonObject object) {
        JsonElement step = object.get("step");
        try {
            return step == null || !step.isJsonPrimitive() ? -1 : step.getAsLong();
        } catch (NumberFormatException e) {
            return -1;
        }
    }

    /** A loss that was not finite was written as null. */
    private static boolean lossIsNumber(JsonObject line, String key) {
        JsonElement loss = line.get(key);
        return loss == null
                || loss.isJsonNull()
                || loss instanceof JsonPrimitive number && number.isNumber() && Double.isFinite(number.getAsDouble());
    }

    private static void replace(Path file, String text) {
        try {
            AtomicFile.write(file, out -> out.write(text.getBytes(StandardCharsets.UTF_8)));
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be replaced: " + Reason.of(e), e);
        }
    }

    /** Lines of a file with the same thing wrong: told once. */
    private static final class OddLines {
        private final Path file;
        private final String what;
        private int first;
        private int count;

        OddLines(Path file, String what) {
            this.file = file;
            this.what = what;
        }

        void add(int line) {
            first = count++ == 0 ? line : first;
        }

        void log() {
            if (count > 0) {
                LOG.warn("{}:{}: {}{}", file, first, what, count > 1 ? " (and " + (count - 1) + " others so)" : "");
            }
        }
    }
}

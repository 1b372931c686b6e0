package io.github.qlora4j.trainer.train;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.quant.internal.StrictJson;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;

/**
 * Where a run stands after a step: {@code trainer_state.json} of a checkpoint.
 *
 * <p>The position in the data and the random state are the step itself: the order of rows and dropout's masks are
 * functions of the seed and the step.
 *
 * @param format of this file
 * @param globalStep steps made
 * @param totalSteps steps of the whole run, which the schedule depends on
 * @param threads of the engine; sums depend on it
 * @param data fingerprint of the training rows as tokens
 * @param base fingerprint of the base model's files
 * @param bestEvalLoss the lowest so far, or null
 * @param bestStep the step it was measured at
 * @param evaluationsWithoutGain evaluations since then, for early stopping
 * @param evaluationDue the step's evaluation was broken off, and comes before the next step
 * @param answeredBefore held-out instructions answered right before the first step, or null
 * @param config the resolved configuration as YAML
 * @param versions what wrote it
 * @param files sha256 of the checkpoint's other files
 */
record RunState(
        int format,
        long globalStep,
        long totalSteps,
        int threads,
        String data,
        String base,
        Double bestEvalLoss,
        long bestStep,
        int evaluationsWithoutGain,
        boolean evaluationDue,
        Integer answeredBefore,
        String config,
        Map<String, String> versions,
        Map<String, String> files) {

    static final String FILE = "trainer_state.json";
    static final int FORMAT = 2;
    private static final long LARGEST = 16L << 20;
    private static final Gson GSON = new GsonBuilder()
            .setPrettyPrinting()
            .serializeNulls()
            .disableHtmlEscaping()
            .create();

    BestEvaluation best() {
        return new BestEvaluation(bestEvalLoss, bestStep, evaluationsWithoutGain);
    }

    RunState withFiles(Map<String, String> hashes) {
        return new RunState(
                format,
                globalStep,
                totalSteps,
                threads,
                data,
                base,
                bestEvalLoss,
                bestStep,
                evaluationsWithoutGain,
                evaluationDue,
                answeredBefore,
                config,
                versions,
                hashes);
    }

    String json() {
        return GSON.toJson(this) + "\n";
    }

    /**
     * Reads the file, whose every key is needed.
     *
     * @throws QloraException if it is missing, damaged, or of another format
     */
    static RunState read(Path checkpoint) {
        Path file = checkpoint.resolve(FILE);
        try {
            if (Files.size(file) > LARGEST) {
                throw new QloraException(file + ": is too large to be a state");
            }
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be read: " + Reason.of(e), e);
        }
        Keys keys = new Keys(file, StrictJson.readObject(file));
        int format = (int) keys.whole("format", Integer.MAX_VALUE);
        if (format != FORMAT) {
            throw new QloraException(file + ": has format " + format + "; this version reads format " + FORMAT);
        }
        long step = keys.whole("globalStep", Integer.MAX_VALUE);
        return new RunState(
                format,
                step,
                keys.whole("totalSteps", Integer.MAX_VALUE),
                (int) keys.whole("threads", Integer.MAX_VALUE),
                keys.text("data"),
                keys.text("base"),
                keys.isNull("bestEvalLoss") ? null : keys.number("bestEvalLoss"),
                keys.whole("bestStep", step),
                (int) keys.whole("evaluationsWithoutGain", step),
                keys.flag("evaluationDue"),
                keys.isNull("answeredBefore") ? null : (int) keys.whole("answeredBefore", Integer.MAX_VALUE),
                keys.text("config"),
                keys.texts("versions"),
                keys.texts("files"));
    }

    /** The keys of the file, asked for by type. */
    private record Keys(Path file, JsonObject json) {

        private QloraException wrong(String key, String expected) {
            String found = String.valueOf(json.get(key));
            return new QloraException(file + ": is damaged: " + key + ": expected " + expected + ", found "
                    + (!json.has(key) ? "nothing" : found.length() > 60 ? found.substring(0, 60) + "…" : found));
        }

        boolean isNull(String key) {
            return json.get(key) instanceof JsonNull;
        }

        String text(String key) {
            if (json.get(key) instanceof JsonPrimitive value && value.isString()) {
                return value.getAsString();
            }
            throw wrong(key, "a text");
        }

        long whole(String key, long most) {
            if (json.get(key) instanceof JsonPrimitive value
                    && value.isNumber()
                    && value.getAsString().matches("[0-9]{1,18}")
                    && value.getAsLong() <= most) {
                return value.getAsLong();
            }
            throw wrong(key, "a whole number from 0 to " + most);
        }

        boolean flag(String key) {
            if (json.get(key) instanceof JsonPrimitive value && value.isBoolean()) {
                return value.getAsBoolean();
            }
            throw wrong(key, "true or false");
        }

        double number(String key) {
            if (json.get(key) instanceof JsonPrimitive value
                    && value.isNumber()
                    && Double.isFinite(value.getAsDouble())) {
                return value.getAsDouble();
            }
            throw wrong(key, "a number or null");
        }

        Map<String, String> texts(String key) {
            if (!(json.get(key) instanceof JsonObject object)) {
                throw wrong(key, "an object of texts");
            }
            Map<String, String> texts = new TreeMap<>();
            for (String name : object.keySet()) {
                texts.put(name, new Keys(file, object).text(name));
            }
            return texts;
        }
    }
}

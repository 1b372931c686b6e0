package io.github.qlora4j.trainer.train;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonParseException;
import io.github.qlora4j.quant.QloraException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

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
        Integer answeredBefore,
        String config,
        Map<String, String> versions,
        Map<String, String> files) {

    static final String FILE = "trainer_state.json";
    static final int FORMAT = 1;
    private static final long LARGEST = 16L << 20;
    private static final Gson GSON = new GsonBuilder()
            .setPrettyPrinting()
            .serializeNulls()
            .disableHtmlEscaping()
            .create();

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
                answeredBefore,
                config,
                versions,
                hashes);
    }

    String json() {
        return GSON.toJson(this) + "\n";
    }

    static RunState read(Path checkpoint) {
        Path file = checkpoint.resolve(FILE);
        try {
            if (Files.size(file) > LARGEST) {
                throw new QloraException(file + ": is too large to be a state");
            }
            RunState state = GSON.fromJson(Files.readString(file), RunState.class);
            if (state == null
                    || state.config == null
                    || state.files == null
                    || state.data == null
                    || state.base == null
                    || state.globalStep < 0) {
                throw new QloraException(file + ": is not the state of a run");
            }
            if (state.format != FORMAT) {
                throw new QloraException(
                        file + ": has format " + state.format + "; this version reads format " + FORMAT);
            }
            return state;
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be read: " + e, e);
        } catch (JsonParseException e) {
            throw new QloraException(file + ": is damaged: " + e.getMessage(), e);
        }
    }
}

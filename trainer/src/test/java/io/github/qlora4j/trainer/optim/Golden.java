package io.github.qlora4j.trainer.optim;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;

/** The parameters, gradients and rates of scripts/golden/optim.py, and the files that it wrote. */
final class Golden {

    static final long[][] SHAPES = {{3, 7}, {46, 90}, {32, 160}, {63, 65}, {64, 64}, {3, 4099}};
    static final int UPDATES = 20;

    private Golden() {}

    static JsonObject read(String name) {
        try (InputStream in = Golden.class.getResourceAsStream("/golden/optim/" + name + ".json")) {
            return JsonParser.parseReader(new InputStreamReader(in, StandardCharsets.UTF_8))
                    .getAsJsonObject();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Numbers of 24 random bits, exact in float32. */
    static float[] numbers(long seed, int count, int exponent) {
        float[] out = new float[count];
        long x = seed;
        for (int i = 0; i < count; i++) {
            x = x * 6364136223846793005L + 1442695040888963407L;
            out[i] = (float) (((x >>> 40) - (1 << 23)) * Math.pow(2.0, exponent - 23 - i / 256 % 4));
        }
        return out;
    }

    static List<Parameter> parameters(NDManager manager, Dtype dtype) {
        List<Parameter> parameters = new ArrayList<>();
        for (int i = 0; i < SHAPES.length; i++) {
            NDArray values = Torch.ofFloats(manager, numbers(100 + i, size(i), -2), SHAPES[i]);
            parameters.add(new Parameter("" + i, Torch.cast(manager, values, dtype)));
        }
        return parameters;
    }

    static List<NDArray> gradients(NDManager manager, int update) {
        List<NDArray> gradients = new ArrayList<>();
        for (int i = 0; i < SHAPES.length; i++) {
            float[] g = numbers(1000L * (update + 1) + i, size(i), -6 + update % 3);
            if (update < 3) {
                Arrays.fill(g, 0, Math.min(300, g.length), 0f);
            }
            gradients.add(Torch.ofFloats(manager, g, SHAPES[i]));
        }
        return gradients;
    }

    static double rate(int update) {
        return 2e-3 * (UPDATES - update) / UPDATES;
    }

    private static int size(int i) {
        return (int) (SHAPES[i][0] * SHAPES[i][1]);
    }

    static byte[] bytes(NDArray tensor) {
        ByteBuffer view = Torch.bytes(tensor, 0, Torch.byteSize(tensor));
        byte[] copy = new byte[view.remaining()];
        view.get(copy);
        return copy;
    }

    static String hash(byte[] bytes) {
        try {
            return HexFormat.of()
                    .formatHex(MessageDigest.getInstance("SHA-256").digest(bytes))
                    .substring(0, 16);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}

package io.github.qlora4j.quant.scheme;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.nio.ByteBuffer;

/** The normal distribution with mean 0 and standard deviation 1, by torch's own functions. */
public final class Normal {

    private Normal() {}

    /** The density at {@code x}. */
    public static double density(double x) {
        return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
    }

    /** The distribution function: the probability of at most {@code x}. */
    public static double cumulative(double x) {
        return apply("normal_cdf", x)[0];
    }

    /** Its inverse, the quantile function, of each probability; scipy's {@code norm.ppf}. */
    public static double[] quantiles(double... probabilities) {
        return apply("normal_quantiles", probabilities);
    }

    private static double[] apply(String function, double... values) {
        try (NDManager manager = Torch.newManager()) {
            NDArray in = Torch.empty(manager, Dtype.FLOAT64, values.length);
            ByteBuffer memory = Torch.bytes(in, 0, Torch.byteSize(in));
            memory.asDoubleBuffer().put(values);
            double[] result = new double[values.length];
            NDArray out = Operators.SCRIPT.tensor(manager, function, in);
            Torch.bytes(out, 0, Torch.byteSize(out)).asDoubleBuffer().get(result);
            return result;
        }
    }

    /** Shared by the package. */
    static final class Operators {
        static final TorchScript SCRIPT = TorchScript.load(Normal.class, "scheme.py");

        private Operators() {}
    }
}

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.FourBitWeight;
import io.github.qlora4j.quant.Int8Weight;
import io.github.qlora4j.quant.Kernel;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.ReadyProduct;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;

/**
 * Quantized linear layers alone: quantizing, and their products as the blocks of a model make them.
 *
 * <p>{@code java -cp "$(scripts/qlora --class-path)" Layers.java SHAPES ROWS SECONDS}: matrices {@code OUTxIN,...}, rows of
 * their inputs {@code 1,32,...}, and how long each is repeated. Prints JSON: seconds by job, scheme, shape and rows.
 */
final class Layers {

    /** What linear.py and its backward pass do with the worked-out weight. */
    private static final TorchScript PRODUCTS = TorchScript.compile("products", """
            def forward(x: Tensor, w: Tensor) -> Tensor:
              return torch.linear(x, w)

            def backward(g: Tensor, w: Tensor) -> Tensor:
              return torch.matmul(g, w)
            """);

    private static final Random RANDOM = new Random(0);
    private static final Map<String, Double> FOUND = new LinkedHashMap<>();
    private static double least;

    public static void main(String[] arguments) {
        least = Double.parseDouble(arguments[2]);
        Kernel kernel = Kernels.choose(KernelChoice.AUTO);
        for (String shape : arguments[0].split(",")) {
            int out = Integer.parseInt(shape.split("x")[0]);
            int in = Integer.parseInt(shape.split("x")[1]);
            try (NDManager manager = Torch.newManager()) {
                NDArray matrix = random(manager, 0.02, out, in, 0);
                time("quantize nf4 " + shape, () -> FourBitWeight.quantize(matrix, FourBitConfig.DEFAULT, kernel)
                        .close());
                time("quantize int8 " + shape, () -> Int8Weight.quantize(matrix, 6.0)
                        .close());
                try (FourBitWeight nf4 = FourBitWeight.quantize(matrix, FourBitConfig.DEFAULT, kernel);
                        Int8Weight int8 = Int8Weight.quantize(matrix, 6.0)) {
                    for (String rows : arguments[1].split(",")) {
                        products("nf4 " + shape + " " + rows, nf4, Integer.parseInt(rows));
                        products("int8 " + shape + " " + rows, int8, Integer.parseInt(rows));
                    }
                }
            }
        }
        StringBuilder json = new StringBuilder();
        FOUND.forEach((job, seconds) ->
                json.append(json.isEmpty() ? "{" : ", ").append('"').append(job).append("\": ").append(seconds));
        System.out.println(json + "}");
    }

    private static void products(String key, LinearWeight weight, int rows) {
        try (NDManager manager = Torch.newManager();
                Scratch scratch = new Scratch()) {
            NDArray x = random(manager, 1, rows, (int) weight.cols(), 4);
            NDArray gradient = random(manager, 1, rows, (int) weight.rows(), 0);
            time("forward " + key, () -> PRODUCTS.tensor(manager, "forward", x, weight.dense(Dtype.BFLOAT16, scratch))
                    .close());
            time(
                    "backward " + key,
                    () -> PRODUCTS.tensor(manager, "backward", gradient, weight.dense(Dtype.BFLOAT16, scratch))
                            .close());
            Optional<ReadyProduct> ready = weight.product(List.of(), Dtype.BFLOAT16);
            if (weight instanceof Int8Weight int8) {
                time("inference " + key, () -> int8.product(manager, x).close());
            } else if (ready.isPresent() && rows <= ready.get().mostRows()) {
                NDArray y = Torch.empty(manager, Dtype.BFLOAT16, rows, weight.rows());
                time("inference " + key, ready.get().between(x, y));
            } else {
                time(
                        "inference " + key,
                        () -> PRODUCTS.tensor(manager, "forward", x, weight.dense(Dtype.BFLOAT16, scratch))
                                .close());
            }
            ready.ifPresent(ReadyProduct::close);
        }
    }

    /** Normal numbers in bfloat16; those of the first columns are eight times larger, as outliers of activations are. */
    private static NDArray random(NDManager manager, double deviation, int rows, int cols, int outliers) {
        float[] values = new float[rows * cols];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (RANDOM.nextGaussian() * deviation * (i % cols < outliers ? 8 : 1));
        }
        try (NDArray wide = Torch.ofFloats(manager, values, rows, cols)) {
            return Torch.cast(manager, wide, Dtype.BFLOAT16);
        }
    }

    /** The median of at least five calls that take {@code least} seconds together, after two that do not count. */
    private static void time(String job, Runnable call) {
        double[] taken = new double[7];
        double sum = 0;
        int count = 0;
        while (count < 7 || sum < least) {
            long start = System.nanoTime();
            call.run();
            double seconds = (System.nanoTime() - start) / 1e9;
            sum += count < 2 ? 0 : seconds;
            taken = count == taken.length ? Arrays.copyOf(taken, 2 * count) : taken;
            taken[count++] = seconds;
        }
        double[] counted = Arrays.copyOfRange(taken, 2, count);
        Arrays.sort(counted);
        FOUND.put(job, (counted[(counted.length - 1) / 2] + counted[counted.length / 2]) / 2);
    }

    private Layers() {}
}

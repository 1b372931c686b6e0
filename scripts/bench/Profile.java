import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.jni.JniUtils;
import io.github.qlora4j.quant.LinearWeight;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.quant.torch.TorchScript;
import io.github.qlora4j.trainer.config.ConfigFile;
import io.github.qlora4j.trainer.config.LoadedConfig;
import io.github.qlora4j.trainer.model.BaseModel;
import io.github.qlora4j.trainer.model.BaseSetup;
import io.github.qlora4j.trainer.report.StepMetrics;
import io.github.qlora4j.trainer.train.RunListener;
import io.github.qlora4j.trainer.train.Trainer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Trains as a YAML file says and records every operator of the last steps, by the engine's own profiler.
 *
 * <p>{@code java -cp "$(scripts/qlora --class-path)" Profile.java RUN.yaml TRACE.json PLAIN RECORDED}: two steps to warm
 * up, PLAIN steps to time, RECORDED steps into TRACE.json (Chrome's trace format). Then it measures, alone, what this
 * machine's bfloat16 products reach, and what working out the base's weights once takes. Prints JSON.
 */
final class Profile {

    private static final int WARM_UP = 2;

    public static void main(String[] arguments) {
        int plain = Integer.parseInt(arguments[2]);
        int recorded = Integer.parseInt(arguments[3]);
        int last = WARM_UP + plain + recorded;
        LoadedConfig config = ConfigFile.load(Path.of(arguments[0]), List.of("training.max_steps=" + last));
        List<Double> seconds = new ArrayList<>();
        Trainer.builder()
                .setConfig(config)
                .optStart(Trainer.Start.OVERWRITE)
                .optListener(new RunListener() {
                    @Override
                    public void step(StepMetrics step) {
                        seconds.add(step.seconds());
                        if (step.step() == WARM_UP + plain) {
                            JniUtils.startProfile(false, true, false);
                        } else if (step.step() == last) {
                            JniUtils.stopProfile(arguments[1]);
                        }
                    }
                })
                .build()
                .train();
        System.out.printf(
                "{\"plain\": %s, \"recorded\": %s, \"gflops\": %.1f, \"worked_out\": %.5f}%n",
                seconds.subList(WARM_UP, WARM_UP + plain), seconds.subList(WARM_UP + plain, last), rate(), workOut(config));
    }

    /** The best of some bfloat16 products, in GFLOP/s. */
    private static double rate() {
        // as in the forward pass, and as in the backward pass
        TorchScript script = TorchScript.compile(
                "products",
                """
                def forward(a: Tensor, b: Tensor) -> Tensor:
                  return torch.matmul(a, torch.t(b))

                def backward(a: Tensor, b: Tensor) -> Tensor:
                  return torch.matmul(torch.matmul(a, torch.t(b)), b)
                """);
        double best = 0;
        for (long[] shape : new long[][] {{1024, 2816, 1024}, {1024, 1024, 2816}, {2048, 2048, 2048}}) {
            try (NDManager manager = Torch.newManager()) {
                NDArray a = Torch.zeros(manager, Dtype.BFLOAT16, shape[0], shape[2]);
                NDArray b = Torch.zeros(manager, Dtype.BFLOAT16, shape[1], shape[2]);
                double flops = 2.0 * shape[0] * shape[1] * shape[2];
                for (int i = 0; i < 30; i++) {
                    long start = System.nanoTime();
                    script.tensor(manager, "forward", a, b).close();
                    long middle = System.nanoTime();
                    script.tensor(manager, "backward", a, b).close();
                    long end = System.nanoTime();
                    best = Math.max(best, Math.max(flops / (middle - start), 2 * flops / (end - middle)));
                }
            }
        }
        return best;
    }

    /** Seconds that working out all 4-bit weights once takes. */
    private static double workOut(LoadedConfig config) {
        Map<String, Scratch> scratch = new HashMap<>();
        double best = Double.MAX_VALUE;
        try (BaseModel base = BaseModel.load(config.config().model().path(), BaseSetup.options(config.config()))) {
            for (int i = 0; i < 5; i++) {
                long start = System.nanoTime();
                for (BaseModel.Layer layer : base.layers()) {
                    for (Map.Entry<String, LinearWeight> linear : layer.linears().entrySet()) {
                        linear.getValue()
                                .dense(
                                        base.options().compute(),
                                        scratch.computeIfAbsent(linear.getKey(), k -> new Scratch()));
                    }
                }
                best = Math.min(best, (System.nanoTime() - start) / 1e9);
            }
        }
        scratch.values().forEach(Scratch::close);
        return best;
    }
}

package io.github.qlora4j.examples;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.peft.Adapter;
import io.github.qlora4j.peft.LoraConfig;
import io.github.qlora4j.peft.LoraLinear;
import io.github.qlora4j.peft.LoraWeights;
import io.github.qlora4j.peft.ModuleInfo;
import io.github.qlora4j.peft.TargetModules;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.FourBitWeight;
import io.github.qlora4j.quant.KernelChoice;
import io.github.qlora4j.quant.Kernels;
import io.github.qlora4j.quant.Scratch;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;

/**
 * Modules {@code quant} and {@code peft} without the trainer: QLoRA on one matrix, with gradient descent by hand.
 *
 * <p>The base W is frozen in four bits. The answers come from W plus a matrix of rank 2 that nobody tells the adapter. A
 * rank of 4 is enough to find it: what is left of the loss is not the adapter's.
 *
 * <p>{@code java … TrainALinearAdapter [DIRECTORY]}: where the adapter is saved; a temporary one if left out.
 */
public final class TrainALinearAdapter {

    private static final int OUT = 48;
    private static final int IN = 64;
    private static final int ROWS = 256;

    private TrainALinearAdapter() {}

    /**
     * What the descent reached.
     *
     * @param lossBefore the mean squared error that the frozen base makes alone
     * @param lossAfter with the adapter
     * @param trained numbers that were trained
     * @param frozen numbers of the base
     * @param lossReloaded the loss again, with the adapter read back from its files
     */
    public record Result(double lossBefore, double lossAfter, long trained, long frozen, double lossReloaded) {}

    /** Prints how the loss falls. */
    public static void main(String[] arguments) throws IOException {
        Path directory = arguments.length > 0 ? Path.of(arguments[0]) : Files.createTempDirectory("qlora4j-adapter");
        Result r = run(300, directory);
        System.out.printf("%d numbers trained beside %d frozen in four bits%n", r.trained(), r.frozen());
        System.out.printf("loss %.4f -> %.6f, reloaded %.6f%n", r.lossBefore(), r.lossAfter(), r.lossReloaded());
        System.out.println("the adapter, in peft's files, is in " + directory);
    }

    /** Trains for so many steps, and saves the adapter to {@code directory}. */
    public static Result run(int steps, Path directory) {
        try (NDManager manager = Torch.newManager();
                Scratch scratch = new Scratch()) {
            Random random = new Random(42);
            NDArray w = normal(manager, random, 0.05, OUT, IN);
            try (FourBitWeight base =
                    FourBitWeight.quantize(w, FourBitConfig.DEFAULT, Kernels.choose(KernelChoice.AUTO))) {
                // The task: what the base computes, plus something of rank 2.
                NDArray x = normal(manager, random, 1, ROWS, IN);
                NDArray hidden = normal(manager, random, 0.3, OUT, 2).matMul(normal(manager, random, 0.3, 2, IN));
                NDArray answers =
                        x.matMul(base.dense(Dtype.FLOAT32, scratch).add(hidden).transpose());

                // An adapter on every module whose name ends with "proj"; here there is one.
                LoraConfig config = LoraConfig.builder()
                        .optR(4)
                        .optLoraAlpha(4)
                        .optTargetModules("proj")
                        .build();
                List<ModuleInfo> modules = List.of(ModuleInfo.linear("layer.proj", OUT, IN));
                Adapter adapter = Adapter.create(
                        manager, config, TargetModules.resolve(config, modules, null), Dtype.FLOAT32, 42);
                LoraWeights lora = adapter.get("layer.proj");

                double before = loss(x, answers, base, lora, scratch);
                for (int step = 0; step < steps; step++) {
                    descend(x, answers, base, lora, scratch, 0.05f);
                }
                double after = loss(x, answers, base, lora, scratch);

                adapter.save(directory, "a matrix of TrainALinearAdapter");
                try (Adapter loaded = Adapter.load(manager, directory)) {
                    double reloaded = loss(x, answers, base, loaded.get("layer.proj"), scratch);
                    return new Result(before, after, adapter.parameterCount(), (long) OUT * IN, reloaded);
                }
            }
        }
    }

    /** One step: forward, the loss's gradient, backward, and A and B a little downhill. */
    private static void descend(
            NDArray x, NDArray answers, FourBitWeight base, LoraWeights lora, Scratch scratch, float rate) {
        // All that a step makes is freed with it.
        try (NDManager step = Torch.newManager()) {
            NDArray error = LoraLinear.forward(step, x, base, lora, scratch).subi(answers);
            // The loss is the mean over rows of the squared error's sum, so its gradient is 2 · error / rows.
            NDArray gradient = error.muli(2f / ROWS);
            LoraLinear.Gradients gradients = LoraLinear.backward(step, gradient, x, base, lora, scratch);
            lora.a().subi(gradients.a().muli(rate));
            lora.b().subi(gradients.b().muli(rate));
        }
    }

    private static double loss(NDArray x, NDArray answers, FourBitWeight base, LoraWeights lora, Scratch scratch) {
        try (NDManager manager = Torch.newManager()) {
            NDArray error = LoraLinear.forward(manager, x, base, lora, scratch).subi(answers);
            return error.square().sum().getFloat() / ROWS;
        }
    }

    private static NDArray normal(NDManager manager, Random random, double deviation, int rows, int cols) {
        float[] values = new float[rows * cols];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (deviation * random.nextGaussian());
        }
        return Torch.ofFloats(manager, values, rows, cols);
    }
}

package io.github.qlora4j.trainer.optim;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.config.OptimizerName;
import io.github.qlora4j.trainer.optim.StateLayout.PagePlan;
import io.github.qlora4j.trainer.optim.StateLayout.Piece;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** AdamW over pages of state, 32 and 8 bits: page by page, all pieces of a page in one call of {@code updates.py}. */
final class AdamW implements Optimizer {

    /** Small enough to stay in the processor's cache through an update, large enough to make calls rare. */
    static final int PAGE_BYTES = 1 << 20;

    private final OptimizerConfig config;
    private final List<Parameter> parameters;
    private final List<long[]> shapes;
    private final NDManager manager;
    private final PagedMemory memory;
    private final StateLayout layout;
    private final StateTransfer transfer;
    private final List<Group> groups;
    private final List<NDArray> maps;
    private long steps;

    AdamW(OptimizerConfig config, List<Parameter> parameters) {
        this(config, parameters, PAGE_BYTES);
    }

    AdamW(OptimizerConfig config, List<Parameter> parameters, int pageBytes) {
        this.config = config;
        this.parameters = List.copyOf(parameters);
        this.shapes = parameters.stream().map(p -> Torch.shape(p.value())).toList();
        check(this.parameters);
        layout = new StateLayout(config, this.parameters, pageBytes);
        groups = layout.pages().stream().map(this::group).toList();
        manager = Torch.newManager();
        memory = config.name().paged()
                ? new MappedPages(directory(config), pageBytes, config.residentBytes())
                : new ResidentPages(pageBytes);
        try {
            maps = layout.pages().stream().anyMatch(PagePlan::eightBit) ? maps(manager) : List.of();
            transfer = new StateTransfer(config, this.parameters, layout, memory, maps);
            memory.reserve(layout.pages().size());
            transfer.takeMasters();
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    private static Path directory(OptimizerConfig config) {
        return config.pageDirectory() != null ? config.pageDirectory() : Path.of(System.getProperty("java.io.tmpdir"));
    }

    private static void check(List<Parameter> parameters) {
        long distinct = parameters.stream().map(Parameter::name).distinct().count();
        if (distinct != parameters.size()) {
            throw new IllegalArgumentException("two parameters have the same name");
        }
        for (Parameter p : parameters) {
            Dtype dtype = Torch.dtype(p.value());
            if (dtype != Dtype.FLOAT32 && dtype != Dtype.BFLOAT16 && dtype != Dtype.FLOAT16) {
                throw new QloraException(p.name() + " cannot be trained: expected float32, bfloat16 or float16, got "
                        + dtype.torchName());
            }
        }
    }

    /** The two quantization maps, signed and unsigned, and for each the codes nearest to evenly spread values. */
    private static List<NDArray> maps(NDManager manager) {
        NDArray signed = Updates.SCRIPT.tensor(manager, "dynamic_map", true);
        NDArray unsigned = Updates.SCRIPT.tensor(manager, "dynamic_map", false);
        return List.of(
                signed,
                unsigned,
                Updates.SCRIPT.tensor(manager, "nearest_codes", signed),
                Updates.SCRIPT.tensor(manager, "nearest_codes", unsigned));
    }

    /** A page's pieces as the update function takes them. */
    private record Group(boolean eightBit, int[] owners, List<NDArray> values, double[] decays, long[] where) {}

    private Group group(PagePlan plan) {
        List<Piece> pieces = plan.pieces();
        int columns = plan.eightBit() ? 4 : 3;
        long[] where = new long[columns * pieces.size()];
        double[] decays = new double[pieces.size()];
        List<NDArray> values = new ArrayList<>();
        for (int i = 0; i < pieces.size(); i++) {
            Piece piece = pieces.get(i);
            Parameter parameter = parameters.get(piece.parameter());
            values.add(parameter.value());
            decays[i] = parameter.decayed() ? config.weightDecay() : 0;
            where[columns * i] = piece.start();
            where[columns * i + 1] = piece.length();
            where[columns * i + 2] = piece.floats();
            if (plan.eightBit()) {
                where[columns * i + 3] = piece.bytes();
            }
        }
        int[] owners = pieces.stream().mapToInt(Piece::parameter).toArray();
        return new Group(plan.eightBit(), owners, values, decays, where);
    }

    @Override
    public void step(List<NDArray> gradients, double learningRate) {
        checkStep(gradients, learningRate);
        steps++;
        for (int i = 0; i < groups.size(); i++) {
            // there and back: what is still resident from the last update is used before it is put out
            update(steps % 2 == 1 ? i : groups.size() - 1 - i, gradients, learningRate);
        }
    }

    private void update(int index, List<NDArray> gradients, double learningRate) {
        Group group = groups.get(index);
        List<NDArray> own = Arrays.stream(group.owners).mapToObj(gradients::get).toList();
        PagedMemory.Page page = memory.page(index);
        if (group.eightBit) {
            Updates.SCRIPT.run(
                    "adamw_8bit",
                    group.values,
                    own,
                    group.decays,
                    group.where,
                    page.floats(),
                    page.bytes(),
                    maps.get(0),
                    maps.get(1),
                    maps.get(2),
                    maps.get(3),
                    steps,
                    learningRate,
                    config.beta1(),
                    config.beta2(),
                    config.eps());
        } else {
            Updates.SCRIPT.run(
                    config.name() == OptimizerName.ADAMW_TORCH ? "adamw_torch" : "adamw_32bit",
                    group.values,
                    own,
                    group.decays,
                    group.where,
                    page.floats(),
                    steps,
                    learningRate,
                    config.beta1(),
                    config.beta2(),
                    config.eps());
        }
    }

    private void checkStep(List<NDArray> gradients, double learningRate) {
        if (!Double.isFinite(learningRate) || learningRate < 0) {
            throw new QloraException("the learning rate of update " + (steps + 1) + " must be a number >= 0, got "
                    + learningRate + ": look at training.learning_rate and training.lr_scheduler_type");
        }
        if (gradients.size() != parameters.size()) {
            throw new QloraException(
                    "expected " + parameters.size() + " gradients, one a parameter, got " + gradients.size());
        }
        for (int i = 0; i < parameters.size(); i++) {
            NDArray gradient = gradients.get(i);
            long[] shape = Torch.shape(gradient);
            if (!Arrays.equals(shape, shapes.get(i)) || Torch.dtype(gradient) != Dtype.FLOAT32) {
                throw new QloraException("the gradient of " + parameters.get(i).name() + ": expected float32 "
                        + Arrays.toString(shapes.get(i)) + ", got "
                        + Torch.dtype(gradient).torchName() + " " + Arrays.toString(shape));
            }
        }
    }

    @Override
    public long steps() {
        return steps;
    }

    @Override
    public List<Parameter> parameters() {
        return parameters;
    }

    @Override
    public void save(Path file) {
        Map<String, String> metadata =
                Map.of("format", "1", "optimizer", kind(config.name()), "step", Long.toString(steps));
        transfer.save(file, metadata);
    }

    /** The arithmetic: a paged and an unpaged optimizer of the same kind read each other's state. */
    private static String kind(OptimizerName name) {
        return name.eightBit() ? "adamw_8bit" : name == OptimizerName.ADAMW_TORCH ? "adamw_torch" : "adamw_32bit";
    }

    @Override
    public void load(Path file) {
        try (SafetensorsFile source = SafetensorsFile.open(file)) {
            Map<String, String> metadata = source.metadata();
            String saved = metadata.get("optimizer");
            String own = kind(config.name());
            if (!"1".equals(metadata.get("format")) || !own.equals(saved)) {
                throw new QloraException(file + ": expected the state of " + own + ", format 1, got "
                        + (saved == null ? "no optimizer state" : saved + ", format " + metadata.get("format"))
                        + "\n  Resume with the optimizer that the run was started with, or start anew.");
            }
            String step = metadata.getOrDefault("step", "nothing");
            if (!step.matches("\\d{1,18}")) {
                throw new QloraException(file + ": expected the number of updates as metadata \"step\", got " + step);
            }
            transfer.load(source);
            steps = Long.parseLong(step);
        }
    }

    @Override
    public long stateBytes() {
        return parameters.stream()
                .mapToLong(p -> config.stateBytes(p.value().getShape().size(), Torch.dtype(p.value())))
                .sum();
    }

    @Override
    public Optional<PagingStatistics> paging() {
        return config.name().paged() ? Optional.of(memory.statistics()) : Optional.empty();
    }

    @Override
    public void close() {
        memory.close();
        manager.close();
    }

    @Override
    public String toString() {
        return config.name().name().toLowerCase(Locale.ROOT) + ", " + steps + " updates";
    }
}

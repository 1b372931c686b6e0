package io.github.qlora4j.trainer.optim;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.safetensors.SafetensorsFile;
import io.github.qlora4j.quant.safetensors.SafetensorsWriter;
import io.github.qlora4j.quant.safetensors.TensorInfo;
import io.github.qlora4j.quant.safetensors.TensorSpec;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import io.github.qlora4j.trainer.optim.StateLayout.Piece;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Moves state between the pages and whole tensors, one parameter at a time. */
final class StateTransfer {

    private static final int BLOCK = OptimizerConfig.BLOCKSIZE;

    private final OptimizerConfig config;
    private final List<Parameter> parameters;
    private final PagedMemory memory;
    private final List<NDArray> maps;
    private final List<List<Placed>> placed = new ArrayList<>();

    /** A piece and its page. */
    private record Placed(int page, Piece piece) {}

    /** One tensor of a parameter's state: where its part of a piece lies, as floats or as bytes. */
    private enum Part {
        EXP_AVG("exp_avg", false),
        EXP_AVG_SQ("exp_avg_sq", false),
        STATE1("state1", true),
        STATE2("state2", true),
        ABSMAX1("absmax1", false),
        ABSMAX2("absmax2", false),
        MASTER("master", false);

        private final String suffix;
        private final boolean bytes;

        Part(String suffix, boolean bytes) {
            this.suffix = suffix;
            this.bytes = bytes;
        }

        /** One element a block rather than one an element of the parameter. */
        boolean perBlock() {
            return this == ABSMAX1 || this == ABSMAX2;
        }

        long offset(Piece piece) {
            return switch (this) {
                case EXP_AVG, ABSMAX1 -> piece.floats();
                case EXP_AVG_SQ -> piece.floats() + piece.length();
                case ABSMAX2 -> piece.floats() + piece.blocks();
                case STATE1 -> piece.bytes();
                case STATE2 -> piece.bytes() + piece.length();
                case MASTER -> piece.masterFloats();
            };
        }
    }

    StateTransfer(
            OptimizerConfig config,
            List<Parameter> parameters,
            StateLayout layout,
            PagedMemory memory,
            List<NDArray> maps) {
        this.config = config;
        this.parameters = parameters;
        this.memory = memory;
        this.maps = maps;
        parameters.forEach(p -> placed.add(new ArrayList<>()));
        for (int page = 0; page < layout.pages().size(); page++) {
            for (Piece piece : layout.pages().get(page).pieces()) {
                placed.get(piece.parameter()).add(new Placed(page, piece));
            }
        }
    }

    /** Copies the parameters that are not float32 into their master copies. */
    void takeMasters() {
        for (int i = 0; i < parameters.size(); i++) {
            if (hasMaster(i)) {
                intoPages(i, Part.MASTER, parameters.get(i).value());
            }
        }
    }

    private List<TensorSpec> tensors() {
        List<TensorSpec> tensors = new ArrayList<>();
        for (int i = 0; i < parameters.size(); i++) {
            String name = parameters.get(i).name();
            for (Part part : parts(i)) {
                tensors.add(tensor(i, part));
            }
            if (eightBit(i)) {
                tensors.add(new TensorSpec(name + ".qmap1", Dtype.FLOAT32, 256));
                tensors.add(new TensorSpec(name + ".qmap2", Dtype.FLOAT32, 256));
            }
        }
        return tensors;
    }

    void save(Path file, Map<String, String> metadata) {
        try (SafetensorsWriter writer = SafetensorsWriter.create(file, metadata, tensors())) {
            for (int i = 0; i < parameters.size(); i++) {
                for (Part part : parts(i)) {
                    TensorSpec tensor = tensor(i, part);
                    try (NDManager scratch = Torch.newManager()) {
                        NDArray whole = Torch.empty(scratch, tensor.dtype(), tensor.shape());
                        outOfPages(i, part, whole);
                        writer.write(tensor.name(), whole);
                    }
                }
                if (eightBit(i)) {
                    writer.write(parameters.get(i).name() + ".qmap1", maps.get(0));
                    writer.write(parameters.get(i).name() + ".qmap2", maps.get(1));
                }
            }
            writer.finish();
        }
    }

    void load(SafetensorsFile source) {
        Set<String> expected = new HashSet<>();
        for (TensorSpec tensor : tensors()) {
            expected.add(tensor.name());
            check(source, tensor);
        }
        for (String name : source.tensors().keySet()) {
            if (!expected.contains(name)) {
                throw wrong(source, name, "no such tensor", "one");
            }
        }
        for (int i = 0; i < parameters.size(); i++) {
            for (Part part : parts(i)) {
                try (NDManager scratch = Torch.newManager()) {
                    NDArray whole = source.read(scratch, tensor(i, part).name());
                    if (!part.bytes && !Torch.isFinite(whole)) {
                        throw wrong(source, tensor(i, part).name(), "finite numbers", "NaN or infinity");
                    }
                    intoPages(i, part, whole);
                    if (part == Part.MASTER) {
                        Torch.assign(parameters.get(i).value(), whole);
                    }
                }
            }
        }
    }

    private void check(SafetensorsFile source, TensorSpec expected) {
        TensorInfo found = source.tensors().get(expected.name());
        if (found == null || found.dtype() != expected.dtype() || !Arrays.equals(found.shape(), expected.shape())) {
            throw wrong(
                    source,
                    expected.name(),
                    describe(expected.dtype(), expected.shape()),
                    found == null ? "no such tensor" : describe(found.dtype(), found.shape()));
        }
        if (expected.name().endsWith(".qmap1") || expected.name().endsWith(".qmap2")) {
            try (NDManager scratch = Torch.newManager()) {
                float[] own = Torch.toFloats(maps.get(expected.name().endsWith("1") ? 0 : 1));
                if (!Arrays.equals(own, Torch.toFloats(source.read(scratch, expected.name())))) {
                    throw wrong(source, expected.name(), "the dynamic map of 8-bit state", "other numbers");
                }
            }
        }
    }

    private static QloraException wrong(SafetensorsFile source, String tensor, String expected, String got) {
        return new QloraException(source.path() + ": " + tensor + ": expected " + expected + ", got " + got
                + "\n  The state belongs to another adapter or is damaged: use another checkpoint or start anew.");
    }

    private static String describe(Dtype dtype, long[] shape) {
        return dtype.torchName() + " " + Arrays.toString(shape);
    }

    private TensorSpec tensor(int parameter, Part part) {
        Parameter p = parameters.get(parameter);
        long elements = p.value().getShape().size();
        long[] shape = part.perBlock() ? new long[] {(elements + BLOCK - 1) / BLOCK} : Torch.shape(p.value());
        return new TensorSpec(p.name() + "." + part.suffix, part.bytes ? Dtype.UINT8 : Dtype.FLOAT32, shape);
    }

    private List<Part> parts(int parameter) {
        List<Part> parts = new ArrayList<>(
                eightBit(parameter)
                        ? List.of(Part.STATE1, Part.STATE2, Part.ABSMAX1, Part.ABSMAX2)
                        : List.of(Part.EXP_AVG, Part.EXP_AVG_SQ));
        if (hasMaster(parameter)) {
            parts.add(Part.MASTER);
        }
        return parts;
    }

    private boolean eightBit(int parameter) {
        return config.eightBit(parameters.get(parameter).value().getShape().size());
    }

    private boolean hasMaster(int parameter) {
        return Torch.dtype(parameters.get(parameter).value()) != Dtype.FLOAT32;
    }

    private void intoPages(int parameter, Part part, NDArray whole) {
        for (Placed at : placed.get(parameter)) {
            NDArray page = view(at, part);
            Updates.SCRIPT.run(
                    "move", page, part.offset(at.piece), whole, start(at.piece, part), length(at.piece, part));
        }
    }

    private void outOfPages(int parameter, Part part, NDArray whole) {
        for (Placed at : placed.get(parameter)) {
            NDArray page = view(at, part);
            Updates.SCRIPT.run(
                    "move", whole, start(at.piece, part), page, part.offset(at.piece), length(at.piece, part));
        }
    }

    private NDArray view(Placed at, Part part) {
        PagedMemory.Page page = memory.page(at.page);
        return part.bytes ? page.bytes() : page.floats();
    }

    private static long start(Piece piece, Part part) {
        return part.perBlock() ? piece.start() / BLOCK : piece.start();
    }

    private static long length(Piece piece, Part part) {
        return part.perBlock() ? piece.blocks() : piece.length();
    }
}

package io.github.qlora4j.quant.torch;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.IValue;
import ai.djl.pytorch.jni.JniUtils;
import ai.djl.pytorch.jni.ModuleMethods;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

/**
 * Operators written as TorchScript text in a resource file, run by the engine without Python.
 *
 * <p>The file holds free functions and nothing else:
 *
 * <pre>{@code
 * def silu_product(gate: Tensor, up: Tensor) -> Tensor:
 *   return torch.mul(torch.silu(gate), up)
 * }</pre>
 *
 * <pre>{@code
 * TorchScript ops = TorchScript.load(MyClass.class, "ops.py");
 * NDArray y = ops.tensor(manager, "silu_product", gate, up);
 * }</pre>
 *
 * <p>Arguments are {@code NDArray}, {@code List<NDArray>}, {@code Map<String, NDArray>}, {@link TensorMap}, {@code long} or {@code int}, {@code double} or {@code
 * float}, {@code boolean}, {@code long[]} and {@code String}. Results belong to the manager given. Errors of an
 * operator are {@code ai.djl.engine.EngineException}s. A loaded script is shared by all threads and lives as long as
 * the JVM.
 */
public final class TorchScript {

    private final long module;
    private final String name;

    private TorchScript(long module, String name) {
        this.module = module;
        this.name = name;
    }

    /**
     * Compiles a resource beside a class.
     *
     * @param sources resources beside {@code anchor}, joined in order: later ones may call functions of earlier ones
     */
    public static TorchScript load(Class<?> anchor, String... sources) {
        StringBuilder text = new StringBuilder();
        for (String source : sources) {
            try (InputStream in = anchor.getResourceAsStream(source)) {
                if (in == null) {
                    throw new IllegalArgumentException("no resource " + source + " beside class " + anchor.getName());
                }
                text.append(new String(in.readAllBytes(), StandardCharsets.UTF_8))
                        .append('\n');
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        return compile(String.join("+", sources), text.toString());
    }

    /** Compiles TorchScript text; {@code name} stands in error messages. */
    public static TorchScript compile(String name, String text) {
        Torch.start();
        byte[] archive = ScriptArchive.of(text);
        try (InputStream in = new ByteArrayInputStream(archive)) {
            return new TorchScript(JniUtils.loadModuleHandle(in, Device.cpu(), false, false), name);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Runs a function that returns one tensor. */
    public NDArray tensor(NDManager manager, String function, Object... arguments) {
        try (IValue result = call(function, arguments)) {
            return result.toTensor((PtNDManager) manager);
        }
    }

    /** Runs a function that returns a list or a tuple of tensors. */
    public NDList tensors(NDManager manager, String function, Object... arguments) {
        try (IValue result = call(function, arguments)) {
            if (result.isTensorList()) {
                return new NDList(result.toTensorArray((PtNDManager) manager));
            }
            NDList list = new NDList();
            for (IValue element : result.toIValueTuple()) {
                try (element) {
                    list.add(element.toTensor((PtNDManager) manager));
                }
            }
            return list;
        }
    }

    /** Runs a function that returns one integer. */
    public long integer(String function, Object... arguments) {
        try (IValue result = call(function, arguments)) {
            return result.toLong();
        }
    }

    /** Runs a function that returns one number. */
    public double number(String function, Object... arguments) {
        try (IValue result = call(function, arguments)) {
            return result.toDouble();
        }
    }

    /** Runs a function for what it does to its arguments; what it returns is dropped. */
    public void run(String function, Object... arguments) {
        call(function, arguments).close();
    }

    /**
     * Eager operators in a thread from its first call on: libtorch keeps this choice for each thread. The optimizing
     * executor is slow at first and may round otherwise, so that a run's bits would depend on its thread.
     */
    private static final ThreadLocal<Boolean> EAGER = ThreadLocal.withInitial(() -> {
        JniUtils.setGraphExecutorOptimize(false);
        return true;
    });

    private IValue call(String function, Object... arguments) {
        EAGER.get();
        IValue[] values = new IValue[arguments.length];
        try {
            for (int i = 0; i < arguments.length; i++) {
                values[i] = value(function, i, arguments[i]);
            }
            return ModuleMethods.run(module, function, values);
        } finally {
            for (int i = 0; i < values.length; i++) {
                if (values[i] != null && !(arguments[i] instanceof TensorMap)) {
                    values[i].close();
                }
            }
        }
    }

    private IValue value(String function, int index, Object argument) {
        if (argument instanceof NDArray array) {
            return IValue.from((PtNDArray) array);
        } else if (argument instanceof List<?> list) {
            return IValue.listFrom(list.stream().map(PtNDArray.class::cast).toArray(PtNDArray[]::new));
        } else if (argument instanceof TensorMap map) {
            return map.value();
        } else if (argument instanceof Map<?, ?> map) {
            return TensorMap.value(map);
        } else if (argument instanceof Long || argument instanceof Integer) {
            return IValue.from(((Number) argument).longValue());
        } else if (argument instanceof Double || argument instanceof Float) {
            return IValue.from(((Number) argument).doubleValue());
        } else if (argument instanceof Boolean flag) {
            return IValue.from(flag);
        } else if (argument instanceof long[] longs) {
            return IValue.listFrom(longs);
        } else if (argument instanceof double[] doubles) {
            return IValue.listFrom(doubles);
        } else if (argument instanceof String text) {
            return IValue.from(text);
        }
        throw new IllegalArgumentException("argument " + index + " of " + function + " in " + name
                + " has no TorchScript type: " + (argument == null ? "null" : argument.getClass()));
    }
}

package io.github.qlora4j.trainer.optim;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;

/** Takes a mapping down at once: Java 17 has no public call for it and would wait for a garbage collection. */
final class Unmapping {

    private static final MethodHandle INVOKE_CLEANER = find();

    private Unmapping() {}

    /** Unmaps what {@code FileChannel.map} returned; no one may touch its memory afterwards. */
    static void unmap(ByteBuffer mapped) {
        if (INVOKE_CLEANER == null) {
            return; // the garbage collector will
        }
        try {
            INVOKE_CLEANER.invoke(mapped);
        } catch (Throwable e) {
            throw new IllegalStateException("a mapped buffer could not be released", e);
        }
    }

    private static MethodHandle find() {
        try {
            Class<?> unsafe = Class.forName("sun.misc.Unsafe");
            Field instance = unsafe.getDeclaredField("theUnsafe");
            instance.setAccessible(true);
            MethodType type = MethodType.methodType(void.class, ByteBuffer.class);
            return MethodHandles.lookup()
                    .findVirtual(unsafe, "invokeCleaner", type)
                    .bindTo(instance.get(null));
        } catch (ReflectiveOperationException | RuntimeException e) {
            return null;
        }
    }
}

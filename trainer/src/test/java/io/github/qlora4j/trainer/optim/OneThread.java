package io.github.qlora4j.trainer.optim;

import io.github.qlora4j.quant.torch.Torch;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/** Runs a class's tests on one thread of the engine, as the golden values were made, and without waiting for others. */
final class OneThread implements BeforeAllCallback, AfterAllCallback {

    private int before;

    @Override
    public void beforeAll(ExtensionContext context) {
        before = Torch.threads();
        Torch.setThreads(1);
    }

    @Override
    public void afterAll(ExtensionContext context) {
        Torch.setThreads(before);
    }
}

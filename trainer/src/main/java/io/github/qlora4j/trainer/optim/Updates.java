package io.github.qlora4j.trainer.optim;

import io.github.qlora4j.quant.torch.TorchScript;

/** The operators of this package, compiled on first use. */
final class Updates {

    /** {@code updates.py}: each function there names the source of its formula. */
    static final TorchScript SCRIPT = TorchScript.load(Updates.class, "updates.py");

    private Updates() {}
}

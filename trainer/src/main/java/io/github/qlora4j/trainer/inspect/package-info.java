/** What a model, an adapter or a run's directory holds, as its files say it; nothing is loaded whole. */
package io.github.qlora4j.trainer.inspect;

package io.github.qlora4j.trainer.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/** What every verb has: its streams, and {@code --help}. */
@Command(
        mixinStandardHelpOptions = true,
        versionProvider = Version.class,
        usageHelpWidth = 100,
        sortOptions = false,
        descriptionHeading = "%n",
        parameterListHeading = "%n",
        optionListHeading = "%n",
        footerHeading = "%n")
abstract class Verb implements Callable<Integer> {
    private Terminal terminal;
    private Output output;

    /** Called once, before the verb runs. */
    final void attach(Terminal terminal, Output output) {
        this.terminal = terminal;
        this.output = output;
    }

    /** Where results go. */
    final Output out() {
        return output;
    }

    /** Where messages and the progress bar go. */
    final Terminal terminal() {
        return terminal;
    }

    /** Writes a message to stderr. */
    final void say(String message) {
        terminal.stream().println(message);
    }

    /** Does the work and returns the exit code; what it throws is told by {@link Failures}. */
    @Override
    public abstract Integer call() throws Exception;
}

package io.github.qlora4j.trainer.config;

import io.github.qlora4j.quant.QloraException;
import java.util.List;
import java.util.stream.Collectors;

/** A configuration that cannot be used; the message names every problem, one a line. */
public final class ConfigException extends QloraException {

    private static final int SHOWN = 50;

    private final transient List<Problem> problems;

    /** Makes an error of one or more problems. */
    public ConfigException(List<Problem> problems) {
        super(message(problems));
        this.problems = List.copyOf(problems);
    }

    /** The problems, in the order of the file. */
    public List<Problem> problems() {
        return problems;
    }

    private static String message(List<Problem> problems) {
        String lines = problems.stream().limit(SHOWN).map(Problem::toString).collect(Collectors.joining("\n"));
        return problems.size() <= SHOWN ? lines : lines + "\n… and " + (problems.size() - SHOWN) + " more problems";
    }
}

package io.github.qlora4j.trainer.cli;

/**
 * Log lines of the command line: one line each, to stderr, warnings and worse unless {@code --verbose}.
 *
 * <p>Set by properties before the first logger is made, so a program that embeds qlora4j keeps its own set-up, and a
 * user's own {@code -Dlog4j2.configurationFile} wins here too.
 */
final class CliLogging {
    private CliLogging() {}

    static void configure(boolean verbose) {
        setIfAbsent("log4j2.configurationFile", "classpath:io/github/qlora4j/trainer/cli/log4j2-cli.xml");
        setIfAbsent("log4j2.statusLoggerLevel", "ERROR");
        setIfAbsent("qlora4j.log.level", verbose ? "debug" : "info");
        setIfAbsent("qlora4j.log.others", verbose ? "info" : "error");
        setIfAbsent("qlora4j.log.trace", verbose ? "full" : "none");
    }

    private static void setIfAbsent(String key, String value) {
        if (System.getProperty(key) == null) {
            System.setProperty(key, value);
        }
    }
}

/**
 * The command line: one class a verb, each of which reads its flags and hands on to the package that does the work.
 *
 * <p>Results go to stdout, everything else to stderr. {@link io.github.qlora4j.trainer.cli.Main#run} turns what a verb
 * throws into one line and an exit code: 0 for success, 1 for a failure, 2 for wrong use, which a mistake in a
 * configuration file is too. A stack trace is shown with {@code --verbose} alone.
 */
package io.github.qlora4j.trainer.cli;

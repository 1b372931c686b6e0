package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.internal.FileNames;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import picocli.AutoComplete.GenerateCompletion;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.PositionalParamSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.TypeConversionException;

/**
 * The entry point of {@code qlora VERB ...}.
 *
 * <p>{@link #run} is the whole program but for the exit: it takes its streams and gives back the exit code, so that a
 * test or another program can call it.
 */
@Command(
        name = "qlora",
        mixinStandardHelpOptions = true,
        versionProvider = Version.class,
        description = "Fine-tunes language models with QLoRA: a frozen 4-bit base, small trained adapters.",
        subcommands = {HelpCommand.class},
        synopsisSubcommandLabel = "VERB",
        commandListHeading = "%nVerbs:%n",
        footer = {
            "",
            "'qlora VERB --help' explains a verb. Messages go to stderr, results to stdout.",
            "Exit codes: 0 done, 1 failed, 2 wrong use."
        })
public final class Main {
    /** Exit code of a command that did what it was asked. */
    public static final int OK = 0;
    /** Exit code of a command that could not do what it was asked. */
    public static final int FAILED = 1;
    /** Exit code of a command that was called, or configured, wrongly. */
    public static final int WRONG_USE = 2;

    @Option(
            names = "--verbose",
            scope = ScopeType.INHERIT,
            description = "Show more log lines, and the stack trace of an error.")
    private boolean verbose;

    private Main() {}

    /**
     * Runs a command and ends the process with its exit code.
     *
     * @param args the verb and its arguments
     */
    public static void main(String[] args) {
        boolean verbose = List.of(args).contains("--verbose");
        Terminal terminal = Terminal.ofProcess();
        System.setErr(terminal.stream());
        CliLogging.configure(verbose);
        System.exit(run(args, new FileOutputStream(FileDescriptor.out), terminal));
    }

    /**
     * Runs a command with its output captured.
     *
     * @param args the verb and its arguments
     * @param out where results go; flushed, not closed
     * @param err where messages go; flushed, not closed
     * @return the exit code: {@link #OK}, {@link #FAILED} or {@link #WRONG_USE}
     */
    public static int run(String[] args, OutputStream out, OutputStream err) {
        return run(args, out, Terminal.plain(new PrintStream(err, true, StandardCharsets.UTF_8)));
    }

    private static int run(String[] args, OutputStream out, Terminal terminal) {
        Output output = Output.to(out);
        Main main = new Main();
        Failures failures =
                new Failures(terminal, () -> main.verbose || List.of(args).contains("--verbose"));
        try {
            CommandLine line = commandLine(main, new Verbs(terminal, output));
            // picocli prints a stack trace of its own where a stream fails under it: it writes to memory.
            StringWriter help = new StringWriter();
            line.setOut(new PrintWriter(help)).setErr(terminal.writer());
            line.setParameterExceptionHandler(failures::wrongUse);
            line.setExecutionExceptionHandler((problem, ignored, ignoredToo) -> failures.failed(problem));
            int code = line.execute(args);
            output.print(help);
            output.flush();
            return code;
        } catch (Output.Lost | Error end) {
            return failures.failed(end);
        }
    }

    /** The command with all its verbs, for completion scripts and documentation too. */
    static CommandLine commandLine(Main main, Verbs verbs) {
        CommandLine line = new CommandLine(main, verbs);
        for (Class<? extends Verb> verb : Verbs.ALL) {
            line.addSubcommand(verb);
        }
        CommandLine completion = new CommandLine(new GenerateCompletion());
        completion.getCommandSpec().name("completion");
        line.addSubcommand("completion", completion);
        speakOfVerbs(line.getSubcommands().get("help").getCommandSpec());
        line.registerConverter(Path.class, Main::path);
        line.setCaseInsensitiveEnumValuesAllowed(true);
        line.setOptionsCaseInsensitive(false);
        line.setAbbreviatedOptionsAllowed(false);
        line.setUsageHelpAutoWidth(false);
        line.setUsageHelpWidth(100);
        return line;
    }

    /** picocli's own verb speaks of commands. */
    private static void speakOfVerbs(CommandSpec help) {
        help.usageMessage().header("Explains a verb.").description("%nWithout a VERB, all verbs are listed.%n");
        PositionalParamSpec verb = help.positionalParameters().get(0);
        help.remove(verb);
        help.addPositional(PositionalParamSpec.builder(verb)
                .paramLabel("VERB")
                .description("What to explain.")
                .build());
    }

    /** The name of a file or directory that somebody may have. */
    private static Path path(String word) {
        if (word.isEmpty()) {
            throw new TypeConversionException("expected a path; got nothing");
        }
        FileNames.tooLong(word).ifPresent(why -> {
            throw new TypeConversionException(why);
        });
        try {
            return Path.of(word);
        } catch (InvalidPathException e) {
            throw new TypeConversionException("not a path: " + FileNames.reason(e));
        }
    }
}

package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.internal.Nearest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import picocli.CommandLine;
import picocli.CommandLine.MissingParameterException;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;

/** What is wrong with a command line, in this program's words where picocli's are of subcommands and indexes. */
final class Misuse {

    /** {@code Invalid value for option '--threads': …} and {@code … for positional parameter at index 0 (PATH): …}. */
    private static final Pattern INVALID = Pattern.compile(
            "^Invalid value for (?:option '([^']+)'(?: \\(.*?\\))?|positional parameter at index \\S+ \\((.*?)\\)): ");

    /** {@code expected one of [AUTO, FLOAT32] (case-insensitive) but was 'x'}. */
    private static final Pattern CHOICE =
            Pattern.compile("expected one of \\[([^\\]]*)] \\(case-\\w+\\) but was '(.*)'", Pattern.DOTALL);

    private Misuse() {}

    /** In one line, which may have anything in it that stands on the command line. */
    static String describe(ParameterException problem, String... words) {
        CommandLine command = problem.getCommandLine();
        // picocli begins some of its messages with the word itself
        String message = problem.getMessage().replaceFirst("^Error: ", "");
        if (problem instanceof UnmatchedArgumentException unmatched) {
            return unknown(command, unmatched.getUnmatched().get(0));
        } else if (problem instanceof MissingParameterException missing && message.startsWith("Missing required")) {
            // an option that is missing because it is misspelt
            return Arrays.stream(words)
                    .map(word -> word.split("=", 2)[0])
                    .filter(word -> word.matches("--.+") && !options(command).contains(word))
                    .findFirst()
                    .map(word -> unknownOption(command, word))
                    .orElseGet(() -> command.getCommandName() + " needs "
                            + missing.getMissing().stream().map(Misuse::shown).collect(Collectors.joining(" and ")));
        } else if (message.startsWith("Missing required subcommand")) {
            return "which verb? They are " + String.join(", ", verbs(command));
        } else if (message.startsWith("Unknown subcommand")) {
            return unknownVerb(main(command), problem.getValue());
        }
        String named = INVALID.matcher(message).replaceFirst("$1$2: ");
        Matcher choice = CHOICE.matcher(named);
        return choice.find() ? choice.replaceFirst(Matcher.quoteReplacement(choice(choice))) : named;
    }

    private static String choice(MatchResult found) {
        String values = found.group(1).toLowerCase(Locale.ROOT);
        return "expected one of " + values + "; got \"" + found.group(2) + "\""
                + Nearest.hint(found.group(2), List.of(values.split(", ")));
    }

    private static String unknown(CommandLine command, String word) {
        if (word.length() > 1 && word.startsWith("-")) {
            return unknownOption(command, word.split("=", 2)[0]);
        } else if (command.getSubcommands().isEmpty()) {
            return command.getCommandName() + ": \"" + word + "\" belongs to no option";
        }
        return unknownVerb(command, word);
    }

    private static String unknownVerb(CommandLine main, String word) {
        List<String> verbs = verbs(main);
        return "no verb is called \"" + word + "\""
                + Nearest.of(word, verbs)
                        .map(near -> "; did you mean " + near + "?")
                        .orElse("; the verbs are " + String.join(", ", verbs));
    }

    private static String unknownOption(CommandLine command, String word) {
        Set<String> known = options(command);
        return command.getCommandName() + " has no option " + word
                + Nearest.of(word, known)
                        .map(near -> "; did you mean " + near + "?")
                        .or(() -> others(command, word))
                        .orElse("; it has " + String.join(", ", known));
    }

    /** The verbs that do have the option. */
    private static Optional<String> others(CommandLine command, String word) {
        List<String> have = main(command).getSubcommands().entrySet().stream()
                .filter(verb -> options(verb.getValue()).contains(word))
                .map(Map.Entry::getKey)
                .toList();
        return have.isEmpty() ? Optional.empty() : Optional.of(", which is one of " + String.join(", ", have));
    }

    /** All that a user may write, long names only. */
    private static Set<String> options(CommandLine command) {
        Set<String> names = new LinkedHashSet<>();
        for (OptionSpec option : command.getCommandSpec().options()) {
            if (!option.hidden()) {
                names.add(option.longestName());
            }
        }
        names.addAll(command.getCommandSpec().negatedOptionsMap().keySet());
        return names;
    }

    private static CommandLine main(CommandLine command) {
        return command.getParent() == null ? command : command.getParent();
    }

    private static List<String> verbs(CommandLine main) {
        return new ArrayList<>(main.getSubcommands().keySet());
    }

    private static String shown(ArgSpec missing) {
        return missing instanceof OptionSpec option
                ? option.longestName() + " " + option.paramLabel()
                : missing.paramLabel();
    }
}

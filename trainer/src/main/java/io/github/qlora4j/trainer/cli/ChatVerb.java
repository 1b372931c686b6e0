package io.github.qlora4j.trainer.cli;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.Reason;
import io.github.qlora4j.trainer.generate.Conversation;
import io.github.qlora4j.trainer.generate.LanguageModel;
import io.github.qlora4j.trainer.generate.Sampling;
import java.io.BufferedReader;
import java.io.Console;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code chat}: a conversation, a line a question. */
@Command(
        name = "chat",
        description =
                "Answers line by line, each answer with all turns before it in view. /clear forgets them, /exit or"
                        + " Ctrl-D ends.",
        footer = {"Example:", "  qlora chat --adapter runs/llama"})
final class ChatVerb extends Verb {
    @Mixin
    private ModelOptions model;

    @Mixin
    private SamplingOptions choice;

    @Override
    public Integer call() {
        Sampling sampling = choice.sampling();
        int limit = choice.maxNewTokens();
        boolean asked = isTerminal(System.console());
        // what is typed comes as the terminal sends it, what is piped as files are written
        Charset charset = asked ? System.console().charset() : StandardCharsets.UTF_8;
        try (LanguageModel language = model.open(choice.template);
                Conversation conversation = language.newConversation(sampling, limit)) {
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in, charset));
            if (asked) {
                say("/clear forgets the conversation, /exit or Ctrl-D ends it");
            }
            for (String line = next(in, asked); line != null; line = next(in, asked)) {
                switch (line.strip()) {
                    case "" -> {}
                    case "/exit" -> {
                        return Main.OK;
                    }
                    case "/clear" -> conversation.clear();
                    default -> answer(conversation, line);
                }
            }
        }
        return Main.OK;
    }

    /** Whether somebody types. From Java 22 on there is a console over a pipe too, and {@code isTerminal} tells. */
    private static boolean isTerminal(Console console) {
        if (console == null) {
            return false;
        }
        try {
            return (boolean) Console.class.getMethod("isTerminal").invoke(console);
        } catch (ReflectiveOperationException e) {
            return true;
        }
    }

    private String next(BufferedReader in, boolean asked) {
        if (asked) {
            out().print("> ");
            out().flush();
        }
        try {
            return in.readLine();
        } catch (IOException e) {
            throw new QloraException("standard input cannot be read: " + Reason.of(e), e);
        }
    }

    private void answer(Conversation conversation, String question) {
        conversation.ask(question, piece -> {
            out().print(piece);
            out().flush();
        });
        out().println();
        out().flush();
    }
}

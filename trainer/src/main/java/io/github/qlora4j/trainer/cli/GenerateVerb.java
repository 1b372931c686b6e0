package io.github.qlora4j.trainer.cli;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.FieldNames;
import io.github.qlora4j.trainer.data.JsonObjects;
import io.github.qlora4j.trainer.data.Row;
import io.github.qlora4j.trainer.generate.LanguageModel;
import io.github.qlora4j.trainer.generate.Prompt;
import io.github.qlora4j.trainer.generate.Reply;
import io.github.qlora4j.trainer.generate.Sampling;
import io.github.qlora4j.trainer.report.Rss;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code generate}: the answer to a prompt, or to each row of a file. */
@Command(
        name = "generate",
        description = "Goes on from a prompt, with a KV cache, a token at a time. With a template (--template, or the"
                + " run's) the prompt is an instruction; without one it is continued as it is.",
        footer = {
            "Examples:",
            "  qlora generate --adapter runs/llama --prompt \"Name three colours.\"",
            "  qlora generate --adapter runs/llama --data questions.json --output answers.json",
            "",
            "--json prints {text, output_ids, new_tokens, tokens_per_second, peak_rss_bytes}:",
            "output_ids are without the prompt, and with the stop token that ended them;",
            "tokens_per_second is without the prompt's own pass."
        })
final class GenerateVerb extends Verb {
    private static final Gson GSON =
            new GsonBuilder().disableHtmlEscaping().serializeNulls().create();

    @Mixin
    private ModelOptions model;

    @Option(names = "--prompt", paramLabel = "TEXT", description = "What to answer or continue.")
    private String prompt;

    @Option(names = "--input-ids", paramLabel = "IDS", description = "Token ids, 1,2,3, in place of a prompt.")
    private String inputIds;

    @Option(
            names = "--data",
            paramLabel = "FILE",
            description = "Rows to answer, JSONL or a JSON array, through the template; without one, rows have text.")
    private Path data;

    @Option(
            names = "--output",
            paramLabel = "FILE",
            description = "Where --data's rows go with \"generated\" added: a JSON array where the name ends in .json,"
                    + " else JSONL.")
    private Path output;

    @Option(
            names = "--batch-size",
            paramLabel = "N",
            description =
                    "Rows of --data that are answered together; 1 is the default. More are faster, and take a cache each.")
    private Integer batchSize;

    @Mixin
    private SamplingOptions choice;

    @Option(names = "--json", description = "One JSON object.")
    private boolean json;

    @Override
    public Integer call() {
        if (Stream.of(prompt, inputIds, data).filter(given -> given != null).count() != 1) {
            throw new WrongUse("give one of --prompt TEXT, --input-ids IDS and --data FILE");
        }
        if ((data == null) != (output == null)) {
            throw new WrongUse("--data and --output go together");
        }
        if (data != null && json) {
            throw new WrongUse("--json is for one prompt; --output has JSON already");
        }
        if (batchSize != null && (data == null || batchSize < 1)) {
            throw new WrongUse("--batch-size is for --data, and at least 1");
        }
        Sampling sampling = choice.sampling();
        int limit = choice.maxNewTokens();
        int[] ids = inputIds == null ? null : ids();
        List<JsonObjects> rows = data == null ? List.of() : JsonObjects.read(data);
        try (LanguageModel language = model.open(choice.template)) {
            if (data != null) {
                many(language, rows, sampling, limit);
            } else {
                one(language, ids == null ? language.prompt(prompt) : new Prompt.Tokens(ids), sampling, limit);
            }
        }
        return Main.OK;
    }

    private int[] ids() {
        try {
            return Arrays.stream(inputIds.strip().split("[,\\s]+"))
                    .mapToInt(Integer::parseInt)
                    .toArray();
        } catch (NumberFormatException e) {
            throw new WrongUse("--input-ids is \"" + inputIds + "\"; whole numbers with commas between are expected");
        }
    }

    private void one(LanguageModel language, Prompt from, Sampling sampling, int limit) {
        if (json) {
            Reply reply = language.generate(from, sampling, limit, piece -> {});
            JsonArray tokens = new JsonArray();
            Arrays.stream(reply.outputIds()).forEach(tokens::add);
            JsonObject object = new JsonObject();
            object.addProperty("text", reply.text());
            object.add("output_ids", tokens);
            object.addProperty("new_tokens", tokens.size());
            object.addProperty("tokens_per_second", reply.tokensPerSecond());
            object.addProperty("peak_rss_bytes", Rss.peakBytes());
            out().println(GSON.toJson(object));
            return;
        }
        Reply reply = language.generate(from, sampling, limit, piece -> {
            out().print(piece);
            out().flush();
        });
        if (language.tokenizer().isEmpty()) {
            say("the model has no tokenizer.json: these are token ids");
            out().print(Arrays.stream(reply.outputIds())
                    .mapToObj(Integer::toString)
                    .collect(Collectors.joining(",")));
        }
        out().println();
        if (!reply.stopped()) {
            say("stopped after " + limit + " tokens; --max-new-tokens allows more");
        }
    }

    private void many(LanguageModel language, List<JsonObjects> rows, Sampling sampling, int limit) {
        FieldNames fields = language.run().map(r -> r.data().fields()).orElse(FieldNames.DEFAULT);
        List<Prompt> prompts = new ArrayList<>();
        for (JsonObjects row : rows) {
            prompts.add(
                    language.hasTemplate()
                            ? new Prompt.Question(Row.Instruction.question(
                                    row.text(fields.instruction()),
                                    row.textOrEmpty(fields.input()),
                                    history(row, fields.history())))
                            : new Prompt.Text(row.text(fields.text())));
        }
        int together = batchSize == null ? 1 : batchSize;
        try (RowsOut out = new RowsOut(output)) {
            for (int first = 0; first < rows.size(); first += together) {
                int end = Math.min(rows.size(), first + together);
                terminal().live("answering row " + end + " of " + rows.size());
                List<Reply> replies = answers(language, prompts.subList(first, end), rows.get(first), sampling, limit);
                for (int i = first; i < end; i++) {
                    JsonObject answered = rows.get(i).value().deepCopy();
                    answered.addProperty("generated", replies.get(i - first).text());
                    out.write(answered);
                }
            }
            out.finish();
        } finally {
            terminal().live("");
        }
        say(rows.size() + " rows answered: " + output);
    }

    private static List<Reply> answers(
            LanguageModel language, List<Prompt> prompts, JsonObjects first, Sampling sampling, int limit) {
        try {
            return language.generateEach(prompts, sampling, limit);
        } catch (QloraException e) {
            throw new QloraException(
                    first.place() + (prompts.size() > 1 ? " or a row behind it: " : ": ") + e.getMessage(), e);
        }
    }

    private static List<Row.Turn> history(JsonObjects row, String field) {
        JsonElement value = row.value().get(field);
        List<Row.Turn> history = new ArrayList<>();
        if (value == null || value.isJsonNull()) {
            return history;
        }
        String expected = "expected a list of [question, answer] pairs of texts";
        if (!(value instanceof JsonArray turns)) {
            throw row.wrong(field, expected);
        }
        for (JsonElement turn : turns) {
            if (!(turn instanceof JsonArray pair) || pair.size() != 2 || !isText(pair.get(0)) || !isText(pair.get(1))) {
                throw row.wrong(field, expected);
            }
            history.add(new Row.Turn(pair.get(0).getAsString(), pair.get(1).getAsString()));
        }
        return history;
    }

    private static boolean isText(JsonElement value) {
        return value.isJsonPrimitive() && value.getAsJsonPrimitive().isString();
    }
}

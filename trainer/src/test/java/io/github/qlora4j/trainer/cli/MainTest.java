package io.github.qlora4j.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.List;
import org.junit.jupiter.api.Test;

class MainTest {

    private static final String END = System.lineSeparator();

    @Test
    void help_listsTheVerbsOnStdout() {
        Ran ran = Ran.qlora("--help");
        assertThat(ran.code()).isZero();
        assertThat(ran.out()).contains("Usage: qlora", "VERB", "completion");
        assertThat(ran.err()).isEmpty();
    }

    @Test
    void help_speaksOfVerbs() {
        Ran ran = Ran.qlora("help", "--help");
        assertThat(ran.code()).isZero();
        assertThat(ran.out()).contains("Usage: qlora help", "[VERB]").doesNotContain("COMMAND");
        assertThat(Ran.qlora("help", "merge").out())
                .isEqualTo(Ran.qlora("merge", "--help").out());
    }

    @Test
    void version_namesWhatThisWasBuiltWith() {
        Ran ran = Ran.qlora("--version");
        assertThat(ran.code()).isZero();
        assertThat(ran.out()).contains("qlora4j 0.", "PyTorch 2.").doesNotContain("${");
    }

    @Test
    void everyVerb_hasHelp() {
        for (String verb : Ran.verbs()) {
            Ran ran = Ran.qlora(verb, "--help");
            assertThat(ran.code()).as(verb).isZero();
            assertThat(ran.out()).as(verb).contains("Usage: qlora " + verb);
        }
    }

    @Test
    void noVerb_isWrongUse() {
        Ran ran = Ran.qlora();
        assertThat(ran.code()).isEqualTo(2);
        assertThat(ran.err())
                .contains("error: which verb? They are ", "train, plan")
                .contains("Try 'qlora --help'");
        assertThat(ran.out()).isEmpty();
    }

    @Test
    void unknownVerb_isWrongUse_andTheNearestIsNamed() {
        Ran ran = Ran.qlora("complation");
        assertThat(ran.code()).isEqualTo(2);
        assertThat(ran.err())
                .isEqualTo("error: no verb is called \"complation\"; did you mean completion?" + END
                        + "Try 'qlora --help'." + END);
        assertThat(ran.out()).isEmpty();
    }

    @Test
    void verbLikeNoOther_isAnsweredWithAll() {
        for (String[] words : new String[][] {{"finetune", "run.yaml"}, {"help", "finetune"}}) {
            Ran ran = Ran.qlora(words);
            assertThat(ran.code()).isEqualTo(2);
            assertThat(ran.err())
                    .startsWith("error: no verb is called \"finetune\"; the verbs are ")
                    .contains("train, plan, preview")
                    .doesNotContain("subcommand");
        }
    }

    @Test
    void unknownOption_isWrongUse_andHasAHint() {
        unknownOption("quantize has no option --methud; did you mean --method?", "quantize", "--methud", "awq");
        unknownOption(
                "generate has no option --max_new_token; did you mean --max-new-tokens?",
                "generate",
                "--max_new_token=3");
        unknownOption("quantize has no option --rounds, which is one of bench", "quantize", "--rounds", "3");
        unknownOption(
                "quantize has no option --scheme; it has --model, --output, --method, ", "quantize", "--scheme=nf4");
        unknownOption("qlora has no option --vresion; did you mean --version?", "--vresion");
        unknownOption("inspect: \"b\" belongs to no option", "inspect", "a", "b");
    }

    private static void unknownOption(String message, String... words) {
        Ran ran = Ran.qlora(words);
        assertThat(ran.code()).as(message).isEqualTo(2);
        assertThat(ran.err())
                .startsWith("error: " + message)
                .contains(END + "Try 'qlora")
                .doesNotContain("Unknown");
        assertThat(ran.out()).isEmpty();
    }

    @Test
    void missingOptions_areNamedWithWhatTheyTake() {
        assertThat(Ran.qlora("quantize").err()).startsWith("error: quantize needs --model DIR and --output DIR" + END);
        assertThat(Ran.qlora("train").err()).startsWith("error: train needs CONFIG" + END);
    }

    @Test
    void pathThatNoFileCanHave_isWrongUseInALine() {
        for (String path : List.of("(".repeat(50_002), "models/" + "x".repeat(256), "")) {
            for (String[] words : new String[][] {
                {"inspect", path}, {"train", path}, {"quantize", "--output", path}, {"score", "--model", path}
            }) {
                Ran ran = Ran.qlora(words);
                assertThat(ran.code()).as(words[0]).isEqualTo(2);
                assertThat(ran.err())
                        .contains(path.isEmpty() ? "expected a path; got nothing" : " has at most ")
                        .contains("error: " + named(words))
                        .hasSizeLessThan(300);
            }
        }
    }

    private static String named(String... words) {
        return switch (words[0]) {
            case "inspect" -> "PATH: ";
            case "train" -> "CONFIG: ";
            default -> words[1] + ": ";
        };
    }

    @Test
    void valueThatCannotBeRead_isToldByItsOption() {
        assertThat(Ran.qlora("chat", "--threads", "many").err()).startsWith("error: --threads: 'many' is not an int");
        assertThat(Ran.qlora("chat", "--dtype", "float23").err())
                .startsWith("error: --dtype: expected one of auto, float32, bfloat16, float16; got \"float23\";"
                        + " did you mean float32?" + END);
    }

    @Test
    void oddWords_doNotReachTheTerminal() {
        Ran ran = Ran.qlora("inspect", "a", "\u001b[31m" + "x".repeat(5000));
        assertThat(ran.err()).contains("\\u001b[31mxxx").hasSizeLessThan(400).doesNotContain("\u001b");
    }

    @Test
    void completion_isAScriptForTheShell() {
        Ran ran = Ran.qlora("completion");
        assertThat(ran.code()).isZero();
        assertThat(ran.out()).contains("complete -F").contains("qlora");
    }

    @Test
    void outputThatCannotBeWritten_isAFailureThatSaysWhy() {
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        int code = Main.run(new String[] {"--help"}, failing("No space left on device"), err);
        assertThat(code).isEqualTo(1);
        assertThat(err.toString()).contains("cannot write to standard output: No space left on device");
    }

    @Test
    void readerThatWentAway_endsTheCommandQuietly() {
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        int code = Main.run(new String[] {"--help"}, failing("Broken pipe"), err);
        assertThat(code).isEqualTo(1);
        assertThat(err.toString()).isEmpty();
    }

    private static OutputStream failing(String reason) {
        return new OutputStream() {
            @Override
            public void write(int b) throws IOException {
                throw new IOException(reason);
            }
        };
    }
}

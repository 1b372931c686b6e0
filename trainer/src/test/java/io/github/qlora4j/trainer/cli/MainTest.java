package io.github.qlora4j.trainer.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import org.junit.jupiter.api.Test;

class MainTest {

    @Test
    void help_listsTheVerbsOnStdout() {
        Ran ran = Ran.qlora("--help");
        assertThat(ran.code()).isZero();
        assertThat(ran.out()).contains("Usage: qlora", "VERB", "completion");
        assertThat(ran.err()).isEmpty();
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
        assertThat(ran.err()).contains("Missing required subcommand").contains("Try 'qlora --help'");
        assertThat(ran.out()).isEmpty();
    }

    @Test
    void unknownVerb_isWrongUse_andTheNearestIsNamed() {
        Ran ran = Ran.qlora("complation");
        assertThat(ran.code()).isEqualTo(2);
        assertThat(ran.err()).contains("complation").contains("completion").doesNotContain("\tat ");
        assertThat(ran.out()).isEmpty();
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

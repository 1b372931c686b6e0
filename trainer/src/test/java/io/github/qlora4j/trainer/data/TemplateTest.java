package io.github.qlora4j.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.BuiltinTemplate;
import io.github.qlora4j.trainer.config.TemplateChoice;
import io.github.qlora4j.trainer.tokenizer.GoldenTexts;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TemplateTest {

    @Test
    void whiteSpaceIsPythons() {
        // [hex(c) for c in range(0x110000) if chr(c).isspace()] of Python 3.11
        int[] python = {
            0x9, 0xA, 0xB, 0xC, 0xD, 0x1C, 0x1D, 0x1E, 0x1F, 0x20, 0x85, 0xA0, 0x1680, 0x2000, 0x2001, 0x2002, 0x2003,
            0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000
        };
        assertThat(java.util.stream.IntStream.rangeClosed(0, 0xFFFF).filter(c -> PythonText.isSpace((char) c)))
                .containsExactly(java.util.Arrays.stream(python).boxed().toArray(Integer[]::new));
    }

    @Test
    void humanAssistantIsTheIssuesWording() {
        assertThat(Template.HUMAN_ASSISTANT.prompt("do it", "", List.of())).isEqualTo("Human: do it\n\nAssistant: ");
        assertThat(Template.HUMAN_ASSISTANT.prompt(" do it ", "with this\u3000", List.of()))
                .isEqualTo("Human:  do it \nwith this\n\nAssistant: ");
        assertThat(Template.HUMAN_ASSISTANT.prompt("", "", List.of())).isEqualTo("Human:\n\nAssistant: ");
    }

    @Test
    void ownTemplatesFillTheirFieldsOnce() {
        Template own = Template.of(new TemplateChoice.Custom(
                "Q: {instruction}{{x}}\nA:", "Q: {instruction} ({input})\nA:", null, " {output}."));
        assertThat(own.prompt("{input} {instruction}", "", List.of())).isEqualTo("Q: {input} {instruction}{x}\nA:");
        assertThat(own.prompt("1", "{output}", List.of())).isEqualTo("Q: 1 ({output})\nA:");
        assertThat(own.answer("$1 \\ {x}")).isEqualTo(" $1 \\ {x}.");
        assertThat(own.historyInPrompt()).isFalse();
        assertThat(own.definition())
                .isNotEqualTo(Template.of(new TemplateChoice.Custom(
                                "Q: {instruction}{{x}}\nA:", "Q: {instruction} ({input})\nA:", null, "{output}."))
                        .definition());
    }

    @Test
    void ownTemplatesMayWriteHistoryAsText() {
        List<Row.Turn> turns = List.of(new Row.Turn("1", "2"), new Row.Turn("3", "4"));
        Template before = new TextTemplate("own", "[{instruction}]", null, "<{instruction}|{output}>", "{output}");
        assertThat(before.prompt("5", "", turns)).isEqualTo("<1|2><3|4>[5]");
        Template inside =
                new TextTemplate("own", "sys {history}[{instruction}]", null, "<{instruction}|{output}>", "{output}");
        assertThat(inside.prompt("5", "", turns)).isEqualTo("sys <1|2><3|4>[5]");
        assertThat(inside.prompt("5", "", List.of())).isEqualTo("sys [5]");
    }

    @Test
    void mistakesInTemplatesAreNamed() {
        assertThatThrownBy(() -> new TextTemplate("own", "{instructoin}", null, null, "{output}"))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll("own", "\"prompt\"", "{instructoin}", "{instruction}");
        assertThatThrownBy(() -> new TextTemplate("own", "{instruction} {", null, null, "{output}"))
                .hasMessageContaining("single {");
        assertThatThrownBy(() -> new TextTemplate("own", "{instruction} }", null, null, "{output}"))
                .hasMessageContaining("single }");
        assertThatThrownBy(() -> new TextTemplate("own", "no field", null, null, "{output}"))
                .hasMessageContaining("\"prompt\" must have {instruction}");
        assertThatThrownBy(() -> new TextTemplate("own", "{instruction}", "{input}", null, "{output}"))
                .hasMessageContaining("\"prompt_with_input\" must have {instruction}");
        assertThatThrownBy(() -> new TextTemplate("own", "{instruction}", null, null, "none"))
                .hasMessageContaining("{output}");
        assertThatThrownBy(() -> new TextTemplate("own", "{history}{instruction}", null, null, "{output}"))
                .hasMessageContaining("{history}");
    }

    @Test
    void promptsForGenerationAreThoseOfTraining() {
        try (Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory("spm"))) {
            RowEncoder.Settings settings = new RowEncoder.Settings(true, 1000, false, false);
            for (BuiltinTemplate name : BuiltinTemplate.values()) {
                RowEncoder encoder = new RowEncoder(tokenizer, Template.of(TemplateChoice.named(name)), settings);
                Row.Instruction row =
                        new Row.Instruction("the dog", "the door", "finds it", List.of(new Row.Turn("a", "b")));
                Example trained = encoder.encode(row).example();
                int[] prompt = encoder.prompt(Row.Instruction.question("the dog", "the door", row.history()));
                assertThat(trained.inputIds()).startsWith(prompt);
                assertThat(trained.labels()[prompt.length - 1]).isEqualTo(Example.MASKED);
                assertThat(trained.labels()[prompt.length]).isEqualTo(trained.inputIds()[prompt.length]);
                assertThat(prompt[0]).isEqualTo(tokenizer.requireBosId());
                assertThat(trained.labels()).endsWith(tokenizer.requireEosId());
            }
        }
    }

    @Test
    void earlierTurnsInThePromptAreOfThePrompt() {
        try (Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory("bytelevel"))) {
            Template own = new TextTemplate("own", "[{instruction}]", null, "<{instruction}|{output}>", "{output}");
            RowEncoder encoder = new RowEncoder(tokenizer, own, new RowEncoder.Settings(false, 1000, false, false));
            Row.Instruction row = new Row.Instruction("the dog", "", "finds", List.of(new Row.Turn("a", "b")));
            Example example = encoder.encode(row).example();
            assertThat(tokenizer.decode(example.inputIds(), false)).isEqualTo("<a|b>[the dog]finds</s>");
            int[] prompt = encoder.prompt(row);
            assertThat(tokenizer.decode(prompt, false)).isEqualTo("<a|b>[the dog]");
            assertThat(Arrays.copyOf(example.labels(), prompt.length)).containsOnly(Example.MASKED);
            assertThat(example.learned()).isEqualTo(example.length() - prompt.length);
        }
    }

    @Test
    void textBeginsWithBosWhereItIsAskedFor() {
        try (Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory("spm"))) {
            RowEncoder encoder =
                    new RowEncoder(tokenizer, Template.HUMAN_ASSISTANT, new RowEncoder.Settings(true, 2, false, false));
            Example example = encoder.encode(new Row.Text("the cook")).example();
            int[] prompt = encoder.prompt("the cook");
            assertThat(prompt).startsWith(tokenizer.requireBosId()).endsWith(tokenizer.encode("the cook"));
            assertThat(example.inputIds()).containsExactly(Arrays.copyOf(prompt, 2));
            assertThat(example.labels()[0]).isEqualTo(Example.MASKED);
        }
        assertThatThrownBy(() -> new RowEncoder.Settings(true, 1, false, false))
                .isInstanceOf(QloraException.class)
                .hasMessage("max_length must be >= 2: 1");
    }

    @Test
    void bosIsNeededWhereItIsAskedFor_andNowhereElse(@TempDir Path dir) throws IOException {
        Files.copy(GoldenTexts.directory("bytelevel").resolve("tokenizer.json"), dir.resolve("tokenizer.json"));
        try (Tokenizer tokenizer = Tokenizer.load(dir)) {
            assertThat(new RowEncoder(
                                    tokenizer,
                                    Template.HUMAN_ASSISTANT,
                                    new RowEncoder.Settings(false, 9, false, false))
                            .prompt("the cook"))
                    .isEqualTo(tokenizer.encode("the cook"));
            RowEncoder.Settings bos = new RowEncoder.Settings(true, 9, false, false);
            assertThatThrownBy(() -> new RowEncoder(tokenizer, Template.HUMAN_ASSISTANT, bos))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("bos_token");
        }
    }

    @Test
    void textIsLearnedFromItsSecondTokenToEos() {
        try (Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory("bytelevel"))) {
            RowEncoder encoder = new RowEncoder(
                    tokenizer, Template.HUMAN_ASSISTANT, new RowEncoder.Settings(false, 1000, false, false));
            Example example = encoder.encode(new Row.Text("the cook </s>")).example();
            int[] ids = tokenizer.encode("the cook </s>");
            assertThat(example.inputIds())
                    .startsWith(ids)
                    .hasSize(ids.length + 1)
                    .endsWith(502);
            assertThat(example.labels()).isEqualTo(example.inputIds());
            assertThat(example.learned()).isEqualTo(ids.length);
            RowEncoder ordinary = new RowEncoder(
                    tokenizer, Template.HUMAN_ASSISTANT, new RowEncoder.Settings(false, 1000, false, true));
            assertThat(ordinary.encode(new Row.Text("</s>")).example().inputIds())
                    .startsWith(tokenizer.encodeOrdinary("</s>"))
                    .hasSizeGreaterThan(3);
        }
    }
}

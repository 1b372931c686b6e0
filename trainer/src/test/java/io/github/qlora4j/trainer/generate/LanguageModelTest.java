package io.github.qlora4j.trainer.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ai.djl.inference.Predictor;
import ai.djl.translate.TranslateException;
import io.github.qlora4j.quant.FourBitConfig;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.data.Row;
import io.github.qlora4j.trainer.data.Template;
import io.github.qlora4j.trainer.model.BaseOptions;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The Java API, on a tiny model of random weights. */
class LanguageModelTest {

    private static final Path LLAMA = Path.of("src/test/resources/golden/models/llama");

    private static LanguageModel open() {
        return LanguageModel.builder()
                .setModel(LLAMA)
                .optBase(BaseOptions.unquantized(Dtype.FLOAT32))
                .optTemplate(Template.HUMAN_ASSISTANT)
                .build();
    }

    @Test
    void streamsTheVeryTextOfTheReply() {
        try (LanguageModel model = open()) {
            StringBuilder heard = new StringBuilder();
            Reply reply = model.generate(Prompt.question("ab"), Sampling.GREEDY, 30, heard::append);
            assertThat(heard).hasToString(reply.text());
            assertThat(reply.outputIds()).hasSize(30);
            assertThat(reply.text()).isEqualTo(model.requireTokenizer().decode(reply.outputIds(), true));
        }
    }

    // float32: rows side by side are summed in another order, far less than the gap between two tokens here
    @ParameterizedTest
    @ValueSource(strings = {"llama", "llama-gqa", "llama-rope-dynamic", "mistral", "qwen2-window"})
    void promptsTogetherGetTheAnswersThatEachGetsAlone(String name) {
        for (BaseOptions base : List.of(
                BaseOptions.unquantized(Dtype.FLOAT32),
                BaseOptions.fourBit(FourBitConfig.DEFAULT, Dtype.FLOAT32).withDtype(Dtype.FLOAT32))) {
            try (LanguageModel model = LanguageModel.builder()
                    .setModel(LLAMA.resolveSibling(name))
                    .optBase(base)
                    .build()) {
                List<Prompt.Tokens> prompts = List.of(
                        new Prompt.Tokens(new int[] {5, 9, 77, 23}),
                        new Prompt.Tokens(new int[] {8}),
                        new Prompt.Tokens(new int[] {4, 60, 31, 7, 9, 12, 80, 3, 66, 41}));
                for (Sampling sampling : List.of(Sampling.GREEDY, new Sampling(0.8, 20, 0.9, 1.2, 7))) {
                    List<Reply> together = model.generateEach(prompts, sampling, 40);

                    for (int i = 0; i < prompts.size(); i++) {
                        Reply alone = model.generate(prompts.get(i), sampling, 40, piece -> {});
                        assertThat(together.get(i).outputIds())
                                .as("%s %s row %d", name, sampling, i)
                                .isEqualTo(alone.outputIds());
                        assertThat(together.get(i).text()).isEqualTo(alone.text());
                    }
                }
            }
        }
    }

    @Test
    void aConversationAnswersAsTheWholePromptWould() {
        try (LanguageModel model = open();
                Conversation talk = model.newConversation(Sampling.GREEDY, 12)) {
            Reply first = talk.ask("ab", piece -> {});
            int kept = talk.cachedTokens();
            Reply second = talk.ask("cd", piece -> {});
            Prompt whole = Prompt.question("cd", "", List.of(new Row.Turn("ab", first.text())));
            assertThat(second.outputIds())
                    .isEqualTo(model.generate(whole, Sampling.GREEDY, 12, piece -> {})
                            .outputIds());
            assertThat(kept).isEqualTo(model.encode(Prompt.question("ab")).length + first.outputIds().length - 1);
            assertThat(talk.history()).hasSize(2);
            talk.clear();
            assertThat(talk.ask("ab", piece -> {}).outputIds()).isEqualTo(first.outputIds());
        }
    }

    @Test
    void aDjlPredictorGivesTheSameAnswer() throws TranslateException {
        try (LanguageModel model = open()) {
            String answer = model.generate(model.prompt("ab"), Sampling.GREEDY, 10, piece -> {})
                    .text();
            try (Predictor<String, String> predictor = model.newPredictor(Sampling.GREEDY, 10)) {
                assertThat(predictor.predict("ab")).isEqualTo(answer);
                assertThat(predictor.batchPredict(List.of("ab", "ab"))).containsExactly(answer, answer);
            }
            // the model outlives its predictor
            assertThat(model.generate(model.prompt("ab"), Sampling.GREEDY, 10, piece -> {})
                            .text())
                    .isEqualTo(answer);
        }
    }

    @Test
    void refusesWhatItCannotDo() {
        assertThatThrownBy(() -> LanguageModel.builder().build()).isInstanceOf(QloraException.class);
        assertThatThrownBy(() ->
                        LanguageModel.builder().setAdapter(Path.of("nowhere")).build())
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("nowhere");
        try (LanguageModel model = LanguageModel.open(ModelSource.ofModel(LLAMA))) {
            assertThatThrownBy(() -> model.generate(Prompt.question("ab"), Sampling.GREEDY, 1, piece -> {}))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("template");
            assertThatThrownBy(() -> model.generate(new Prompt.Tokens(new int[0]), Sampling.GREEDY, 1, piece -> {}))
                    .isInstanceOf(QloraException.class);
        }
    }
}

package io.github.qlora4j.trainer.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.BuiltinTemplate;
import io.github.qlora4j.trainer.config.DataFormat;
import io.github.qlora4j.trainer.config.DataSection;
import io.github.qlora4j.trainer.config.FieldNames;
import io.github.qlora4j.trainer.config.OnBadRow;
import io.github.qlora4j.trainer.config.TemplateChoice;
import io.github.qlora4j.trainer.tokenizer.GoldenTexts;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TrainingDataTest {

    private final Tokenizer tokenizer = Tokenizer.load(GoldenTexts.directory("spm"));

    @TempDir
    Path temp;

    @AfterEach
    void close() {
        tokenizer.close();
    }

    @Test
    void aConfigurationsRowsAreReadFromAllItsFiles() throws IOException {
        rows("b.jsonl", 3);
        rows("a.jsonl", 4);
        rows("eval.json", 2);
        TrainingData data =
                TrainingData.load(section(List.of(temp + "/?.jsonl"), List.of(temp + "/eval.json"), 0), 42, tokenizer);
        assertThat(data.train().size()).isEqualTo(7);
        assertThat(data.eval().orElseThrow().size()).isEqualTo(2);
        assertThat(data.trainReport()).isEqualTo(data.train().report());
        String first = tokenizer.decode(data.train().get(0).inputIds(), true);
        assertThat(first)
                .isEqualTo(
                        "Human: question 0 of a.jsonl\n\nAssistant:  answer 0"); // the answer, tokenized apart, has its
        // own space
        assertThat(temp.resolve("cache")).isDirectoryContaining("glob:**.tokens");
    }

    @Test
    void aShareOfTheRowsIsSetAside() throws IOException {
        rows("a.jsonl", 10);
        TrainingData data = TrainingData.load(section(List.of(temp + "/a.jsonl"), List.of(), 0.2), 42, tokenizer);
        assertThat(data.train().size()).isEqualTo(8);
        assertThat(data.eval().orElseThrow().size()).isEqualTo(2);
        assertThat(data.trainReport().rows()).isEqualTo(10);
        TrainingData all = TrainingData.load(section(List.of(temp + "/a.jsonl"), List.of(), 0), 42, tokenizer);
        assertThat(all.eval()).isEmpty();
        assertThat(all.train().size()).isEqualTo(10);
    }

    @Test
    void bothPartsOfASplitKeepTheOrderOfTheFiles() {
        Dataset all = Dataset.of(IntStream.range(0, 40)
                .mapToObj(i -> new Example(new int[] {i, i}, new int[] {i, i}))
                .toList());
        TrainingData parts = TrainingData.split(all, 0.5, 3, null);
        for (Dataset part : List.of(parts.train(), parts.eval().orElseThrow())) {
            assertThat(IntStream.range(0, part.size())
                            .map(r -> part.get(r).inputIds()[0])
                            .toArray())
                    .hasSize(20)
                    .isSorted();
        }
    }

    @Test
    void tokenizedRowsAreKeptBesideOtherCaches() {
        assertThat(TrainingData.defaultCache()).isAbsolute().endsWith(Path.of("qlora4j", "rows"));
    }

    @Test
    void anEvalFileAndAShareContradictEachOther() throws IOException {
        rows("a.jsonl", 10);
        DataSection both = section(List.of(temp + "/a.jsonl"), List.of(temp + "/a.jsonl"), 0.2);
        assertThatThrownBy(() -> TrainingData.load(both, 42, tokenizer))
                .isInstanceOf(QloraException.class)
                .hasMessageContainingAll("data.eval", "eval_fraction");
    }

    private DataSection section(List<String> train, List<String> eval, double fraction) {
        return new DataSection(
                train,
                eval,
                fraction,
                DataFormat.ALPACA,
                FieldNames.DEFAULT,
                TemplateChoice.named(BuiltinTemplate.HUMAN_ASSISTANT),
                false,
                100,
                true,
                false,
                false,
                OnBadRow.ERROR,
                temp.resolve("cache"));
    }

    private void rows(String name, int count) throws IOException {
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < count; i++) {
            lines.append("{\"instruction\": \"question ")
                    .append(i)
                    .append(" of ")
                    .append(name);
            lines.append("\", \"output\": \"answer ").append(i).append("\"}\n");
        }
        String text = lines.toString();
        Files.writeString(
                temp.resolve(name), name.endsWith(".json") ? "[" + text.strip().replace("\n", ",") + "]" : text);
    }
}

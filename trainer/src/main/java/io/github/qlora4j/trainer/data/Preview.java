package io.github.qlora4j.trainer.data;

import io.github.qlora4j.trainer.tokenizer.StreamingDecoder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * What the model is given of a row, token by token: learned and masked told apart.
 *
 * @param place where the row stands
 * @param tokens the row's tokens, cut to length
 * @param tokensCut how many were cut off
 * @param learned how many are learned; a row with none is left out of training
 */
public record Preview(RowPlace place, List<Token> tokens, int tokensCut, int learned) {

    /**
     * A token.
     *
     * @param id its id
     * @param text what it adds to the text; empty for a part of a character, which its last part shows
     * @param learned whether the loss counts it; never true for the first token of a row
     */
    public record Token(int id, String text, boolean learned) {}

    /**
     * The first rows of a source.
     *
     * @throws io.github.qlora4j.quant.QloraException if a file or row cannot be used
     */
    public static List<Preview> rows(DataSource source, RowEncoder encoder, int count) {
        List<Preview> previews = new ArrayList<>();
        RowFiles reader = new RowFiles(
                new RowFields(
                        source.format(), source.fields(), encoder.tokenizer().modelVocabSize()),
                source.onBadRow());
        for (Path file : FilePatterns.resolve(source.key(), source.files())) {
            if (previews.size() < count) {
                reader.read(file, (row, place) -> {
                    previews.add(of(place, Dataset.encode(encoder, row, place), encoder));
                    return previews.size() < count;
                });
            }
        }
        return previews;
    }

    private static Preview of(RowPlace place, RowEncoder.Encoded row, RowEncoder encoder) {
        StreamingDecoder decoder = encoder.tokenizer().streamingDecoder(false);
        Example example = row.example();
        List<Token> tokens = new ArrayList<>();
        for (int i = 0; i < example.length(); i++) {
            int id = example.inputIds()[i];
            String text = decoder.add(id) + (i == example.length() - 1 ? decoder.finish() : "");
            tokens.add(new Token(id, text, i > 0 && example.labels()[i] != Example.MASKED));
        }
        return new Preview(place, List.copyOf(tokens), row.fullLength() - example.length(), example.learned());
    }
}

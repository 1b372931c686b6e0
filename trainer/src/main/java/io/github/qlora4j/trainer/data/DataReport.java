package io.github.qlora4j.trainer.data;

import java.util.Locale;

/**
 * What became of the rows of a source.
 *
 * @param rowsRead rows in the files, bad ones included
 * @param badRows rows left out because they could not be used
 * @param nothingToLearn rows left out because nothing learned was left of them after cutting
 * @param answersCut rows kept whose answer was cut, so that they do not end with EOS
 * @param rows rows kept
 * @param tokens tokens of the rows kept
 * @param learnedTokens those of them that are learned
 * @param longest the most tokens of a row kept
 * @param firstBadRow what was wrong with the first bad row, or empty
 */
public record DataReport(
        long rowsRead,
        long badRows,
        long nothingToLearn,
        long answersCut,
        int rows,
        long tokens,
        long learnedTokens,
        int longest,
        String firstBadRow) {

    /** The mean number of tokens of a row kept. */
    public double meanLength() {
        return rows == 0 ? 0 : (double) tokens / rows;
    }

    /** One line for the user, such as {@code 998 rows of 1,000 (2 with nothing left to learn), …}. */
    public String summary() {
        StringBuilder text = new StringBuilder(String.format(Locale.ROOT, "%,d rows", rows));
        if (rows != rowsRead) {
            text.append(String.format(Locale.ROOT, " of %,d", rowsRead));
        }
        if (badRows > 0) {
            text.append(String.format(Locale.ROOT, "; %,d bad rows left out", badRows));
        }
        if (nothingToLearn > 0) {
            text.append(String.format(Locale.ROOT, "; %,d with nothing left to learn left out", nothingToLearn));
        }
        if (answersCut > 0) {
            text.append(String.format(Locale.ROOT, "; %,d answers cut", answersCut));
        }
        return text.append(String.format(
                        Locale.ROOT,
                        "; %,d tokens, %,d learned; mean length %.1f, longest %,d",
                        tokens,
                        learnedTokens,
                        meanLength(),
                        longest))
                .toString();
    }
}

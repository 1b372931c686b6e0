package io.github.qlora4j.trainer.data;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import java.util.Arrays;
import java.util.List;

/**
 * Turns rows into ids and labels, and questions into prompts: the one path that training, evaluation, generation and chat
 * share.
 *
 * <p>Prompt and answer are tokenized apart, EOS follows each answer, and the whole is cut to {@code maxLength} at its end.
 * Labels of the prompt, BOS and earlier turns included, are {@link Example#MASKED} unless {@code trainOnPrompt}. A text row
 * is an answer without a prompt. A tokenized row is only cut.
 */
public final class RowEncoder {

    private final Tokenizer tokenizer;
    private final Template template;
    private final Settings settings;

    /**
     * How rows are tokenized.
     *
     * @param addBos whether each row begins with BOS
     * @param maxLength the most tokens of a row
     * @param trainOnPrompt whether prompts are learned too
     * @param splitSpecialTokens whether special tokens written out in a text stay ordinary text; false as in transformers
     */
    public record Settings(boolean addBos, int maxLength, boolean trainOnPrompt, boolean splitSpecialTokens) {

        /** Checks the length. */
        public Settings {
            if (maxLength < 2) {
                throw new QloraException("max_length must be >= 2: " + maxLength);
            }
        }
    }

    /**
     * A row as it will be learned.
     *
     * @param example the row, cut to length
     * @param fullLength its tokens before it was cut
     * @param learnable the learned tokens before it was cut
     */
    public record Encoded(Example example, int fullLength, int learnable) {

        /** Whether a learned token was cut off. */
        public boolean answerCut() {
            return example.learned() < learnable;
        }
    }

    /** Makes an encoder; {@code tokenizer} stays the caller's to close. */
    public RowEncoder(Tokenizer tokenizer, Template template, Settings settings) {
        this.tokenizer = tokenizer;
        this.template = template;
        this.settings = settings;
        if (settings.addBos()) {
            tokenizer.requireBosId();
        }
    }

    /**
     * The ids and labels of a row.
     *
     * @throws QloraException if the text is not Unicode, or an id is outside the model's vocabulary
     */
    public Encoded encode(Row row) {
        Ids ids = new Ids();
        if (row instanceof Row.Tokens tokens) {
            return cut(tokens.example());
        } else if (row instanceof Row.Text text) {
            begin(ids);
            ids.add(tokens(text.text()), true);
            ids.add(tokenizer.requireEosId(), true);
        } else if (row instanceof Row.Instruction instruction) {
            promptOf(instruction, ids);
            ids.add(tokens(template.answer(instruction.output())), true);
            ids.add(tokenizer.requireEosId(), true);
        }
        return cut(ids.example());
    }

    /** The ids that a model is to go on from, to answer {@code question}: never cut. */
    public int[] prompt(Row.Instruction question) {
        Ids ids = new Ids();
        promptOf(question, ids);
        return ids.example().inputIds();
    }

    /** The ids that a model is to go on from, to complete {@code text}: never cut. */
    public int[] prompt(String text) {
        Ids ids = new Ids();
        begin(ids);
        ids.add(tokens(text), false);
        return ids.example().inputIds();
    }

    /** What decides the ids of a row, for a fingerprint. */
    String definition() {
        return "encoder 1\n" + tokenizer.fingerprint() + "\n" + tokenizer.modelVocabSize() + "\n" + settings + "\n"
                + template.definition();
    }

    Tokenizer tokenizer() {
        return tokenizer;
    }

    Settings settings() {
        return settings;
    }

    private void promptOf(Row.Instruction row, Ids ids) {
        boolean learn = settings.trainOnPrompt();
        begin(ids);
        if (template.historyInPrompt()) {
            ids.add(tokens(template.prompt(row.instruction(), row.input(), row.history())), learn);
            return;
        }
        for (Row.Turn turn : row.history()) {
            ids.add(tokens(template.prompt(turn.question(), "", List.of())), learn);
            ids.add(tokens(template.answer(turn.answer())), learn);
            ids.add(tokenizer.requireEosId(), learn);
        }
        ids.add(tokens(template.prompt(row.instruction(), row.input(), List.of())), learn);
    }

    private void begin(Ids ids) {
        if (settings.addBos()) {
            ids.add(tokenizer.requireBosId(), settings.trainOnPrompt());
        }
    }

    private int[] tokens(String text) {
        return settings.splitSpecialTokens() ? tokenizer.encodeOrdinary(text) : tokenizer.encode(text);
    }

    private Encoded cut(Example whole) {
        for (int id : whole.inputIds()) {
            if (id >= tokenizer.modelVocabSize()) {
                throw new QloraException("token id " + id + " is outside the model's vocabulary of "
                        + tokenizer.modelVocabSize() + " (" + tokenizer.directory()
                        + "). The tokenizer and config.json do not belong together.");
            }
        }
        int length = Math.min(whole.length(), settings.maxLength());
        Example kept = length == whole.length()
                ? whole
                : new Example(Arrays.copyOf(whole.inputIds(), length), Arrays.copyOf(whole.labels(), length));
        return new Encoded(kept, whole.length(), whole.learned());
    }

    /** Ids and labels as they grow. */
    private static final class Ids {
        private int[] ids = new int[256];
        private int[] labels = new int[256];
        private int count;

        void add(int id, boolean learned) {
            add(new int[] {id}, learned);
        }

        void add(int[] more, boolean learned) {
            int end = Math.addExact(count, more.length);
            if (end > ids.length) {
                int size = Math.max(end, (int) Math.min(Integer.MAX_VALUE - 8L, 2L * ids.length));
                ids = Arrays.copyOf(ids, size);
                labels = Arrays.copyOf(labels, size);
            }
            for (int i = 0; i < more.length; i++) {
                ids[count + i] = more[i];
                labels[count + i] = learned ? more[i] : Example.MASKED;
            }
            count = end;
        }

        Example example() {
            return new Example(Arrays.copyOf(ids, count), Arrays.copyOf(labels, count));
        }
    }
}

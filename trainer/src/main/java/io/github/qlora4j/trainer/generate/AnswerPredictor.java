package io.github.qlora4j.trainer.generate;

import ai.djl.Device;
import ai.djl.Model;
import ai.djl.inference.Predictor;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.AbstractBlock;
import ai.djl.training.ParameterStore;
import ai.djl.translate.NoBatchifyTranslator;
import ai.djl.translate.TranslatorContext;
import ai.djl.util.PairList;
import io.github.qlora4j.quant.torch.Torch;

/**
 * A language model behind DJL's {@code Predictor}: the translator turns an instruction into token ids and ids into the
 * answer, the block in between is the generation itself.
 */
final class AnswerPredictor extends Predictor<String, String> {

    private AnswerPredictor(Model model, LanguageModel language) {
        super(model, new Words(language), Device.cpu(), false);
    }

    static Predictor<String, String> of(LanguageModel language, Sampling sampling, int maxNewTokens) {
        Torch.start();
        Model model = Model.newInstance("qlora4j", Device.cpu(), "PyTorch");
        model.setBlock(new Answers(language, sampling, maxNewTokens));
        return new AnswerPredictor(model, language);
    }

    @Override
    public void close() {
        super.close();
        model.close();
    }

    /** Token ids of a prompt, int64 {@code [tokens]}, to those of the answer. */
    private static final class Answers extends AbstractBlock {
        private final LanguageModel language;
        private final Sampling sampling;
        private final int maxNewTokens;

        Answers(LanguageModel language, Sampling sampling, int maxNewTokens) {
            this.language = language;
            this.sampling = sampling;
            this.maxNewTokens = maxNewTokens;
        }

        @Override
        protected NDList forwardInternal(
                ParameterStore parameters, NDList inputs, boolean training, PairList<String, Object> more) {
            NDArray ids = inputs.singletonOrThrow();
            Reply reply = language.generate(new Prompt.Tokens(ints(ids)), sampling, maxNewTokens, piece -> {});
            return new NDList(longs(ids.getManager(), reply.outputIds()));
        }

        @Override
        public Shape[] getOutputShapes(Shape[] inputs) {
            return new Shape[] {new Shape(-1)};
        }
    }

    private record Words(LanguageModel language) implements NoBatchifyTranslator<String, String> {
        @Override
        public NDList processInput(TranslatorContext context, String instruction) {
            return new NDList(longs(context.getNDManager(), language.encode(language.prompt(instruction))));
        }

        @Override
        public String processOutput(TranslatorContext context, NDList list) {
            language.requireTokenizer();
            return language.text(ints(list.singletonOrThrow()));
        }
    }

    private static NDArray longs(NDManager manager, int[] ids) {
        long[] wide = new long[ids.length];
        for (int i = 0; i < ids.length; i++) {
            wide[i] = ids[i];
        }
        return manager.create(wide);
    }

    private static int[] ints(NDArray ids) {
        long[] wide = ids.toLongArray();
        int[] narrow = new int[wide.length];
        for (int i = 0; i < wide.length; i++) {
            narrow[i] = Math.toIntExact(wide[i]);
        }
        return narrow;
    }
}

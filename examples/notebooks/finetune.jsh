// The quick start in steps: plan, look at a row, train, and ask before and after.
// Run it from the root of the checkout. More steps, better answers: scripts/notebook finetune steps=280
import io.github.qlora4j.trainer.config.*;
import io.github.qlora4j.trainer.data.*;
import io.github.qlora4j.trainer.generate.*;
import io.github.qlora4j.trainer.plan.*;
import io.github.qlora4j.trainer.report.*;
import io.github.qlora4j.trainer.tokenizer.Tokenizer;
import io.github.qlora4j.trainer.train.*;
int steps = Integer.getInteger("steps", 120);
Path quickstart = Path.of(System.getProperty("quickstart", "examples/quickstart"));
Path output = Path.of(System.getProperty("output", "runs/notebook"));

// The configuration. Its keys are those of configs/quickstart.yaml.
RunConfig config = RunConfig.builder().
    setModel(quickstart.resolve("model")).
    setTrain(quickstart.resolve("instructions.json").toString()).
    setOutputDir(output).
    optLoadIn4bit(true).
    optR(16).
    optLoraAlpha(32).
    opt("lora.target_modules", "all-linear").
    optMaxLength(128).
    optBatchSize(16).
    optGradientAccumulationSteps(1).
    optMaxSteps(steps).
    optLearningRate(2e-3).
    build();

// The plan, from the model's config.json alone: what is trained, and the memory of each stage.
MemoryPlan plan = RunPlan.of(config, io.github.qlora4j.quant.torch.Dtype.FLOAT32);
plan.lines().forEach(System.out::println);

// A row as the model sees it. What stands in [ ] is learned, the rest is only read.
Tokenizer tokenizer = Tokenizer.load(config.model().path());
Preview row = Preview.rows(DataSource.train(config.data()), TrainingData.encoder(config.data(), tokenizer), 1).get(0);
for (var token : row.tokens()) System.out.print(token.learned() ? "[" + token.text() + "]" : token.text());
System.out.println();
tokenizer.close();

// Before: the base only goes on with text, it does not answer.
String question = "What is the plural of river?";
LanguageModel base = LanguageModel.builder().setModel(config.model().path()).optTemplate(Template.HUMAN_ASSISTANT).build();
String before = base.generate(Prompt.question(question), Sampling.GREEDY, 16, piece -> {}).text();
base.close();

// Training. A listener follows the run; the library itself prints nothing.
RunListener listener = new RunListener() {
    public void step(StepMetrics m) {
        if (m.step() % 10 == 0) System.out.printf("step %d of %d  loss %.3f%n", m.step(), steps, m.loss());
    }
};
TrainingResult result = Trainer.builder().setConfig(config).optListener(listener).optStart(Trainer.Start.OVERWRITE).build().train();

// After: the run's directory is enough to open the model again.
LanguageModel model = LanguageModel.builder().setAdapter(output).build();
String after = model.generate(Prompt.question(question), Sampling.GREEDY, 16, piece -> {}).text();
model.close();

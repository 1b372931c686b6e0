// The classroom experiment: absmax and zero-point int8 on a whole model, by hand, then by the library, with pictures.
// Run it from the root of the checkout. It writes two models and pictures: scripts/notebook schemes output=runs/schemes
import io.github.qlora4j.quant.scheme.*;
import io.github.qlora4j.trainer.generate.*;
import io.github.qlora4j.trainer.compare.*;
Path base = Path.of(System.getProperty("quickstart", "examples/quickstart")).resolve("model");
Path output = Path.of(System.getProperty("output", "runs/schemes"));
Files.createDirectories(output);
for (String old : List.of("absmax", "zeropoint")) if (Files.isDirectory(output.resolve(old))) try (var files = Files.list(output.resolve(old))) { for (Path file : files.toList()) Files.delete(file); }

// Symmetric: the largest absolute value becomes 127, zero stays zero.
float[] weights = {1.2f, -0.5f, -4.3f, 1.2f, -3.1f, 0.8f, 2.4f, 5.4f};
float absmax = 0;
for (float w : weights) absmax = Math.max(absmax, Math.abs(w));
for (float w : weights) System.out.print(Math.round(w * 127 / absmax) + " ");
System.out.println();

// The library says the same, and what the codes stand for.
Quantized symmetric = new Absmax(8, Granularity.TENSOR).quantize(weights);
Arrays.toString(symmetric.codes())
Arrays.toString(symmetric.dequantize())

// Asymmetric: the range from the least to the largest weight is spread over all 256 codes; zero lies where it falls.
ZeroPoint.Result asymmetric = (ZeroPoint.Result) new ZeroPoint(8, Granularity.TENSOR).quantize(weights);
asymmetric.zeroPoints()[0]
Arrays.toString(asymmetric.codes())

// An outlier takes the codes from everybody else of its block.
float[] without = {-0.10f, -0.23f, 0.08f, -0.38f, -0.28f, -0.29f, -2.11f, 0.34f, -0.53f};
float[] with = Arrays.copyOf(without, 10);
with[9] = -67f;
Arrays.toString(new Absmax(8, Granularity.TENSOR).quantize(without).dequantize())
Arrays.toString(new Absmax(8, Granularity.TENSOR).quantize(with).dequantize())

// Now every tensor of the model, norms and embeddings included, by either. What comes out is an ordinary model.
Scheme absmaxScheme = SchemeNames.parse("absmax:tensor").get(0);
Scheme zeroPointScheme = SchemeNames.parse("zeropoint:tensor").get(0);
Fidelity total(Map<String, Fidelity> lost) { return lost.values().stream().reduce(Fidelity.NONE, Fidelity::plus); }
Fidelity byAbsmax = total(new FakeQuantizer(absmaxScheme).quantize(base, output.resolve("absmax"), name -> true));
Fidelity byZeroPoint = total(new FakeQuantizer(zeroPointScheme).quantize(base, output.resolve("zeropoint"), name -> true));
System.out.printf("SNR: absmax %.2f dB, zero point %.2f dB%n", byAbsmax.snrDb(), byZeroPoint.snrDb());

// Both histograms: the weights before and after.
Histogram histogram(Path model) {
    Histogram counts = Histogram.ofWeights();
    try (var files = io.github.qlora4j.quant.safetensors.ModelDirectory.open(model); var manager = io.github.qlora4j.quant.torch.Torch.newManager()) {
        for (String name : files.names()) counts.add(io.github.qlora4j.quant.torch.Torch.toFloats(files.read(manager, name)));
    }
    return counts;
}
SchemePictures.histogram(output.resolve("absmax.png"), "absmax int8", histogram(base), histogram(output.resolve("absmax")))
SchemePictures.histogram(output.resolve("zeropoint.png"), "zero-point int8", histogram(base), histogram(output.resolve("zeropoint")))

// The same beginning, gone on from by all three: one of the 30 likeliest tokens each time.
Sampling topK30 = new Sampling(1.0, 30, 1.0, 1.0, 42);
LanguageModel original = LanguageModel.builder().setModel(base).build();
LanguageModel absmaxModel = LanguageModel.builder().setModel(output.resolve("absmax")).build();
LanguageModel zeroPointModel = LanguageModel.builder().setModel(output.resolve("zeropoint")).build();
String begin = "The";
String sample(LanguageModel model) { return begin + model.generate(new Prompt.Text(begin), topK30, 60, piece -> {}).text(); }
String originalText = sample(original);
String absmaxText = sample(absmaxModel);
String zeroPointText = sample(zeroPointModel);

// Perplexity: how surprised a model is by a text, a token on average. All three read what the original wrote.
double perplexity(LanguageModel model, String text) {
    float[] scores = model.score(model.encode(new Prompt.Text(text)));
    double sum = 0;
    for (float score : scores) sum += score;
    return Math.exp(-sum / scores.length);
}
double originalPerplexity = perplexity(original, originalText);
double absmaxPerplexity = perplexity(absmaxModel, originalText);
double zeroPointPerplexity = perplexity(zeroPointModel, originalText);
zeroPointModel.close();
absmaxModel.close();
original.close();

// Fewer bits, and better places for them: the quantiles of the normal distribution, and NF4 in blocks of 64.
SchemePictures.normalQuantiles(output.resolve("normal-quantiles.png"), 4)
SchemeComparison comparison = SchemeComparison.open(base, Optional.empty());
float[] tensor = comparison.example(256);
SchemePictures.ranges(output.resolve("ranges.png"), tensor, 4)
SchemePictures.beforeAndAfter(output.resolve("blocks.png"), tensor, SchemeNames.parse("nf4").get(0))
for (String name : List.of("absmax-int4", "zeropoint-int4:row", "linear4", "normal4", "nf4", "nf4-double", "quantile4")) for (Scheme scheme : SchemeNames.parse(name)) { Fidelity f = comparison.compare(scheme).whole(); System.out.printf("%-22s %6.3f bits/weight  SNR %6.2f dB%n", scheme.label(), f.bitsPerWeight(), f.snrDb()); }
comparison.close();

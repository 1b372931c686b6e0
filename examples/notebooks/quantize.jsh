// What NF4 does to a weight, step by step. Module quant alone.
import io.github.qlora4j.quant.*;
import io.github.qlora4j.quant.torch.*;

// Sixteen levels are all that four bits can name. NF4 puts them where normally distributed weights are: close together
// near 0, far apart towards -1 and 1.
float[] code = QuantType.NF4.code();

// A matrix of 8 x 64 weights. A manager owns native memory, and frees it when it is closed.
var manager = Torch.newManager();
var random = new Random(1);
float[] weights = new float[8 * 64];
for (int i = 0; i < weights.length; i++) weights[i] = (float) (0.02 * random.nextGaussian());
var matrix = Torch.ofFloats(manager, weights, 8, 64);

// By hand, for the first block of 64 weights: its largest absolute value is kept beside it ...
float absmax = 0;
for (int i = 0; i < 64; i++) absmax = Math.max(absmax, Math.abs(weights[i]));
absmax

// ... each weight is divided by it, and replaced by the nearest level.
int nearest(float x) {
    int best = 0;
    for (int k = 1; k < 16; k++) if (Math.abs(code[k] - x) < Math.abs(code[best] - x)) best = k;
    return best;
}
weights[0]
int level = nearest(weights[0] / absmax);
float byHand = code[level] * absmax;

// The library does the same, with the very bytes of bitsandbytes.
var kernel = Kernels.choose(KernelChoice.AUTO);
var plain = FourBitWeight.quantize(matrix, new FourBitConfig(QuantType.NF4, 64, false), kernel);
var scratch = new Scratch();
float[] back = Torch.toFloats(plain.dense(Dtype.FLOAT32, scratch));
back[0]
if (back[0] != byHand) throw new IllegalStateException("by hand " + byHand + ", by the library " + back[0]);

// What it costs: half a byte a weight, and a float of absmax for 64 of them. In bfloat16 it was 1024 bytes.
plain.bytes()

// Double quantization: absmax itself in 8 bits, in blocks of 256 around its mean. Its two numbers of overhead are no
// matter where a matrix is larger than this one.
var doubled = FourBitWeight.quantize(matrix, FourBitConfig.DEFAULT, kernel);
doubled.bytes()

// And what it loses: the mean error beside the mean size of a weight.
double error = 0;
double size = 0;
for (int i = 0; i < weights.length; i++) { error += Math.abs(back[i] - weights[i]); size += Math.abs(weights[i]); }
double lost = error / size;

// What was opened is closed.
doubled.close();
plain.close();
scratch.close();
manager.close();

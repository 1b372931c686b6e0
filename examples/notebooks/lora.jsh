// What an adapter is. Modules quant and peft.
import io.github.qlora4j.peft.*;
import io.github.qlora4j.quant.*;
import io.github.qlora4j.quant.torch.*;

// A linear layer of a model: a matrix of 64 outputs and 96 inputs. It stays as it is; here in four bits.
var manager = Torch.newManager();
var random = new Random(1);
ai.djl.ndarray.NDArray normal(double deviation, int rows, int cols) {
    float[] values = new float[rows * cols];
    for (int i = 0; i < values.length; i++) values[i] = (float) (deviation * random.nextGaussian());
    return Torch.ofFloats(manager, values, rows, cols);
}
var base = FourBitWeight.quantize(normal(0.05, 64, 96), FourBitConfig.DEFAULT, Kernels.choose(KernelChoice.AUTO));

// An adapter is two thin matrices beside it, A of r x 96 and B of 64 x r. It is chosen by the layer's name.
var config = LoraConfig.builder().optR(4).optLoraAlpha(8).optTargetModules("q_proj").build();
var modules = List.of(ModuleInfo.linear("model.layers.0.self_attn.q_proj", 64, 96));
var adapter = Adapter.create(manager, config, TargetModules.resolve(config, modules, "llama"), Dtype.FLOAT32, 42);
var lora = adapter.get("model.layers.0.self_attn.q_proj");
Arrays.toString(Torch.shape(lora.a()))
Arrays.toString(Torch.shape(lora.b()))

// This is all that is trained: 640 numbers beside 6144.
adapter.parameterCount()

// The layer computes y = x W' + scaling (x A') B', with scaling = lora_alpha / r.
lora.scaling()
var scratch = new Scratch();
var x = normal(1, 5, 96);
float[] alone = Torch.toFloats(x.matMul(base.dense(Dtype.FLOAT32, scratch).transpose()));
float[] fresh = Torch.toFloats(LoraLinear.forward(manager, x, base, lora, scratch));

// B begins as zero, so a new adapter changes nothing.
float furthest(float[] p, float[] q) {
    float far = 0;
    for (int i = 0; i < p.length; i++) far = Math.max(far, Math.abs(p[i] - q[i]));
    return far;
}
furthest(alone, fresh)
if (furthest(alone, fresh) > 1e-5) throw new IllegalStateException("a new adapter changed the output");

// Training moves it. One step by hand, towards outputs of 1 everywhere: gradients of A and B, none of the base.
var gradient = LoraLinear.forward(manager, x, base, lora, scratch).sub(1f).mul(2f / 5);
var gradients = LoraLinear.backward(manager, gradient, x, base, lora, scratch);
lora.b().subi(gradients.b().mul(0.01f));
float[] moved = Torch.toFloats(LoraLinear.forward(manager, x, base, lora, scratch));
furthest(alone, moved)

// Merged, the adapter is a matrix like any other, and computes the same.
var merged = Merge.merge(manager, base.dense(Dtype.FLOAT32, scratch), lora, Dtype.FLOAT32);
furthest(moved, Torch.toFloats(x.matMul(merged.transpose())))

// On disk it is peft's two files, small enough to send by mail.
Path directory = Files.createTempDirectory("qlora4j-lora");
adapter.save(directory, "a single layer");
List<Path> files = Files.list(directory).sorted().toList();

// What was opened is closed; the manager frees all that was made in it.
base.close();
scratch.close();
manager.close();
for (Path file : files) Files.delete(file);
Files.delete(directory);

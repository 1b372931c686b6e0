package damage;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;

/** Damages a checkpoint's files; mostly the list of their sha256 is made to fit, so that what lies behind it is tried too. */
final class Checkpoints implements Kind.Damager {

    private static final Path CHECKPOINT = Path.of("runs/broken/checkpoint-2");
    private static final String STATE = "trainer_state.json";

    @Override
    public Kind.Done damage(SplittableRandom random) throws IOException {
        String name = List.of(STATE, STATE, "optimizer.safetensors", "optimizer.safetensors", "adapter_model.safetensors", "adapter_config.json", "qlora.yaml")
                .get(random.nextInt(7));
        Path file = CHECKPOINT.resolve(name);
        byte[] whole = Files.readAllBytes(file);
        Bytes.Damaged damaged;
        if (name.endsWith(".safetensors")) {
            damaged = Tensors.damage(whole, random);
        } else if (name.endsWith(".json")) {
            damaged = Kind.json(whole, random);
        } else {
            damaged = Yaml.damage(whole, random);
        }
        Files.write(file, damaged.bytes());
        boolean deep = name.equals(STATE);
        if (!deep && random.nextInt(10) < 7) {
            deep = true;
            Path state = CHECKPOINT.resolve(STATE);
            Json json = Json.parse(Files.readString(state));
            json.get("files").set(name, Json.leaf('"' + sha256(damaged.bytes()) + '"'));
            Files.write(state, json.toString().getBytes(StandardCharsets.UTF_8));
        }
        return new Kind.Done(file.toString(), damaged.what() + (deep && !name.equals(STATE) ? " (and its sha256 made to fit)" : ""), deep);
    }

    private static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}

package damage;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import java.util.zip.CRC32C;

/** Damages the cache of tokenized rows; half of the time its checksum is made to fit. */
final class Caches implements Kind.Damager {

    private static final List<Integer> NUMBERS = List.of(-1, 0, 1, 7, 65536, Integer.MAX_VALUE, Integer.MIN_VALUE, 1 << 28, 1 << 29);

    @Override
    public Kind.Done damage(SplittableRandom random) throws IOException {
        Path file;
        try (Stream<Path> files = Files.list(Path.of("cache"))) {
            List<Path> all = files.sorted().toList();
            file = all.get(random.nextInt(all.size()));
        }
        byte[] whole = Files.readAllBytes(file);
        boolean deep = random.nextBoolean();
        byte[] body = deep ? Arrays.copyOf(whole, whole.length - 8) : whole;
        Bytes.Damaged damaged;
        if (random.nextBoolean()) {
            int at = random.nextInt(Math.min(body.length, random.nextBoolean() ? 200 : body.length) - 4);
            int number = NUMBERS.get(random.nextInt(NUMBERS.size()));
            ByteBuffer.wrap(body).putInt(at, number);
            damaged = new Bytes.Damaged(body, "the number at byte " + at + " became " + number);
        } else {
            damaged = Bytes.of(body, random);
        }
        byte[] bytes = damaged.bytes();
        if (deep) {
            CRC32C crc = new CRC32C();
            crc.update(bytes);
            bytes = ByteBuffer.allocate(bytes.length + 8).put(bytes).putLong(crc.getValue()).array();
        }
        Files.write(file, bytes);
        return new Kind.Done(file.toString(), damaged.what() + (deep ? " (and its checksum made to fit)" : ""), deep);
    }
}

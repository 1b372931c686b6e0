package damage;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/** Damage that knows nothing of the format: what disks, networks and editors do. */
final class Bytes {

    private static final List<byte[]> ODD = List.of(
            new byte[] {0},
            new byte[] {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF},
            new byte[] {(byte) 0xFF, (byte) 0xFE},
            new byte[] {(byte) 0xC0, (byte) 0xAF},
            new byte[] {(byte) 0xED, (byte) 0xA0, (byte) 0x80},
            new byte[] {(byte) 0xF4, (byte) 0x90, (byte) 0x80, (byte) 0x80},
            new byte[] {0x1B, '[', '2', 'J'},
            new byte[] {(byte) 0xE2, (byte) 0x80, (byte) 0xA8},
            new byte[] {(byte) 0xC2, (byte) 0x85},
            "\r".getBytes(StandardCharsets.UTF_8),
            "\t".getBytes(StandardCharsets.UTF_8),
            "\"".getBytes(StandardCharsets.UTF_8),
            "\\".getBytes(StandardCharsets.UTF_8),
            "{".getBytes(StandardCharsets.UTF_8),
            "}".getBytes(StandardCharsets.UTF_8),
            ",".getBytes(StandardCharsets.UTF_8),
            "9".repeat(400).getBytes(StandardCharsets.UTF_8));

    private byte[] bytes;
    private String what;

    private Bytes(byte[] bytes) {
        this.bytes = bytes;
    }

    /** The damaged bytes and what was done to them. */
    record Damaged(byte[] bytes, String what) {}

    /** Does one thing, now and then several. */
    static Damaged of(byte[] original, SplittableRandom random) {
        Bytes damage = new Bytes(original.clone());
        String all = "";
        int times = random.nextInt(4) == 0 ? 1 + random.nextInt(8) : 1;
        for (int i = 0; i < times; i++) {
            damage.once(random);
            all += (all.isEmpty() ? "" : "; ") + damage.what;
        }
        return new Damaged(damage.bytes, all);
    }

    private void once(SplittableRandom random) {
        int size = bytes.length;
        // half of the places lie in the first kilobyte, where headers are
        int at = size == 0 ? 0 : random.nextInt(random.nextBoolean() ? Math.min(size, 1024) : size);
        int length = size == 0 ? 0 : random.nextInt(Math.min(size - at, random.nextBoolean() ? 4 : 4096) + 1);
        switch (random.nextInt(11)) {
            case 0 -> {
                if (size > 0) {
                    bytes[at] ^= (byte) (1 << random.nextInt(8));
                }
                what = "a bit of byte " + at + " flipped";
            }
            case 1 -> {
                if (size > 0) {
                    bytes[at] = (byte) random.nextInt(256);
                }
                what = "byte " + at + " set at random";
            }
            case 2 -> {
                bytes = Arrays.copyOf(bytes, at);
                what = "cut to " + at + " bytes";
            }
            case 3 -> {
                bytes = spliced(at, at + length, new byte[0]);
                what = length + " bytes from " + at + " taken out";
            }
            case 4 -> {
                byte[] odd = ODD.get(random.nextInt(ODD.size()));
                bytes = spliced(at, at, odd);
                what = "odd bytes " + java.util.HexFormat.of().formatHex(odd, 0, Math.min(4, odd.length)) + " put in at " + at;
            }
            case 5 -> {
                bytes = spliced(at, at, Arrays.copyOfRange(bytes, at, at + length));
                what = length + " bytes from " + at + " doubled";
            }
            case 6 -> {
                Arrays.fill(bytes, at, at + length, (byte) 0);
                what = length + " bytes from " + at + " zeroed";
            }
            case 7 -> {
                byte[] noise = new byte[1 + random.nextInt(64)];
                for (int i = 0; i < noise.length; i++) {
                    noise[i] = (byte) random.nextInt(256);
                }
                bytes = spliced(at, at, noise);
                what = noise.length + " random bytes put in at " + at;
            }
            case 8 -> {
                byte[] tail = Arrays.copyOfRange(bytes, at, size);
                bytes = spliced(0, size, tail);
                what = "the first " + at + " bytes lost";
            }
            case 9 -> {
                byte[] odd = ODD.get(random.nextInt(ODD.size()));
                bytes = random.nextBoolean() ? spliced(0, 0, odd) : spliced(size, size, odd);
                what = "odd bytes before or behind";
            }
            default -> {
                if (random.nextInt(4) == 0) {
                    bytes = new byte[0];
                    what = "emptied";
                } else {
                    byte[] lower = new String(bytes, StandardCharsets.ISO_8859_1)
                            .replace('"', '\'')
                            .getBytes(StandardCharsets.ISO_8859_1);
                    bytes = lower;
                    what = "double quotes became single ones";
                }
            }
        }
    }

    private byte[] spliced(int from, int to, byte[] between) {
        byte[] result = Arrays.copyOf(bytes, from + between.length + bytes.length - to);
        System.arraycopy(between, 0, result, from, between.length);
        System.arraycopy(bytes, to, result, from + between.length, bytes.length - to);
        return result;
    }
}

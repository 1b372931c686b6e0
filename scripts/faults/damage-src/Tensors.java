package damage;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Collectors;

/** A safetensors file taken apart, damaged and put together: in its header alone, or so that the header fits again. */
final class Tensors {

    private static final List<String> DTYPES = List.of(
            "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "F8_E4M3", "U16", "f32", "", "FLOAT", "F4");
    private static final List<Long> NUMBERS = List.of(
            0L, 1L, 2L, -1L, 65537L, Integer.MAX_VALUE + 0L, 1L << 32, 1L << 53, Long.MAX_VALUE, Long.MIN_VALUE, 999999999999999999L);

    /** One tensor; {@code shape} as it is written. */
    private record Tensor(String name, String dtype, List<Long> shape, byte[] data) {}

    private final Json header;
    private final byte[] data;
    private final List<Tensor> tensors = new ArrayList<>();

    private Tensors(byte[] file) {
        ByteBuffer buffer = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        int length = (int) buffer.getLong();
        header = Json.parse(new String(file, 8, length, StandardCharsets.UTF_8));
        data = Arrays.copyOfRange(file, 8 + length, file.length);
        for (String name : header.keys()) {
            if (!name.equals("__metadata__")) {
                Json entry = header.get(name);
                List<Long> shape = numbers(entry.get("shape"));
                List<Long> range = numbers(entry.get("data_offsets"));
                tensors.add(new Tensor(
                        name,
                        entry.get("dtype").raw().replace("\"", ""),
                        shape,
                        Arrays.copyOfRange(data, range.get(0).intValue(), range.get(1).intValue())));
            }
        }
    }

    private static List<Long> numbers(Json array) {
        List<Long> numbers = new ArrayList<>();
        for (int i = 0; i < array.size(); i++) {
            numbers.add(Long.parseLong(array.get(i).raw()));
        }
        return numbers;
    }

    static Bytes.Damaged damage(byte[] file, SplittableRandom random) {
        int choice = random.nextInt(10);
        if (choice < 2) {
            return Bytes.of(file, random);
        }
        Tensors parts = new Tensors(file);
        return switch (choice) {
            case 2 -> parts.length(random);
            case 3 -> parts.headerBytes(random);
            case 4, 5 -> {
                String what = parts.header.damage(random);
                yield new Bytes.Damaged(parts.file(parts.header.toString()), "header: " + what);
            }
            case 6 -> parts.entry(random);
            default -> parts.consistent(random);
        };
    }

    /** Damages the JSON text that a tensor holds: bitsandbytes' quant_state. */
    static Bytes.Damaged damageState(byte[] file, SplittableRandom random) {
        Tensors parts = new Tensors(file);
        List<Tensor> states =
                parts.tensors.stream().filter(t -> t.name.contains("quant_state")).toList();
        if (states.isEmpty()) {
            return damage(file, random);
        }
        Tensor state = states.get(random.nextInt(states.size()));
        Bytes.Damaged text;
        if (random.nextInt(4) == 0) {
            text = Bytes.of(state.data, random);
        } else {
            Json json = Json.parse(new String(state.data, StandardCharsets.UTF_8));
            String what = json.damage(random);
            text = new Bytes.Damaged(json.toString().getBytes(StandardCharsets.UTF_8), what);
        }
        parts.put(state, new Tensor(state.name, state.dtype, List.of((long) text.bytes().length), text.bytes()));
        return new Bytes.Damaged(parts.rebuilt(), "in " + state.name + ": " + text.what());
    }

    private Bytes.Damaged length(SplittableRandom random) {
        byte[] file = file(header.toString());
        ByteBuffer buffer = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        long now = random.nextBoolean()
                ? NUMBERS.get(random.nextInt(NUMBERS.size()))
                : buffer.getLong(0) + random.nextInt(17) - 8 + random.nextInt(2) * (file.length - buffer.getLong(0));
        buffer.putLong(0, now);
        return new Bytes.Damaged(file, "a header of " + now + " bytes announced");
    }

    private Bytes.Damaged headerBytes(SplittableRandom random) {
        Bytes.Damaged text = Bytes.of(header.toString().getBytes(StandardCharsets.UTF_8), random);
        return new Bytes.Damaged(file(text.bytes()), "header: " + text.what());
    }

    /** One entry's dtype, shape or offsets; the bytes stay. */
    private Bytes.Damaged entry(SplittableRandom random) {
        Tensor tensor = tensors.get(random.nextInt(tensors.size()));
        Json entry = header.get(tensor.name);
        String key = List.of("dtype", "shape", "data_offsets").get(random.nextInt(3));
        String now;
        if (key.equals("dtype")) {
            now = "\"" + DTYPES.get(random.nextInt(DTYPES.size())) + "\"";
        } else if (random.nextInt(4) == 0) {
            // another tensor's: overlaps and gaps
            now = header.get(tensors.get(random.nextInt(tensors.size())).name).get(key).toString();
        } else {
            List<Long> numbers = numbers(entry.get(key));
            if (!numbers.isEmpty()) {
                numbers.set(random.nextInt(numbers.size()), NUMBERS.get(random.nextInt(NUMBERS.size())));
            }
            if (numbers.isEmpty() || random.nextInt(3) == 0) {
                numbers.add(NUMBERS.get(random.nextInt(NUMBERS.size())));
            }
            now = numbers.toString();
        }
        entry.set(key, Json.leaf(now));
        return new Bytes.Damaged(file(header.toString()), tensor.name + "." + key + " became " + now);
    }

    /** Another tensor, in a file that is whole by the letter. */
    private Bytes.Damaged consistent(SplittableRandom random) {
        Tensor old = tensors.get(random.nextInt(tensors.size()));
        String what;
        switch (random.nextInt(8)) {
            case 0 -> {
                tensors.remove(old);
                what = "is missing";
            }
            case 1 -> {
                String name = List.of(old.name + "_", old.name.toUpperCase(java.util.Locale.ROOT), "", "model.layers.9.x", "__proto__", "\\u001b[31mred")
                        .get(random.nextInt(6));
                put(old, new Tensor(name, old.dtype, old.shape, old.data));
                what = "is called " + Json.shown(name);
            }
            case 2 -> {
                tensors.add(new Tensor("extra" + old.name, old.dtype, old.shape, old.data));
                what = "has a double of another name";
            }
            case 3 -> {
                String dtype = DTYPES.get(random.nextInt(12));
                long size = old.shape.stream().reduce(1L, (a, b) -> a * b);
                put(old, new Tensor(old.name, dtype, old.shape, Arrays.copyOf(old.data, (int) (size * bytes(dtype)))));
                what = "is " + dtype + " now";
            }
            case 4 -> {
                List<Long> shape = new ArrayList<>(old.shape);
                java.util.Collections.reverse(shape);
                if (random.nextBoolean()) {
                    shape.add(random.nextInt(shape.size() + 1), 1L);
                } else if (random.nextBoolean()) {
                    shape = List.of(old.shape.stream().reduce(1L, (a, b) -> a * b));
                }
                put(old, new Tensor(old.name, old.dtype, shape, old.data));
                what = "has the shape " + shape;
            }
            case 5 -> {
                List<Long> shape = new ArrayList<>(old.shape);
                if (!shape.isEmpty()) {
                    int at = random.nextInt(shape.size());
                    shape.set(at, List.of(0L, 1L, shape.get(at) + 1, shape.get(at) * 2, shape.get(at) - 1).get(random.nextInt(5)));
                }
                long size = shape.stream().reduce(1L, (a, b) -> a * b);
                put(old, new Tensor(old.name, old.dtype, shape, Arrays.copyOf(old.data, (int) (size * bytes(old.dtype)))));
                what = "has the shape " + shape;
            }
            case 6 -> {
                byte[] filled = old.data.clone();
                byte with = (byte) List.of(0, 0x7F, 0xFF, 0x80).get(random.nextInt(4)).intValue();
                Arrays.fill(filled, random.nextBoolean() ? 0 : filled.length / 2, filled.length, with);
                put(old, new Tensor(old.name, old.dtype, old.shape, filled));
                what = "is filled with " + (with & 0xFF);
            }
            default -> {
                put(old, new Tensor(old.name, old.dtype, List.of(), Arrays.copyOf(old.data, bytes(old.dtype))));
                what = "is a scalar";
            }
        }
        return new Bytes.Damaged(rebuilt(), "tensor " + old.name + " " + what);
    }

    private void put(Tensor old, Tensor now) {
        tensors.set(tensors.indexOf(old), now);
    }

    private static int bytes(String dtype) {
        return switch (dtype) {
            case "F64", "I64" -> 8;
            case "F32", "I32" -> 4;
            case "F16", "BF16", "I16", "U16" -> 2;
            default -> 1;
        };
    }

    private byte[] rebuilt() {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        String text = tensors.stream()
                .map(t -> {
                    int start = all.size();
                    all.writeBytes(t.data);
                    return "\"" + t.name + "\": {\"dtype\": \"" + t.dtype + "\", \"shape\": " + t.shape + ", \"data_offsets\": [" + start
                            + ", " + all.size() + "]}";
                })
                .collect(Collectors.joining(", ", "{", "}"));
        return file(text.getBytes(StandardCharsets.UTF_8), all.toByteArray());
    }

    private byte[] file(String text) {
        return file(text.getBytes(StandardCharsets.UTF_8));
    }

    private byte[] file(byte[] text) {
        return file(text, data);
    }

    private static byte[] file(byte[] text, byte[] data) {
        return ByteBuffer.allocate(8 + text.length + data.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(text.length)
                .put(text)
                .put(data)
                .array();
    }
}

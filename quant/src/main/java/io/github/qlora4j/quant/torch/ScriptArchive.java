package io.github.qlora4j.quant.torch;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * Wraps TorchScript text as the archive that {@code torch::jit::load} reads: a plain zip of stored entries.
 *
 * <p>The archive's one class has a method for each free function, since methods are what the engine can call. Format:
 * {@code torch/csrc/jit/serialization/import.cpp}.
 */
final class ScriptArchive {

    private static final Pattern FUNCTION =
            Pattern.compile("^def (\\w+)\\((.*?)\\)\\s*->\\s*(.+?):\\s*$", Pattern.MULTILINE | Pattern.DOTALL);
    private static final Pattern PARAMETER = Pattern.compile("(\\w+)\\s*:\\s*(?:[^,\\[]|\\[[^\\]]*\\])+");

    // a pickle of an object of class __torch__.Ops whose one attribute is training = False
    private static final String DATA = "\u0080\u0002c__torch__\nOps\nq\0)\u0081}(X\b\0\0\0trainingq\1\u0089ubq\2.";
    private static final byte[] NO_CONSTANTS = {(byte) 0x80, 0x02, 0x29, 0x2e};

    private ScriptArchive() {}

    static byte[] of(String functions) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
            store(zip, "ops/code/__torch__.py", source(functions).getBytes(StandardCharsets.UTF_8));
            store(zip, "ops/data.pkl", DATA.getBytes(StandardCharsets.ISO_8859_1));
            store(zip, "ops/constants.pkl", NO_CONSTANTS);
            store(zip, "ops/version", "3\n".getBytes(StandardCharsets.US_ASCII));
            store(zip, "ops/byteorder", "little".getBytes(StandardCharsets.US_ASCII));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return bytes.toByteArray();
    }

    /** Adds the class; calls between functions are qualified here so that the file reads as plain Python. */
    static String source(String functions) {
        StringBuilder methods = new StringBuilder(
                "class Ops(Module):\n" + "  __parameters__ = []\n  __buffers__ = []\n  training : bool\n");
        String qualified = functions;
        Matcher function = FUNCTION.matcher(functions);
        while (function.find()) {
            String name = function.group(1);
            qualified = qualified.replaceAll("(?<![\\w.])(?<!def )" + name + "\\(", "__torch__." + name + "(");
            StringBuilder arguments = new StringBuilder();
            Matcher parameter = PARAMETER.matcher(function.group(2));
            while (parameter.find()) {
                arguments.append(arguments.isEmpty() ? "" : ", ").append(parameter.group(1));
            }
            methods.append("  def ").append(name).append("(self: __torch__.Ops");
            if (!function.group(2).isBlank()) {
                methods.append(", ").append(function.group(2).replaceAll("\\s+", " "));
            }
            methods.append(") -> ").append(function.group(3)).append(":\n    return __torch__.");
            methods.append(name).append('(').append(arguments).append(")\n");
        }
        return qualified + "\n" + methods;
    }

    private static void store(ZipOutputStream zip, String name, byte[] content) throws IOException {
        ZipEntry entry = new ZipEntry(name);
        entry.setMethod(ZipEntry.STORED);
        entry.setSize(content.length);
        CRC32 crc = new CRC32();
        crc.update(content);
        entry.setCrc(crc.getValue());
        zip.putNextEntry(entry);
        zip.write(content);
        zip.closeEntry();
    }
}

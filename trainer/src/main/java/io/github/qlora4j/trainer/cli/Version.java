package io.github.qlora4j.trainer.cli;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Properties;
import picocli.CommandLine.IVersionProvider;

/** The versions that the build wrote into {@code versions.properties}. */
public final class Version implements IVersionProvider {
    private static final Properties VERSIONS = read();

    /** Called by picocli. */
    public Version() {}

    /** qlora4j's own version, such as {@code 0.1.0}. */
    public static String qlora4j() {
        return VERSIONS.getProperty("qlora4j");
    }

    /** The version of Deep Java Library that this was built with. */
    public static String djl() {
        return VERSIONS.getProperty("djl");
    }

    /** The version of PyTorch that this was built with. */
    public static String pytorch() {
        return VERSIONS.getProperty("pytorch");
    }

    @Override
    public String[] getVersion() {
        return new String[] {
            "qlora4j " + qlora4j(), "DJL " + djl() + ", PyTorch " + pytorch() + ", Java " + Runtime.version()
        };
    }

    private static Properties read() {
        Properties versions = new Properties();
        try (InputStream in = Version.class.getResourceAsStream("versions.properties")) {
            versions.load(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return versions;
    }
}

package io.github.qlora4j.trainer.report;

import io.github.qlora4j.quant.QloraException;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import javax.imageio.ImageIO;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;

/** Pictures as PNG files. */
final class Png {
    private static final Logger LOG = LogManager.getLogger(Png.class);

    private Png() {}

    /**
     * Writes charts side by side into a PNG, beside its place and moved there.
     *
     * <p>A Java without fonts or without its graphics library cannot draw: that is logged, and nothing is lost for it.
     *
     * @return whether there is a picture now
     * @throws QloraException if the file cannot be written
     */
    static boolean write(Path png, XYChart... charts) {
        Path beside = png.resolveSibling(png.getFileName() + ".tmp");
        try {
            try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(beside))) {
                ImageIO.write(image(charts), "png", out);
            }
            Files.move(beside, png, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
            return true;
        } catch (IOException e) {
            throw new QloraException(png + ": cannot be written: " + e.getMessage(), e);
        } catch (RuntimeException | LinkageError | InternalError e) {
            LOG.warn("no picture {}: this Java cannot draw ({}); install fontconfig and a font", png, e.toString());
            deleteQuietly(beside);
            return false;
        }
    }

    private static BufferedImage image(XYChart... charts) {
        int width = Arrays.stream(charts).mapToInt(XYChart::getWidth).sum();
        int height = Arrays.stream(charts).mapToInt(XYChart::getHeight).max().orElseThrow();
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        Graphics2D graphics = image.createGraphics();
        int at = 0;
        for (XYChart chart : charts) {
            graphics.drawImage(BitmapEncoder.getBufferedImage(chart), at, 0, null);
            at += chart.getWidth();
        }
        graphics.dispose();
        return image;
    }

    private static void deleteQuietly(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            LOG.debug("{}: {}", file, e.toString());
        }
    }
}

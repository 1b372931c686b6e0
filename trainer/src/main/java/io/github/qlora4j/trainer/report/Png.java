package io.github.qlora4j.trainer.report;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.AtomicFile;
import io.github.qlora4j.quant.internal.Reason;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import javax.imageio.ImageIO;
import javax.imageio.stream.ImageOutputStream;
import javax.imageio.stream.MemoryCacheImageOutputStream;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;

/** Pictures as PNG files. */
public final class Png {
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
    public static boolean write(Path png, XYChart... charts) {
        try {
            byte[] bytes = bytes(image(charts));
            AtomicFile.write(png, out -> out.write(bytes));
            return true;
        } catch (IOException e) {
            throw new QloraException(png + ": cannot be written: " + Reason.of(e), e);
        } catch (RuntimeException | LinkageError | InternalError e) {
            LOG.warn("no picture {}: this Java cannot draw ({}); install fontconfig and a font", png, e.toString());
            return false;
        }
    }

    /** In memory: ImageIO's own stream keeps a file beside, and cannot be closed where the disk is full. */
    private static byte[] bytes(BufferedImage image) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ImageOutputStream memory = new MemoryCacheImageOutputStream(bytes)) {
            ImageIO.write(image, "png", memory);
        }
        return bytes.toByteArray();
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
}

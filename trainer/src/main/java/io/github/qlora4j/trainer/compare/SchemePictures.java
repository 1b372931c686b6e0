package io.github.qlora4j.trainer.compare;

import io.github.qlora4j.quant.scheme.Absmax;
import io.github.qlora4j.quant.scheme.Code;
import io.github.qlora4j.quant.scheme.Granularity;
import io.github.qlora4j.quant.scheme.Normal;
import io.github.qlora4j.quant.scheme.Scheme;
import io.github.qlora4j.quant.scheme.ZeroPoint;
import io.github.qlora4j.trainer.report.Charts;
import io.github.qlora4j.trainer.report.Png;
import java.awt.BasicStroke;
import java.awt.Color;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.XYSeries.XYSeriesRenderStyle;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * Pictures of what schemes do, as PNG files.
 *
 * <p>Each says whether there is a picture now: a Java without fonts cannot draw, which is logged.
 */
public final class SchemePictures {
    private static final int WIDTH = 720;
    private static final int HEIGHT = 480;
    private static final Color BLUE = new Color(40, 90, 170);
    private static final Color ORANGE = new Color(200, 90, 30);

    private SchemePictures() {}

    /** A model's weights before and after a scheme. */
    public static boolean histogram(Path png, String title, Histogram original, Histogram dequantized) {
        XYChart chart = chart(title, "weight", "weights");
        chart.getStyler().setDefaultSeriesRenderStyle(XYSeriesRenderStyle.StepArea);
        double[] middles = IntStream.range(0, original.counts().length)
                .mapToDouble(original::middle)
                .toArray();
        area(chart, "original", middles, original, BLUE);
        area(chart, "dequantized", middles, dequantized, ORANGE);
        return Png.write(png, chart);
    }

    private static void area(XYChart chart, String name, double[] x, Histogram histogram, Color color) {
        double[] y = Arrays.stream(histogram.counts()).asDoubleStream().toArray();
        XYSeries series = line(chart, name, x, y, color);
        series.setFillColor(new Color(color.getRed(), color.getGreen(), color.getBlue(), 90));
    }

    /** The numbers of {@link Code#normal}, q_i, on the density and on the distribution function of the normal. */
    public static boolean normalQuantiles(Path png, int bits) {
        Code code = Code.normal(bits);
        double[] q = new double[code.values().length];
        for (int i = 0; i < q.length; i++) {
            q[i] = code.values()[i] * code.spread();
        }
        return Png.write(
                png,
                onCurve("q_i on the density, " + bits + " bits", Normal::density, q),
                onCurve("q_i on the distribution function, " + bits + " bits", Normal::cumulative, q));
    }

    private static XYChart onCurve(String title, DoubleUnaryOperator curve, double... q) {
        double[] x = DoubleStream.iterate(-3, v -> v <= 3.001, v -> v + 0.05).toArray();
        XYChart chart = chart(title, "standard deviations", "");
        line(chart, "normal distribution", x, Arrays.stream(x).map(curve).toArray(), BLUE);
        dots(chart, "q_i", q, Arrays.stream(q).map(curve).toArray(), ORANGE);
        return chart;
    }

    /**
     * What symmetric and asymmetric integers can say of a tensor: its histogram, and each code's number beneath.
     *
     * @param bits of the codes; few show more
     */
    public static boolean ranges(Path png, float[] values, int bits) {
        return Png.write(
                png,
                levels("symmetric range, absmax, " + bits + " bits", values, new Absmax(bits, Granularity.TENSOR)),
                levels(
                        "asymmetric range, zero point, " + bits + " bits",
                        values,
                        new ZeroPoint(bits, Granularity.TENSOR)));
    }

    private static XYChart levels(String title, float[] values, Scheme scheme) {
        float least = Float.POSITIVE_INFINITY;
        float most = Float.NEGATIVE_INFINITY;
        for (float value : values) {
            least = Math.min(least, value);
            most = Math.max(most, value);
        }
        double largest = Math.max(Math.max(-least, most), Float.MIN_NORMAL);
        Histogram histogram = new Histogram(-largest, largest, new long[60]);
        histogram.add(values);
        // a sweep over the tensor's range and beyond, with its ends, meets every code
        float[] sweep = new float[2049];
        for (int i = 0; i < sweep.length; i++) {
            sweep[i] = least + (most - least) * i / (sweep.length - 1);
        }
        double[] reached = toDoubles(scheme.quantize(sweep).dequantize());
        double[] levels = scheme instanceof Absmax
                ? mirrored(reached)
                : Arrays.stream(reached).distinct().toArray();
        XYChart chart = chart(title, "weight", "weights");
        chart.getStyler().setDefaultSeriesRenderStyle(XYSeriesRenderStyle.StepArea);
        area(
                chart,
                "tensor",
                IntStream.range(0, 60).mapToDouble(histogram::middle).toArray(),
                histogram,
                BLUE);
        dots(chart, "codes", levels, new double[levels.length], ORANGE);
        return chart;
    }

    /** Absmax has as many codes on the side that the tensor does not reach. */
    private static double[] mirrored(double[] reached) {
        return DoubleStream.concat(
                        Arrays.stream(reached), Arrays.stream(reached).map(v -> -v))
                .map(v -> v + 0.0)
                .distinct()
                .toArray();
    }

    /** A tensor's first weights before and after a scheme; 256 and fewer can be told apart. */
    public static boolean beforeAndAfter(Path png, float[] values, Scheme scheme) {
        double[] x = IntStream.range(0, values.length).asDoubleStream().toArray();
        double[] after = toDoubles(scheme.quantize(values).dequantize());
        XYChart before = chart("before", "weight's place in the tensor", "weight");
        line(before, "original", x, toDoubles(values), BLUE);
        XYChart chart = chart("after " + scheme.label(), "weight's place in the tensor", "weight");
        line(chart, "original", x, toDoubles(values), new Color(190, 205, 230));
        dots(chart, "dequantized", x, after, ORANGE);
        return Png.write(png, before, chart);
    }

    private static double[] toDoubles(float... values) {
        double[] doubles = new double[values.length];
        for (int i = 0; i < doubles.length; i++) {
            doubles[i] = values[i];
        }
        return doubles;
    }

    private static XYChart chart(String title, String x, String y) {
        return Charts.empty(WIDTH, HEIGHT, title, x, y);
    }

    private static XYSeries line(XYChart chart, String name, double[] x, double[] y, Color color) {
        XYSeries series = chart.addSeries(name, x, y);
        series.setLineColor(color);
        series.setLineStyle(new BasicStroke(1.5f));
        series.setMarker(SeriesMarkers.NONE);
        return series;
    }

    private static void dots(XYChart chart, String name, double[] x, double[] y, Color color) {
        XYSeries series = chart.addSeries(name, x, y);
        series.setXYSeriesRenderStyle(XYSeriesRenderStyle.Scatter);
        series.setMarker(SeriesMarkers.CIRCLE);
        series.setMarkerColor(color);
    }
}

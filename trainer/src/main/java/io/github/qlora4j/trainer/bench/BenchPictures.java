package io.github.qlora4j.trainer.bench;

import io.github.qlora4j.trainer.report.Charts;
import io.github.qlora4j.trainer.report.Png;
import java.awt.BasicStroke;
import java.awt.Color;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Function;
import java.util.function.Predicate;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** What was measured as pictures, a line a scheme. Each says whether there is one now. */
final class BenchPictures {

    private static final int WIDTH = 640;
    private static final int HEIGHT = 420;
    private static final double MEGABYTE = 1e6;
    private static final Color[] COLORS = {
        new Color(90, 90, 90),
        new Color(40, 90, 170),
        new Color(200, 90, 30),
        new Color(50, 140, 80),
        new Color(150, 60, 150),
        new Color(190, 160, 30),
        new Color(20, 150, 170)
    };

    private BenchPictures() {}

    /** Tokens a second of forward passes and of generation. */
    static boolean speed(Path png, BenchReport report) {
        return Png.write(
                png,
                passes(report, "forward pass", "tokens/s", Pass::tokensPerSecond),
                generations(report, "generation, after the first token", "tokens/s", Generation::tokensPerSecond));
    }

    /** Peak memory of both; there is no picture where the system does not tell it. */
    static boolean memory(Path png, BenchReport report) {
        boolean told = report.schemes().stream()
                .flatMap(scheme -> scheme.forward().stream())
                .anyMatch(pass -> pass.peakBytes() != null);
        return told
                && Png.write(
                        png,
                        passes(report, "forward pass", "peak MB", BenchPictures::megabytes),
                        generations(report, "generation", "peak MB", g -> megabytes(g.peakBytes())));
    }

    private static Double megabytes(Pass pass) {
        return megabytes(pass.peakBytes());
    }

    private static Double megabytes(Long bytes) {
        return bytes == null ? null : bytes / MEGABYTE;
    }

    private static XYChart passes(BenchReport report, String title, String unit, Function<Pass, Double> figure) {
        int batch = report.plan().batches().get(report.plan().batches().size() - 1);
        XYChart chart = chart(title + ", batch " + batch, "tokens of a row", unit);
        int color = 0;
        for (SchemeFigures scheme : report.schemes()) {
            line(
                    chart,
                    scheme.label(),
                    scheme.forward(),
                    pass -> pass.batch() == batch,
                    pass -> (double) pass.length(),
                    figure,
                    COLORS[color++ % COLORS.length]);
        }
        return chart;
    }

    private static XYChart generations(
            BenchReport report, String title, String unit, Function<Generation, Double> figure) {
        int batch = report.plan().batches().get(report.plan().batches().size() - 1);
        XYChart chart = chart(title + ", batch " + batch, "tokens of the prompt", unit);
        int color = 0;
        for (SchemeFigures scheme : report.schemes()) {
            line(
                    chart,
                    scheme.label(),
                    scheme.generation(),
                    g -> g.batch() == batch,
                    g -> (double) g.length(),
                    figure,
                    COLORS[color++ % COLORS.length]);
        }
        return chart;
    }

    private static <T> void line(
            XYChart chart,
            String name,
            List<T> all,
            Predicate<T> shown,
            Function<T, Double> x,
            Function<T, Double> y,
            Color color) {
        List<T> points = all.stream()
                .filter(shown)
                .filter(point -> y.apply(point) != null)
                .toList();
        if (points.isEmpty()) {
            return;
        }
        XYSeries series = chart.addSeries(
                name, points.stream().map(x).toList(), points.stream().map(y).toList());
        series.setLineColor(color);
        series.setLineStyle(new BasicStroke(1.5f));
        series.setMarker(SeriesMarkers.CIRCLE);
        series.setMarkerColor(color);
    }

    private static XYChart chart(String title, String x, String y) {
        XYChart chart = Charts.empty(WIDTH, HEIGHT, title, x, y);
        // beside the lines: beneath them, more than six names are cut off
        chart.getStyler().setYAxisMin(0.0).setMarkerSize(6).setLegendPosition(LegendPosition.OutsideE);
        return chart;
    }
}

package io.github.qlora4j.trainer.report;

import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.awt.BasicStroke;
import java.awt.Color;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The picture of a run: loss over steps, its running mean where there are many, and the evaluation loss. */
public final class LossPicture {
    private static final int WIDTH = 900;
    private static final int HEIGHT = 540;
    private static final int MANY = 40;

    private LossPicture() {}

    /**
     * Draws {@code metrics.jsonl} into a PNG, written beside and moved into place.
     *
     * <p>A Java without fonts or without its graphics library cannot draw: that is logged, and a run is not lost for it.
     *
     * @param metrics the metrics file
     * @param png the picture to write
     * @return whether there is a picture now
     * @throws io.github.qlora4j.quant.QloraException if a file cannot be read or written
     */
    public static boolean draw(Path metrics, Path png) {
        Series loss = new Series();
        Series evalLoss = new Series();
        for (JsonObject row : MetricsFile.read(metrics)) {
            loss.add(row, "loss");
            evalLoss.add(row, "eval_loss");
        }
        if (loss.steps.isEmpty() && evalLoss.steps.isEmpty()) {
            return false;
        }
        return Png.write(png, chart(loss, evalLoss));
    }

    private static XYChart chart(Series loss, Series evalLoss) {
        XYChart chart = Charts.empty(WIDTH, HEIGHT, "Training loss", "step", "loss");
        chart.getStyler().setLegendPosition(LegendPosition.InsideNE);
        boolean many = loss.steps.size() > MANY;
        if (!loss.steps.isEmpty()) {
            line(
                    chart,
                    "loss",
                    loss.steps,
                    loss.values,
                    many ? new Color(190, 205, 230) : new Color(40, 90, 170),
                    1.5f);
        }
        if (many) {
            line(chart, "running mean", loss.steps, loss.runningMean(), new Color(40, 90, 170), 2.5f);
        }
        if (!evalLoss.steps.isEmpty()) {
            XYSeries series = line(chart, "eval loss", evalLoss.steps, evalLoss.values, new Color(200, 90, 30), 2f);
            series.setMarker(SeriesMarkers.CIRCLE);
            series.setMarkerColor(new Color(200, 90, 30));
        }
        return chart;
    }

    private static XYSeries line(
            XYChart chart, String name, List<Double> steps, List<Double> values, Color color, float width) {
        XYSeries series = chart.addSeries(name, steps, values);
        series.setLineColor(color);
        series.setLineStyle(new BasicStroke(width));
        series.setMarker(SeriesMarkers.NONE);
        return series;
    }

    /** Points of one line of the picture. */
    private static final class Series {
        private final List<Double> steps = new ArrayList<>();
        private final List<Double> values = new ArrayList<>();

        void add(JsonObject row, String key) {
            // the file may have been edited: what is no number is no point
            if (row.get(key) instanceof JsonPrimitive value && value.isNumber()) {
                steps.add(row.get("step").getAsDouble());
                values.add(value.getAsDouble());
            }
        }

        /** The mean of the last twentieth of the steps so far. */
        List<Double> runningMean() {
            int window = Math.max(5, values.size() / 20);
            List<Double> means = new ArrayList<>();
            double sum = 0;
            for (int i = 0; i < values.size(); i++) {
                sum += values.get(i);
                if (i >= window) {
                    sum -= values.get(i - window);
                }
                means.add(sum / Math.min(i + 1, window));
            }
            return means;
        }
    }
}

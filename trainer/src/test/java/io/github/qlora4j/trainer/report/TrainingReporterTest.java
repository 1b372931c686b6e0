package io.github.qlora4j.trainer.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class TrainingReporterTest {
    /** Remembers what it was shown. */
    private static final class Paper implements Screen {
        private final int columns;
        private final List<String> lines = new ArrayList<>();
        private volatile String live = "";
        private volatile String lastLive = "";

        Paper(int columns) {
            this.columns = columns;
        }

        @Override
        public synchronized void line(String text) {
            lines.add(text);
        }

        @Override
        public void live(String text) {
            live = text;
            lastLive = text.isEmpty() ? lastLive : text;
        }

        @Override
        public int columns() {
            return columns;
        }
    }

    private static final RunStart START =
            new RunStart(100, 2, 8, 1, 7, 0, 4_194_304, 6_742_609_920L, List.of("a note"));

    private static StepMetrics step(long step, double seconds) {
        return new StepMetrics(step, step / 7.0, 3.0 / step, 1, 2e-4, 600, 300, 600 / seconds, seconds, 1_060_000_000);
    }

    private static void run(TrainingReporter reporter, double secondsPerStep, int logged) {
        reporter.starting(START);
        for (int i = 1; i <= 7; i++) {
            reporter.step(step(i, secondsPerStep));
            if (i % logged == 0) {
                reporter.logged(step(i, secondsPerStep));
            }
        }
        reporter.evaluated(new EvalMetrics(7, 1, 0.5, 1000, 2));
    }

    @Test
    void beforeTheFirstStep_batchAndParametersAreShown() {
        Paper paper = new Paper(0);
        new TrainingReporter(paper).starting(START);
        assertThat(paper.lines)
                .containsExactly(
                        "effective batch: 2 x 8 = 16 rows || rows: 100 || epochs: 1 || steps: 7",
                        "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622",
                        "a note");
    }

    @Test
    void withoutATerminal_loggedStepsAreALineEach_withTheTimeLeft() {
        Paper paper = new Paper(0);
        run(new TrainingReporter(paper), 6, 1);
        assertThat(paper.lines.get(3))
                .isEqualTo("step 1/7  epoch 0.14  loss 3.0000  lr 2.00e-04  100 tokens/s  1.06 GB  0:36 left");
        assertThat(paper.lines).filteredOn(line -> line.contains("left")).hasSize(7);
        assertThat(paper.live).isEmpty();
    }

    @Test
    void stepsThatAreNotLogged_areCountedButNotShown() {
        Paper paper = new Paper(0);
        TrainingReporter reporter = new TrainingReporter(paper);
        run(reporter, 10, 3);
        reporter.finished(new RunEnd(Path.of("runs"), 7, 1, true, null, null));
        assertThat(paper.lines)
                .filteredOn(line -> line.contains("left"))
                .hasSize(2)
                .allMatch(line -> line.startsWith("step 3/7") || line.startsWith("step 6/7"));
        assertThat(paper.lines).contains("  tokens       4,200, 2,100 learned");
    }

    @Test
    void onATerminal_thereIsABar_andItGoesAway() {
        Paper paper = new Paper(120);
        TrainingReporter reporter = new TrainingReporter(paper);
        run(reporter, 1, 1);
        reporter.close();
        assertThat(paper.lastLive).contains("train", "7/7", "loss 0.4286").hasSizeLessThan(120);
        assertThat(paper.live).isEmpty();
        assertThat(paper.lines).noneMatch(line -> line.contains("left"));
    }

    @Test
    void atTheEnd_theTableAndTheNextCommand() {
        Paper paper = new Paper(0);
        TrainingReporter reporter = new TrainingReporter(paper);
        run(reporter, 1, 1);
        reporter.finished(new RunEnd(Path.of("runs", "x"), 7, 1, true, null, "qlora chat --adapter runs/x"));
        assertThat(paper.lines)
                .contains(
                        "  loss         3.0000 -> 0.4286", "  tokens/s     600", "  tokens       4,200, 2,100 learned")
                .last()
                .isEqualTo("next: qlora chat --adapter runs/x");
    }

    @Test
    void aStoppedRun_saysThatItIsSaved() {
        Paper paper = new Paper(0);
        TrainingReporter reporter = new TrainingReporter(paper);
        reporter.starting(START);
        reporter.step(step(1, 1));
        reporter.finished(new RunEnd(Path.of("runs"), 1, 0.1, false, null, "qlora train x.yaml --resume"));
        assertThat(paper.lines).contains("  steps        1 of 7", "stopped; everything up to step 1 is saved");
    }
}

package io.github.qlora4j.trainer.bench;

import java.util.List;

/**
 * All that was measured, and under what circumstances.
 *
 * @param machine CPU, cores and system
 * @param maxPositionEmbeddings how long the model lets a row be
 * @param warmUp runs of each thing that do not count
 * @param plan what was asked for
 * @param schemes a scheme each, in the order asked for
 */
public record BenchReport(
        String machine, int maxPositionEmbeddings, int warmUp, BenchPlan plan, List<SchemeFigures> schemes) {

    /** Takes a copy of the list. */
    public BenchReport {
        schemes = List.copyOf(schemes);
    }
}

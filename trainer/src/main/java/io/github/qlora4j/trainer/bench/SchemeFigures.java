package io.github.qlora4j.trainer.bench;

import java.util.List;
import java.util.Optional;

/**
 * What was measured of one scheme.
 *
 * @param name as it was asked for
 * @param loaded the model in it; null where it could not be loaded
 * @param failed why not; null where it could
 * @param forward a pass for each batch and length, in the order of their tokens
 * @param generation one for each length
 */
public record SchemeFigures(
        String name, Loaded loaded, String failed, List<Pass> forward, List<Generation> generation) {

    /** Takes copies of the lists. */
    public SchemeFigures {
        forward = List.copyOf(forward);
        generation = List.copyOf(generation);
    }

    /** The scheme that it turned out to be. */
    public String label() {
        return loaded == null ? name : loaded.scheme();
    }

    Optional<Pass> pass(BenchPlan.Cell cell) {
        return forward.stream()
                .filter(pass -> pass.batch() == cell.batch() && pass.length() == cell.length())
                .findFirst();
    }

    Optional<Generation> generation(BenchPlan.Cell cell) {
        return generation.stream()
                .filter(g -> g.batch() == cell.batch() && g.length() == cell.length())
                .findFirst();
    }
}

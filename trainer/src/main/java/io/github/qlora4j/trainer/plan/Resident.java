package io.github.qlora4j.trainer.plan;

import io.github.qlora4j.trainer.config.Device;
import io.github.qlora4j.trainer.model.Placement;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * What of a base is in memory throughout.
 *
 * @param embeddings whether the table is
 * @param head whether the head is
 * @param blocks how many blocks are
 * @param layers how many there are
 * @param onDisk how many are read from the disk
 * @param tables how many of embeddings and head are read from the disk whole; of embeddings only rows are
 */
record Resident(boolean embeddings, boolean head, int blocks, int layers, int onDisk, int tables) {

    /** Of a placement; null is all in memory. */
    static Resident of(Placement placement, ModelShape shape) {
        int layers = shape.layers();
        return placement == null
                ? new Resident(true, true, layers, layers, 0, 0)
                : new Resident(
                        placement.embeddingsInMemory(),
                        placement.headInMemory(),
                        placement.blocks(Device.CPU),
                        layers,
                        placement.blocks(Device.DISK),
                        placement.headOnDisk() ? 1 : 0);
    }

    /** The part of what all blocks take that stays in memory. */
    long share(long all) {
        return blocks == layers ? all : all / layers * blocks;
    }

    /** Bytes of the two largest parts that are read: one is in use, and one is read ahead. */
    long fromDisk(long block, long table) {
        List<Long> parts = new ArrayList<>();
        for (int i = 0; i < Math.min(2, onDisk); i++) {
            parts.add(block);
        }
        for (int i = 0; i < tables; i++) {
            parts.add(table);
        }
        return parts.stream()
                .sorted(Comparator.reverseOrder())
                .limit(2)
                .mapToLong(Long::longValue)
                .sum();
    }
}

package io.github.qlora4j.trainer.report;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.ndarray.NDManager;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class RssTest {
    @TempDir
    Path root;

    @Test
    @EnabledOnOs(OS.LINUX)
    void linux_tellsTheProcessesMemory() {
        assertThat(Rss.bytes()).isBetween(10L << 20, 1L << 40);
        assertThat(Rss.peakBytes()).isGreaterThanOrEqualTo(Rss.bytes() / 2);
        assertThat(Rss.freeBytes()).isPositive().isLessThanOrEqualTo(Rss.totalBytes());
    }

    /** What was resident before the reset and is gone does not count. */
    @Test
    @EnabledOnOs(OS.LINUX)
    void linux_thePeakBeginsAnew() {
        long with;
        try (NDManager manager = Torch.newManager()) {
            // glibc keeps it when it is closed, and gives it back when it is told to
            Torch.zeros(manager, Dtype.UINT8, 256L << 20);
            with = Rss.peakBytes();
            assertThat(with).isGreaterThan(256L << 20);
        }
        Torch.giveBackFreedMemory();
        // the kernel adds up a thread's pages in batches, so that two readings may differ by some
        assertThat(Rss.peakBytes()).isGreaterThan(with - (16L << 20));
        assertThat(Rss.resetPeak()).isTrue();
        assertThat(Rss.peakBytes()).isLessThan(with - (200L << 20));
    }

    @Test
    void controlGroup_theTightestLimitOnTheWayUpCounts_withoutReclaimablePages() throws IOException {
        Path outer = Files.createDirectories(root.resolve("outer"));
        Path inner = Files.createDirectories(outer.resolve("inner"));
        Files.writeString(inner.resolve("memory.max"), "max\n");
        Files.writeString(outer.resolve("memory.max"), "1000\n");
        Files.writeString(outer.resolve("memory.current"), "700\n");
        Files.writeString(outer.resolve("memory.stat"), "anon 500\ninactive_file 150\n");
        assertThat(Rss.cgroupFree("0::/outer/inner\n", root)).isEqualTo(1000 - (700 - 150));
    }

    @Test
    void firstVersionOfControlGroups_theProcessesOwnCounts() throws IOException {
        Path outer = Files.createDirectories(root.resolve("memory/outer"));
        Path inner = Files.createDirectories(outer.resolve("inner"));
        Files.writeString(root.resolve("memory/memory.limit_in_bytes"), "9223372036854771712\n");
        Files.writeString(outer.resolve("memory.limit_in_bytes"), "2000\n");
        Files.writeString(outer.resolve("memory.usage_in_bytes"), "100\n");
        Files.writeString(inner.resolve("memory.limit_in_bytes"), "1000\n");
        Files.writeString(inner.resolve("memory.usage_in_bytes"), "700\n");
        Files.writeString(inner.resolve("memory.stat"), "inactive_file 50\ntotal_inactive_file 150\n");
        String groups = "9:name=systemd:/\n4:memory:/outer/inner\n0::/\n";
        assertThat(Rss.cgroupFree(groups, root)).isEqualTo(1000 - (700 - 150));
    }

    @Test
    void firstVersionOfControlGroups_aContainerSeesItsOwnAtTheTop() throws IOException {
        Path top = Files.createDirectories(root.resolve("memory"));
        Files.writeString(top.resolve("memory.limit_in_bytes"), "1000\n");
        Files.writeString(top.resolve("memory.usage_in_bytes"), "700\n");
        assertThat(Rss.cgroupFree("4:cpu,memory:/docker/0a1b\n", root)).isEqualTo(300);
    }

    @Test
    void noControlGroup_noLimit() {
        assertThat(Rss.cgroupFree("", root)).isEqualTo(Long.MAX_VALUE);
    }
}

package io.github.qlora4j.trainer.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Torch;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class MappedPagesTest {

    @TempDir
    Path directory;

    @Test
    void keepsWhatWasWrittenThroughEvictionsAndPutsOutTheOneUnusedLongest() {
        try (MappedPages pages = new MappedPages(directory, 4096, 2 * 4096)) {
            pages.reserve(3);
            write(pages, 0, 11);
            write(pages, 1, 22);
            pages.page(0);
            write(pages, 2, 33); // puts 1 out
            assertThat(pages.statistics()).isEqualTo(new PagingStatistics(3, 4096, 2, 2, 3, 1));
            pages.page(0); // still there
            assertThat(pages.statistics().pageIns()).isEqualTo(3);
            assertThat(read(pages, 1)).isEqualTo(22);
            assertThat(read(pages, 0)).isEqualTo(11);
            assertThat(read(pages, 2)).isEqualTo(33);
            assertThat(pages.statistics().mostResidentPages()).isEqualTo(2);
            assertThatThrownBy(() -> pages.page(3)).hasMessage("page 3 of 3");
        }
    }

    @Test
    void seesAPageAsFloatsAndAsBytes() {
        try (MappedPages pages = new MappedPages(directory, 4096, 4096)) {
            pages.reserve(1);
            PagedMemory.Page page = pages.page(0);
            assertThat(Torch.toFloats(page.floats())).hasSize(1024).containsOnly(0f);
            Torch.bytes(page.bytes(), 0, 4096).putFloat(8, 1.5f);
            assertThat(Torch.toFloats(page.floats())[2]).isEqualTo(1.5f);
        }
    }

    @Test
    void leavesNoFileBehind() throws IOException {
        MappedPages pages = new MappedPages(directory, 4096, 4096);
        pages.reserve(5);
        pages.page(4);
        pages.close();
        try (Stream<Path> left = Files.list(directory)) {
            assertThat(left).isEmpty();
        }
    }

    @Test
    @EnabledOnOs({OS.LINUX, OS.MAC})
    void hasNoNameThatAKilledProcessCouldLeaveBehind() throws IOException {
        try (MappedPages pages = new MappedPages(directory, 4096, 4096)) {
            pages.reserve(2);
            write(pages, 1, 7);
            try (Stream<Path> named = Files.list(directory)) {
                assertThat(named).isEmpty();
            }
            assertThat(read(pages, 1)).isEqualTo(7);
        }
    }

    @Test
    void saysWhatToDoWithoutRoomOrDirectory() {
        try (MappedPages pages = new MappedPages(directory, 1 << 30, 1)) {
            assertThatThrownBy(() -> pages.reserve(Integer.MAX_VALUE))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("in " + directory)
                    .hasMessageContaining("bytes are free")
                    .hasMessageContaining("Free some space, or use an optimizer that is not paged");
        }
        try (MappedPages pages = new MappedPages(directory.resolve("missing"), 4096, 1)) {
            assertThatThrownBy(() -> pages.reserve(1))
                    .isInstanceOf(QloraException.class)
                    .hasMessageContaining("missing");
        }
    }

    private static void write(MappedPages pages, int page, int value) {
        memory(pages, page).put(4095, (byte) value);
    }

    private static int read(MappedPages pages, int page) {
        return memory(pages, page).get(4095);
    }

    private static ByteBuffer memory(MappedPages pages, int page) {
        return Torch.bytes(pages.page(page).bytes(), 0, 4096);
    }
}

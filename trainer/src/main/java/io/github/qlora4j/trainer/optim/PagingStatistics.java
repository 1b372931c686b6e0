package io.github.qlora4j.trainer.optim;

/**
 * What paged memory has done so far.
 *
 * @param pages pages in all
 * @param pageBytes bytes of a page
 * @param residentPages pages that are in memory now
 * @param mostResidentPages the most pages that were in memory at once
 * @param pageIns times a page was brought in
 * @param evictions times a page was put out to make room
 */
public record PagingStatistics(
        int pages, int pageBytes, int residentPages, int mostResidentPages, long pageIns, long evictions) {

    /** Bytes in memory now. */
    public long residentBytes() {
        return (long) residentPages * pageBytes;
    }

    /** Bytes in all. */
    public long totalBytes() {
        return (long) pages * pageBytes;
    }
}

package io.github.qlora4j.quant.scheme;

import io.github.qlora4j.quant.QloraException;

/**
 * Which weights of a matrix share a scale.
 *
 * @param kind how they are chosen
 * @param blocksize weights of a {@link Kind#BLOCK}, one behind the other, across the ends of rows; else 0
 */
public record Granularity(Kind kind, int blocksize) {

    /** How weights are chosen to share a scale. */
    public enum Kind {
        /** All of them. */
        TENSOR,
        /** Those of one output of a linear layer. */
        ROW,
        /** Those of one input of a linear layer. */
        COLUMN,
        /** A number of neighbours. */
        BLOCK
    }

    /** One scale for a tensor. */
    public static final Granularity TENSOR = new Granularity(Kind.TENSOR, 0);

    /** A scale for each row. */
    public static final Granularity ROW = new Granularity(Kind.ROW, 0);

    /** A scale for each column. */
    public static final Granularity COLUMN = new Granularity(Kind.COLUMN, 0);

    /** Checks that a block has a size, and nothing else has one. */
    public Granularity {
        if (kind == Kind.BLOCK ? blocksize < 1 : blocksize != 0) {
            throw new QloraException("blocksize " + blocksize
                    + (kind == Kind.BLOCK ? " is less than 1" : " means nothing for a " + name(kind)));
        }
    }

    /** A scale for each block of this many weights. */
    public static Granularity block(int blocksize) {
        return new Granularity(Kind.BLOCK, blocksize);
    }

    /**
     * The granularity of a name: {@code tensor}, {@code row}, {@code column}, {@code block64}.
     *
     * @throws QloraException if it is none
     */
    public static Granularity parse(String name) {
        for (Kind kind : Kind.values()) {
            if (kind != Kind.BLOCK && name.equals(name(kind))) {
                return new Granularity(kind, 0);
            }
        }
        if (name.matches("block[1-9][0-9]{0,8}")) {
            return block(Integer.parseInt(name.substring("block".length())));
        }
        throw new QloraException("granularity " + name + " is not known; expected tensor, row, column or block64");
    }

    private static String name(Kind kind) {
        return kind.name().toLowerCase(java.util.Locale.ROOT);
    }

    /** The name that {@link #parse} reads. */
    @Override
    public String toString() {
        return name(kind) + (kind == Kind.BLOCK ? blocksize : "");
    }
}

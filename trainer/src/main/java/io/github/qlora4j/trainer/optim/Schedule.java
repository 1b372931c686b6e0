package io.github.qlora4j.trainer.optim;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.trainer.config.SchedulerArguments;
import io.github.qlora4j.trainer.config.SchedulerType;

/**
 * The learning rate of every update, as {@code transformers.get_scheduler} computes it in double precision.
 *
 * <p>Updates count from 0, and the first one already uses the schedule: after a warm-up of 10 steps begins, update 0
 * has rate 0, as in TrainingArguments. Source: {@code transformers/optimization.py}. The schedules hold no state, so
 * that resuming needs the number of the update alone.
 */
public sealed interface Schedule {

    /**
     * The rate that update {@code k} uses.
     *
     * @param k the update, from 0; beyond the last one the schedule stays at its end
     */
    double learningRate(long k);

    /** The schedule that a configuration names. */
    static Schedule of(
            SchedulerType type, SchedulerArguments arguments, double learningRate, long warmupSteps, long totalSteps) {
        return switch (type) {
            case LINEAR -> linear(learningRate, warmupSteps, totalSteps);
            case COSINE -> cosine(learningRate, warmupSteps, totalSteps);
            case CONSTANT -> constant(learningRate);
            case CONSTANT_WITH_WARMUP -> constantWithWarmup(learningRate, warmupSteps);
            case POLYNOMIAL -> polynomial(learningRate, warmupSteps, totalSteps, arguments.lrEnd(), arguments.power());
        };
    }

    /** The same rate at every update. */
    static Schedule constant(double learningRate) {
        return new Constant(new Warmup(learningRate, 0));
    }

    /** Up in a line, then the same rate. */
    static Schedule constantWithWarmup(double learningRate, long warmupSteps) {
        return new Constant(new Warmup(learningRate, warmupSteps));
    }

    /** Up in a line, then down to zero in a line. */
    static Schedule linear(double learningRate, long warmupSteps, long totalSteps) {
        return new Linear(new Warmup(learningRate, warmupSteps), totalSteps);
    }

    /** Up in a line, then down to zero along half a cosine. */
    static Schedule cosine(double learningRate, long warmupSteps, long totalSteps) {
        return new Cosine(new Warmup(learningRate, warmupSteps), totalSteps);
    }

    /**
     * Up in a line, then down to {@code end} along a power.
     *
     * @throws QloraException unless {@code end} is below {@code learningRate}
     */
    static Schedule polynomial(double learningRate, long warmupSteps, long totalSteps, double end, double power) {
        if (!(learningRate > end)) {
            throw new QloraException("lr_end (" + end + ") must be smaller than learning_rate (" + learningRate
                    + "): lower training.lr_scheduler_kwargs.lr_end or choose another lr_scheduler_type");
        }
        return new Polynomial(new Warmup(learningRate, warmupSteps), totalSteps, end, power);
    }

    /** The rate at the top and the steps of the way up. */
    record Warmup(double peak, long steps) {
        /** Checks both. */
        public Warmup {
            if (!Double.isFinite(peak) || peak < 0) {
                throw new QloraException("learning_rate must be a number >= 0, got " + peak);
            }
            if (steps < 0) {
                throw new QloraException("warmup_steps must be >= 0, got " + steps);
            }
        }

        private boolean at(long k) {
            return k < steps;
        }

        private double rate(long k) {
            return peak * ((double) k / (double) Math.max(1, steps));
        }

        /** The share of the way down that is done at {@code k}. */
        private double progress(long k, long totalSteps) {
            return (double) (k - steps) / (double) Math.max(1, totalSteps - steps);
        }
    }

    /** See {@link #constantWithWarmup}. */
    record Constant(Warmup warmup) implements Schedule {
        @Override
        public double learningRate(long k) {
            return warmup.at(k) ? warmup.rate(k) : warmup.peak();
        }
    }

    /** See {@link #linear}. */
    record Linear(Warmup warmup, long totalSteps) implements Schedule {
        @Override
        public double learningRate(long k) {
            if (warmup.at(k)) {
                return warmup.rate(k);
            }
            double left = (double) (totalSteps - k) / (double) Math.max(1, totalSteps - warmup.steps());
            return warmup.peak() * Math.max(0.0, left);
        }
    }

    /** See {@link #cosine}. */
    record Cosine(Warmup warmup, long totalSteps) implements Schedule {
        @Override
        public double learningRate(long k) {
            if (warmup.at(k)) {
                return warmup.rate(k);
            }
            // StrictMath: the same bits on every machine
            double cosine = StrictMath.cos(Math.PI
                    * warmup.progress(Math.min(k, Math.max(totalSteps, warmup.steps())), totalSteps));
            return warmup.peak() * Math.max(0.0, 0.5 * (1.0 + cosine));
        }
    }

    /** See {@link #polynomial}. */
    record Polynomial(Warmup warmup, long totalSteps, double end, double power) implements Schedule {
        @Override
        public double learningRate(long k) {
            double peak = warmup.peak();
            if (warmup.at(k)) {
                return warmup.rate(k);
            }
            if (k > totalSteps || totalSteps == warmup.steps()) {
                return peak * (end / peak);
            }
            double left = 1 - (double) (k - warmup.steps()) / (double) (totalSteps - warmup.steps());
            double decayed = (peak - end) * StrictMath.pow(left, power) + end;
            return peak * (decayed / peak);
        }
    }
}

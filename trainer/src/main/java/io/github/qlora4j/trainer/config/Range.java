package io.github.qlora4j.trainer.config;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** The numbers a configuration key takes; on a list or a map, the numbers that its elements take. */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.RECORD_COMPONENT)
public @interface Range {

    /** The smallest value. */
    double min() default Double.NEGATIVE_INFINITY;

    /** The largest value. */
    double max() default Double.POSITIVE_INFINITY;

    /** {@link #min()} itself is too small. */
    boolean aboveMin() default false;

    /** {@link #max()} itself is too large. */
    boolean belowMax() default false;

    /** Where not empty, the only values there are. */
    int[] oneOf() default {};
}

package io.github.qlora4j.trainer.config;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** What a configuration key means and what it is when left out; the one source for reading, schema and docs. */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.RECORD_COMPONENT)
public @interface Key {

    /** One or two sentences for the reader of the file. */
    String value();

    /** The default, written as YAML. {@code null} is "none". */
    String orElse() default "null";

    /** The key must be given; {@link #orElse()} is not used. */
    boolean required() default false;

    /** The YAML name, where it is not the component's name in snake case. */
    String name() default "";
}

package io.github.qlora4j.trainer.config;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** Other spellings that stand for an enum constant; its own is its name in lower case. */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.FIELD)
@interface Spelled {

    /** The other spellings. */
    String[] value();
}

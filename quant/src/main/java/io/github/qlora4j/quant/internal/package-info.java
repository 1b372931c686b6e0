/** What the other packages of this library share and no program should depend on. */
package io.github.qlora4j.quant.internal;

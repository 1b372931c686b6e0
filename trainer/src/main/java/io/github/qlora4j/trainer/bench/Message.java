package io.github.qlora4j.trainer.bench;

import com.google.gson.FieldNamingPolicy;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;

/**
 * A line from the JVM that measures to the one that asked; one of its parts is there.
 *
 * @param doing what is being measured now
 * @param done work that is done, in tokens
 * @param loaded the model
 * @param forward a forward pass
 * @param generation a generation
 * @param failed why nothing more comes
 */
record Message(String doing, Long done, Loaded loaded, Pass forward, Generation generation, String failed) {

    /** Records by the names of their parts, {@code peakBytes} as {@code peak_bytes}. */
    static final Gson JSON = new GsonBuilder()
            .setFieldNamingPolicy(FieldNamingPolicy.LOWER_CASE_WITH_UNDERSCORES)
            .serializeNulls()
            .create();

    static Message doing(String what, long done) {
        return new Message(what, done, null, null, null, null);
    }

    static Message of(Loaded loaded) {
        return new Message(null, null, loaded, null, null, null);
    }

    static Message of(Pass forward) {
        return new Message(null, null, null, forward, null, null);
    }

    static Message of(Generation generation) {
        return new Message(null, null, null, null, generation, null);
    }

    static Message failed(String why) {
        return new Message(null, null, null, null, null, why);
    }

    static Message read(String line) {
        return JSON.fromJson(line, Message.class);
    }

    String line() {
        return JSON.toJson(this);
    }
}

package io.github.qlora4j.trainer.cli;

import com.google.gson.JsonObject;

/**
 * One thing that {@code doctor} looked at.
 *
 * @param name what
 * @param value what was found
 * @param remedy what to do about it; empty where nothing is wrong
 */
record Finding(String name, String value, String remedy) {
    /** Something that is as it should be. */
    static Finding fine(String name, String value) {
        return new Finding(name, value, "");
    }

    /** Something that is not, and what mends it. */
    static Finding problem(String name, String value, String remedy) {
        return new Finding(name, value, remedy);
    }

    boolean ok() {
        return remedy.isEmpty();
    }

    JsonObject json() {
        JsonObject json = new JsonObject();
        json.addProperty("name", name);
        json.addProperty("value", value);
        json.addProperty("ok", ok());
        if (!ok()) {
            json.addProperty("remedy", remedy);
        }
        return json;
    }
}

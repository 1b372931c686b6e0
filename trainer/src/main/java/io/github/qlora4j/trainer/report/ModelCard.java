package io.github.qlora4j.trainer.report;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.internal.AtomicFile;
import io.github.qlora4j.quant.internal.Reason;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;

/**
 * The {@code README.md} beside an adapter: front matter as peft writes it, results, and the configuration.
 *
 * @param baseModel the base as the configuration names it: a directory, or a hub's name
 * @param configuration the resolved configuration as YAML text
 * @param results what came out, in the order to show it, such as {@code eval loss -> 1.2345}
 * @param versions what it was made with, such as {@code qlora4j -> 0.1.0}
 */
public record ModelCard(
        String baseModel, String configuration, Map<String, String> results, Map<String, String> versions) {
    /** A JSON string is a YAML string, whatever stands in it. */
    private static final Gson YAML_STRINGS =
            new GsonBuilder().disableHtmlEscaping().create();

    /** The text of the card. */
    public String text() {
        String base = YAML_STRINGS.toJson(baseModel);
        StringBuilder card = new StringBuilder();
        card.append("---\nbase_model: ")
                .append(base)
                .append("\nlibrary_name: peft\npipeline_tag: text-generation\ntags:\n");
        card.append("- ")
                .append(YAML_STRINGS.toJson("base_model:adapter:" + baseModel))
                .append('\n');
        card.append("- lora\n- qlora\n- qlora4j\n---\n\n# LoRA adapter\n\n");
        card.append("A LoRA adapter in PEFT's format, trained with qlora4j on `")
                .append(baseModel.replace("`", "'"));
        card.append("`.\n\n## Results\n\n");
        table(card, results);
        card.append("\nThe loss of each step is in `metrics.jsonl`.\n\n## Configuration\n\n```yaml\n");
        card.append(configuration.strip()).append("\n```\n\n## Versions\n\n");
        table(card, versions);
        return card.toString();
    }

    /**
     * Writes the card, beside and moved into place.
     *
     * @throws QloraException if it cannot be written
     */
    public void write(Path file) {
        try {
            AtomicFile.write(file, out -> out.write(text().getBytes(StandardCharsets.UTF_8)));
        } catch (IOException e) {
            throw new QloraException(file + ": cannot be written: " + Reason.of(e), e);
        }
    }

    private static void table(StringBuilder card, Map<String, String> rows) {
        card.append("| | |\n| --- | --- |\n");
        rows.forEach((name, value) -> card.append("| ")
                .append(cell(name))
                .append(" | ")
                .append(cell(value))
                .append(" |\n"));
    }

    private static String cell(String text) {
        return text.replace("|", "\\|").replace("\n", " ");
    }
}

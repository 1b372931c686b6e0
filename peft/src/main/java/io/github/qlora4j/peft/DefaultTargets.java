package io.github.qlora4j.peft;

import io.github.qlora4j.quant.QloraException;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** peft 0.21.2's table of target modules by {@code model_type}: TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING. */
final class DefaultTargets {

    private static final Map<String, TargetModules> TABLE = new TreeMap<>();

    static {
        names(List.of("q_proj", "v_proj"), "bart", "opt", "gptj", "gpt_neo", "llama", "llama4", "mistral", "mixtral");
        names(List.of("q_proj", "v_proj"), "stablelm", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3");
        names(List.of("q", "v"), "t5", "mt5");
        names(List.of("c_attn"), "gpt2", "gpt_bigcode");
        names(List.of("query_key_value"), "bloom", "gpt_neox", "chatglm", "RefinedWebModel", "RefinedWeb", "falcon");
        names(List.of("q", "v", "q_proj", "v_proj"), "blip-2");
        names(List.of("query", "value"), "bert", "roberta", "xlm-roberta", "electra", "layoutlm");
        names(List.of("query_proj", "value_proj"), "deberta-v2");
        names(List.of("in_proj"), "deberta");
        names(List.of("Wqkv"), "mpt");
        names(List.of("c_proj", "c_attn"), "btlm");
        names(List.of("qkv_proj"), "codegen");
        names(List.of("q_proj", "v_proj", "fc1", "fc2"), "phi");
        names(List.of("q_proj", "k_proj", "v_proj", "o_proj"), "nemotron_h");
        names(List.of("key", "value", "receptance", "output"), "rwkv");
        names(List.of("r_proj", "k_proj", "v_proj", "o_proj", "key", "value"), "rwkv7");
        TABLE.put("gemma4", new TargetModules.Regex(".*language_model\\..*\\.(q_proj|v_proj)"));
    }

    private DefaultTargets() {}

    private static void names(List<String> targets, String... modelTypes) {
        for (String modelType : modelTypes) {
            TABLE.put(modelType, new TargetModules.Names(targets));
        }
    }

    /** Returns the targets of a model type: names, or a regular expression. */
    static TargetModules of(String modelType) {
        TargetModules found = modelType == null ? null : TABLE.get(modelType);
        if (found == null) {
            throw new QloraException("peft has no default target_modules for model_type "
                    + (modelType == null ? "(none given)" : "'" + modelType + "'")
                    + ". Set target_modules to names, a regular expression or all-linear. Known model types: "
                    + String.join(", ", TABLE.keySet()) + ".");
        }
        return found;
    }

    static Map<String, TargetModules> table() {
        return Map.copyOf(TABLE);
    }
}

package io.github.qlora4j.peft;

import io.github.qlora4j.quant.QloraException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/** Matches module names against a configuration as {@code check_target_module_exists} of peft 0.21.2 does. */
final class TargetMatching {

    private static final Logger LOG = LogManager.getLogger(TargetMatching.class);

    /** Without layers_pattern: the first numbered part, so that a layer's number is taken and not an expert's. */
    private static final Pattern ANY_LAYER = Pattern.compile(".*?\\.[^.]*\\.(?<idx>\\d+)\\.");

    private final LoraConfig config;
    private final TargetModules targets;
    private final Pattern regex;
    private final Pattern excluded;
    private final List<Pattern> saved = new ArrayList<>();
    private final List<Pattern> layers = new ArrayList<>();
    private final Map<String, Pattern> rankKeys;
    private final Map<String, Pattern> alphaKeys;

    TargetMatching(LoraConfig config, String modelType) {
        this.config = config;
        this.targets = config.targetModules() instanceof TargetModules.ModelDefault
                ? DefaultTargets.of(modelType)
                : config.targetModules();
        this.regex =
                targets instanceof TargetModules.Regex r ? PythonRegex.compile(r.pattern(), "target_modules") : null;
        this.excluded = config.excludeModules() instanceof TargetModules.Regex r
                ? PythonRegex.compile(r.pattern(), "exclude_modules")
                : null;
        for (String module : config.modulesToSave()) {
            saved.add(PythonRegex.compile("(^|.*\\.)" + module + "($|\\..*)", "modules_to_save"));
        }
        for (String pattern : config.layersPattern()) {
            layers.add(PythonRegex.compile("(?:^|.*?\\.)" + pattern + "\\.(?<idx>\\d+)\\.", "layers_pattern"));
        }
        rankKeys = patternKeys(config.rankPattern().keySet(), "rank_pattern");
        alphaKeys = patternKeys(config.alphaPattern().keySet(), "alpha_pattern");
    }

    /** Finds the targets; {@code strict}: an entry of a list that matches nothing is an error, not a warning. */
    List<Target> resolve(List<ModuleInfo> modules, boolean strict) {
        checkUnique(modules);
        List<Target> found = new ArrayList<>();
        for (ModuleInfo module : modules) {
            if (matches(module)) {
                found.add(target(module));
            }
        }
        if (found.isEmpty()) {
            throw new QloraException(nothingMatched(modules));
        }
        if (targets instanceof TargetModules.Names names) {
            reportUnmatchedNames(names.names(), modules, strict);
        }
        reportUnmatchedPatterns("rank_pattern", rankKeys, found);
        reportUnmatchedPatterns("alpha_pattern", alphaKeys, found);
        return List.copyOf(found);
    }

    private boolean matches(ModuleInfo module) {
        String name = module.name();
        if (isExcluded(name) || isSaved(name)) {
            return false;
        }
        if (targets instanceof TargetModules.AllLinear) {
            return module.isLinear() && !module.isOutputHead();
        }
        if (regex != null) {
            return regex.matcher(name).matches();
        }
        List<String> names = ((TargetModules.Names) targets).names();
        if (names.contains(name)) {
            return true; // a full name is meant whatever its layer
        }
        return endsWithPart(name, names) && isLayerWanted(name);
    }

    private boolean isExcluded(String name) {
        if (excluded != null) {
            return excluded.matcher(name).matches();
        }
        return config.excludeModules() instanceof TargetModules.Names names
                && (names.names().contains(name) || endsWithPart(name, names.names()));
    }

    private boolean isSaved(String name) {
        return saved.stream().anyMatch(p -> p.matcher(name).lookingAt());
    }

    private static boolean endsWithPart(String name, List<String> endings) {
        return endings.stream().anyMatch(e -> name.endsWith("." + e));
    }

    private boolean isLayerWanted(String name) {
        if (config.layersToTransform().isEmpty()) {
            return true;
        }
        for (Pattern pattern : layers.isEmpty() ? List.of(ANY_LAYER) : layers) {
            Matcher matcher = pattern.matcher(name);
            if (matcher.lookingAt()) {
                String index = matcher.group("idx");
                // a number that no int holds is no layer that was asked for
                return index.length() < 10 && config.layersToTransform().contains(Integer.valueOf(index));
            }
        }
        return false;
    }

    private Target target(ModuleInfo module) {
        if (!module.isLinear()) {
            throw new QloraException("Target module " + module.name()
                    + " is not supported: it is not linear. LoRA goes on linear modules (weights [out, in]) only;"
                    + " an embedding or an output head can be trained whole by naming it in modules_to_save.");
        }
        int r = patternValue(config.rankPattern(), rankKeys, module.name(), config.r());
        double alpha = patternValue(config.alphaPattern(), alphaKeys, module.name(), config.loraAlpha());
        return new Target(module, r, alpha, config.scaling(r, alpha));
    }

    private static <V> V patternValue(Map<String, V> values, Map<String, Pattern> keys, String name, V otherwise) {
        for (Map.Entry<String, Pattern> key : keys.entrySet()) {
            if (key.getValue().matcher(name).lookingAt()) {
                return values.get(key.getKey());
            }
        }
        return values.getOrDefault(name, otherwise);
    }

    private static Map<String, Pattern> patternKeys(Set<String> keys, String setting) {
        Map<String, Pattern> compiled = new LinkedHashMap<>();
        for (String key : keys) {
            compiled.put(key, PythonRegex.compile("(.*\\.)?(" + key + ")$", setting));
        }
        return compiled;
    }

    private static void checkUnique(List<ModuleInfo> modules) {
        Set<String> seen = new HashSet<>();
        for (ModuleInfo module : modules) {
            if (!seen.add(module.name())) {
                throw new QloraException("Two modules of the base have the name " + module.name() + ".");
            }
        }
    }

    private String nothingMatched(List<ModuleInfo> modules) {
        List<String> linear = modules.stream()
                .filter(ModuleInfo::isLinear)
                .map(ModuleInfo::name)
                .toList();
        StringBuilder message = new StringBuilder("target_modules ");
        if (targets instanceof TargetModules.Names names) {
            message.append(names.names()).append(" match no module of the base.");
            if (names.names().isEmpty()) {
                message.append(" The list is empty: name at least one module.");
            }
            for (String name : names.names()) {
                if (modules.stream()
                        .noneMatch(m -> m.name().equals(name) || m.name().endsWith("." + name))) {
                    message.append(nearest(name, modules));
                }
            }
        } else if (targets instanceof TargetModules.Regex r) {
            message.append('\'')
                    .append(r.pattern())
                    .append("' match no module of the base. As a string it is a regular");
            message.append(" expression and must match a whole name, such as ");
            message.append(linear.isEmpty() ? "model.layers.0.self_attn.q_proj" : linear.get(0))
                    .append('.');
        } else {
            message.append("all-linear match no module of the base: it has no linear module besides the output head.");
        }
        if (!config.layersToTransform().isEmpty()) {
            message.append(" layers_to_transform is ").append(config.layersToTransform());
            message.append(
                    config.layersPattern().isEmpty() ? "." : " with layers_pattern " + config.layersPattern() + ".");
        }
        if (modules.stream().anyMatch(m -> isExcluded(m.name()) || isSaved(m.name()))) {
            message.append(" Some modules are left out by exclude_modules or modules_to_save.");
        }
        return message.toString();
    }

    /** peft passes over a name that matches nothing; asked for anew it is most often a slip of the pen. */
    private static void reportUnmatchedNames(List<String> names, List<ModuleInfo> modules, boolean strict) {
        for (String name : names) {
            if (modules.stream()
                    .noneMatch(m -> m.name().equals(name) || m.name().endsWith("." + name))) {
                String message =
                        "target_modules '" + name + "' matches no module of the base." + nearest(name, modules);
                if (strict) {
                    throw new QloraException(message + " Mend the name or leave it out.");
                }
                LOG.warn(message);
            }
        }
    }

    private static String nearest(String name, List<ModuleInfo> modules) {
        List<String> linear = modules.stream()
                .filter(ModuleInfo::isLinear)
                .map(ModuleInfo::name)
                .toList();
        List<String> nearest = NearestNames.of(name, linear);
        return nearest.isEmpty() ? "" : " Nearest to '" + name + "': " + String.join(", ", nearest) + ".";
    }

    private static void reportUnmatchedPatterns(String setting, Map<String, Pattern> keys, List<Target> found) {
        keys.forEach((key, pattern) -> {
            if (found.stream().noneMatch(t -> pattern.matcher(t.name()).lookingAt())) {
                LOG.warn("{} '{}' matches no targeted module and has no effect.", setting, key);
            }
        });
    }

    static List<ModuleInfo> modulesToSave(LoraConfig config, List<ModuleInfo> modules) {
        Set<ModuleInfo> found = new LinkedHashSet<>();
        for (ModuleInfo module : modules) {
            if (config.modulesToSave().stream().anyMatch(module.name()::endsWith)) {
                found.add(module);
            }
        }
        List<String> names = modules.stream().map(ModuleInfo::name).toList();
        for (String entry : config.modulesToSave()) {
            if (names.stream().noneMatch(n -> n.endsWith(entry))) {
                throw new QloraException("modules_to_save '" + entry + "' matches no module of the base. Nearest: "
                        + String.join(", ", NearestNames.of(entry, names)) + ".");
            }
        }
        return List.copyOf(found);
    }
}

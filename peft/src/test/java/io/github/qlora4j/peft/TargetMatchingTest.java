package io.github.qlora4j.peft;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the golden rows of peft do not say: the words of errors, and names that no model of theirs has. */
class TargetMatchingTest {

    private static final List<ModuleInfo> MODULES = List.of(
            ModuleInfo.other("model.embed_tokens", 9, 8),
            ModuleInfo.linear("model.layers.0.self_attn.q_proj", 8, 8),
            ModuleInfo.linear("model.layers.1.self_attn.q_proj", 8, 8),
            ModuleInfo.linear("model.layers.1.mlp.up_proj", 8, 8),
            ModuleInfo.other("model.norm", 8, 1),
            ModuleInfo.outputHead("lm_head", 9, 8));

    private static List<String> names(LoraConfig config) {
        return TargetModules.resolve(config, MODULES, "llama").stream()
                .map(Target::name)
                .toList();
    }

    private static void assertRefused(LoraConfig config, String message) {
        assertThatThrownBy(() -> TargetModules.resolve(config, MODULES, "llama"))
                .isInstanceOf(QloraException.class)
                .hasMessage(message);
    }

    @Test
    void saysWhyNothingMatches() {
        LoraConfig.Builder config = LoraConfig.builder();
        assertRefused(
                config.optTargetModules(new TargetModules.Names(List.of())).build(),
                "target_modules [] match no module of the base. The list is empty: name at least one module.");
        assertRefused(
                config.optTargetModules(new TargetModules.Regex(".*q_pro")).build(),
                "target_modules '.*q_pro' match no module of the base. As a string it is a regular expression and must"
                        + " match a whole name, such as model.layers.0.self_attn.q_proj.");
        assertRefused(
                config.optTargetModules("q_proj")
                        .optLayersToTransform(List.of(7))
                        .build(),
                "target_modules [q_proj] match no module of the base. layers_to_transform is [7].");
        assertRefused(
                config.optLayersPattern(List.of("h")).build(),
                "target_modules [q_proj] match no module of the base. layers_to_transform is [7] with layers_pattern"
                        + " [h].");
        LoraConfig excluded = LoraConfig.builder()
                .optTargetModules("up_proj")
                .optExcludeModules(TargetModules.names("mlp.up_proj"))
                .build();
        assertRefused(
                excluded,
                "target_modules [up_proj] match no module of the base. Some modules are left out by exclude_modules or"
                        + " modules_to_save.");
        LoraConfig saved = LoraConfig.builder()
                .optTargetModules("up_proj")
                .optModulesToSave(List.of("mlp"))
                .build();
        assertRefused(
                saved,
                "target_modules [up_proj] match no module of the base. Some modules are left out by exclude_modules or"
                        + " modules_to_save.");
        LoraConfig all = LoraConfig.builder()
                .optTargetModules(new TargetModules.AllLinear())
                .build();
        List<ModuleInfo> head = List.of(ModuleInfo.outputHead("lm_head", 9, 8));
        assertThatThrownBy(() -> TargetModules.resolve(all, head, null))
                .hasMessage("target_modules all-linear match no module of the base: it has no linear module besides the"
                        + " output head.");
        LoraConfig regex = LoraConfig.builder()
                .optTargetModules(new TargetModules.Regex("x"))
                .build();
        assertThatThrownBy(() -> TargetModules.resolve(regex, List.of(), null))
                .hasMessageEndingWith("must match a whole name, such as model.layers.0.self_attn.q_proj.");
        LoraConfig wrong = LoraConfig.builder().optTargetModules("q_prj", "x").build();
        assertThatThrownBy(() -> TargetModules.resolve(wrong, List.of(), null))
                .hasMessage("target_modules [q_prj, x] match no module of the base.");
    }

    @Test
    void anAdapterThatWasSavedMayNameModulesThatAreNotThere() {
        LoraConfig config =
                LoraConfig.builder().optTargetModules("q_proj", "c_attn").build();
        assertThat(new TargetMatching(config, "llama").resolve(MODULES, false)).hasSize(2);
        assertRefused(
                config,
                "target_modules 'c_attn' matches no module of the base. Nearest to 'c_attn': q_proj, lm_head, up_proj."
                        + " Mend the name or leave it out.");
    }

    @Test
    void aFullNameCountsAsFound() {
        assertThat(names(LoraConfig.builder()
                        .optTargetModules("model.layers.1.mlp.up_proj", "self_attn.q_proj")
                        .build()))
                .hasSize(3);
        assertThat(names(LoraConfig.builder()
                        .optTargetModules("lm_head", "q_proj")
                        .optExcludeModules(TargetModules.names("lm_head"))
                        .build()))
                .containsExactly("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj");
    }

    @Test
    void twoModulesOfOneNameAreRefused() {
        List<ModuleInfo> twice = List.of(MODULES.get(1), MODULES.get(1));
        LoraConfig config = LoraConfig.builder().optTargetModules("q_proj").build();
        assertThatThrownBy(() -> TargetModules.resolve(config, twice, null))
                .isInstanceOf(QloraException.class)
                .hasMessage("Two modules of the base have the name model.layers.0.self_attn.q_proj.");
    }

    @Test
    void aModuleWithoutAMatrixIsNoTarget() {
        assertThatThrownBy(() -> names(
                        LoraConfig.builder().optTargetModules("embed_tokens").build()))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith("Target module model.embed_tokens is not supported: it is not linear.");
        assertThatThrownBy(() -> ModuleInfo.linear("a", 0, 1))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("Linear module a has shape [0, 1]");
        assertThatThrownBy(() -> ModuleInfo.outputHead("a", 1, 0)).hasMessageContaining("has shape [1, 0]");
        assertThatThrownBy(() -> ModuleInfo.other("", 1, 1)).hasMessage("A module has no name.");
        assertThat(ModuleInfo.linear("a", 1, 1).isOutputHead()).isFalse();
        assertThat(ModuleInfo.other("a", 0, 0).isLinear()).isFalse();
    }

    @ParameterizedTest
    @CsvSource({"999999999, 1", "4000000000, 0", "99999999999, 0"})
    void aLayersNumberMayBeLongerThanAnInt(String number, int found) {
        List<ModuleInfo> modules =
                List.of(ModuleInfo.linear("a.h." + number + ".q", 1, 1), ModuleInfo.linear("a.h.2.q", 1, 1));
        LoraConfig config = LoraConfig.builder()
                .optTargetModules("q")
                .optLayersToTransform(List.of(2, 999999999))
                .build();
        assertThat(TargetModules.resolve(config, modules, null)).hasSize(1 + found);
    }

    @Test
    void aPatternThatFitsNoTargetChangesNothing() {
        LoraConfig config = LoraConfig.builder()
                .optTargetModules("up_proj")
                .optRankPattern(Map.of("q_proj", 2))
                .optAlphaPattern(Map.of("q_proj", 3.0))
                .build();
        Target target = TargetModules.resolve(config, MODULES, null).get(0);
        assertThat(target.r()).isEqualTo(8);
        assertThat(target.alpha()).isEqualTo(8);
    }

    @Test
    void modulesToSaveComeInTheOrderOfTheModel() {
        LoraConfig config = LoraConfig.builder()
                .optModulesToSave(List.of("lm_head", "embed_tokens", "head"))
                .build();
        assertThat(TargetModules.resolveModulesToSave(config, MODULES)).containsExactly(MODULES.get(0), MODULES.get(5));
        assertThat(TargetModules.resolveModulesToSave(LoraConfig.builder().build(), MODULES))
                .isEmpty();
    }

    @Test
    void aModelTypeThatPeftDoesNotKnowIsNamed() {
        assertThatThrownBy(() -> DefaultTargets.of("nope"))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("for model_type 'nope'. Set target_modules")
                .hasMessageContaining("btlm, chatglm, codegen");
        assertThatThrownBy(() -> DefaultTargets.of(null)).hasMessageContaining("for model_type (none given).");
    }

    @Test
    void nearestNamesHaveAsManyPartsAsTheWrongOne() {
        List<String> modules = List.of("model.layers.0.mlp.up", "model.layers.0.mlp.down", "up", "model.0", "head.lm");
        assertThat(NearestNames.of("ip", modules)).containsExactly("up", "lm", "down");
        assertThat(NearestNames.of("mpl.up", modules)).containsExactly("mlp.up", "up", "mlp.down");
        assertThat(NearestNames.of("x", List.of("h.0", "h.1", "h.y")))
                .as("numbers are no names")
                .containsExactly("y");
        assertThat(NearestNames.of("a.b.c.d.e.f", List.of("a.b"))).containsExactly("a.b");
    }
}

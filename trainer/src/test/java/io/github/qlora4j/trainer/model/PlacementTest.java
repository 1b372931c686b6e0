package io.github.qlora4j.trainer.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.qlora4j.quant.QloraException;
import io.github.qlora4j.quant.torch.Dtype;
import io.github.qlora4j.trainer.config.Device;
import io.github.qlora4j.trainer.config.DeviceMap;
import io.github.qlora4j.trainer.config.MemorySize;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Maps that users write, and what a plan is made from. */
class PlacementTest {

    private static final ModelConfig CONFIG = ModelConfig.read(Golden.model("llama-gqa"));

    private static Placement place(ModelConfig config, PlacementOptions options, boolean bitsandbytes) {
        return Placement.of(
                config, options, (name, linear) -> linear.out() * linear.in() * 2, Dtype.BFLOAT16, bitsandbytes);
    }

    private static Placement place(String yaml) {
        return place(CONFIG, PlacementOptions.of(DeviceMap.parse(yaml, "test")), false);
    }

    private static PlacementOptions auto(long free, Map<Device, MemorySize> limits) {
        return new PlacementOptions(Optional.of(DeviceMap.auto()), limits, Optional.empty(), false, free);
    }

    @Test
    void theLongestNameSays() {
        Placement placement = place("{\"\": cpu, model.layers: disk, model.layers.1: cpu}");
        assertThat(placement.block(0)).isEqualTo(Device.DISK);
        assertThat(placement.block(1)).isEqualTo(Device.CPU);
        assertThat(placement.device("model.layers.0.mlp.up_proj")).isEqualTo(Device.DISK);
        assertThat(placement.headOnDisk()).isFalse();
        assertThat(placement.lines()).containsExactly("in memory: embeddings, block 1, head", "on the disk: block 0");
    }

    @Test
    void aBlockMayBeNamedByItsParts() {
        Placement placement = place("{\"\": cpu, model.layers.0.mlp: disk, model.layers.0.self_attn: disk,"
                + " model.layers.0.input_layernorm: disk, model.layers.0.post_attention_layernorm: disk}");
        assertThat(placement.block(0)).isEqualTo(Device.DISK);
        assertThat(placement.blocks(Device.DISK)).isEqualTo(1);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{\"\": cpu, model.layers.7: disk} | the model has no module model.layers.7; it has model.embed_tokens",
                "{model.layers: disk} | it says nothing of model.embed_tokens and 2 more modules; add them, or \"\": cpu",
                "{\"\": cpu, model.layers.0.mlp: disk} | model.layers.0 is divided among [cpu, disk]; a block lies on one",
            })
    void mapsThatDoNotFitAreErrors(String yaml, String expected) {
        assertThatThrownBy(() -> place(yaml))
                .isInstanceOf(QloraException.class)
                .hasMessageStartingWith("model.device_map: ")
                .hasMessageContaining(expected);
    }

    @Test
    void aTiedTableIsOnTheDiskWhereBothAre() {
        ModelConfig tied = ModelConfig.read(Golden.model("llama-tied"));
        Placement one = place(tied, PlacementOptions.of(DeviceMap.parse("{\"\": cpu, lm_head: disk}", "test")), false);
        assertThat(one.headOnDisk()).isFalse();
        assertThat(one.usesDisk()).isFalse();
        Placement both = place(tied, PlacementOptions.of(DeviceMap.all(Device.DISK)), false);
        assertThat(both.headOnDisk()).isTrue();
        assertThat(both.embeddingsOnDisk()).isTrue();
    }

    @Test
    void whatIsFreeIsTakenToNineTenths() {
        // with 175,000 bytes a block fits beside what is kept free for the other, with nine tenths of them it does not
        assertThat(place(CONFIG, auto(175_000, Map.of()), false).blocks(Device.CPU))
                .isZero();
        assertThat(place(CONFIG, auto(195_000, Map.of()), false).blocks(Device.CPU))
                .isEqualTo(1);
        // limits are taken as they are, but for bitsandbytes
        Map<Device, MemorySize> limits = Map.of(Device.CPU, new MemorySize(175_000));
        assertThat(place(CONFIG, auto(0, limits), false).blocks(Device.CPU)).isEqualTo(1);
        assertThat(place(CONFIG, auto(0, limits), true).blocks(Device.CPU)).isZero();
    }

    @Test
    void withoutKnowingWhatIsFree_autoNeedsALimit() {
        assertThatThrownBy(() -> place(CONFIG, auto(0, Map.of()), false))
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("model.max_memory: {cpu: 4GB}");
    }

    @Test
    void gpusArePlannedAndRefused() {
        Map<Device, MemorySize> limits =
                Map.of(new Device(0), MemorySize.parse("110KB"), Device.CPU, MemorySize.parse("200KB"));
        Placement placement = place(CONFIG, auto(0, limits), false);
        assertThat(placement.usesGpu()).isTrue();
        assertThat(placement.lines()).first().asString().startsWith("GPU 0: embeddings");
        assertThatThrownBy(placement::requireNoGpu)
                .isInstanceOf(QloraException.class)
                .hasMessageContaining("would lie on GPU 0, and nothing computes on GPUs yet");
    }
}

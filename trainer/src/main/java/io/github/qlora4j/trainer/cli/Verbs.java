package io.github.qlora4j.trainer.cli;

import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.IFactory;

/** The verbs, in the order of {@code --help}, and the factory that gives each its streams. */
final class Verbs implements IFactory {
    static final List<Class<? extends Verb>> ALL = List.of(
            TrainVerb.class,
            PlanVerb.class,
            PreviewVerb.class,
            QuantizeVerb.class,
            CompareVerb.class,
            BenchVerb.class,
            ScoreVerb.class,
            EvalVerb.class,
            GenerateVerb.class,
            ChatVerb.class,
            MergeVerb.class,
            InspectVerb.class,
            DoctorVerb.class,
            SchemaVerb.class);

    private final Terminal terminal;
    private final Output output;

    Verbs(Terminal terminal, Output output) {
        this.terminal = terminal;
        this.output = output;
    }

    @Override
    public <K> K create(Class<K> type) throws Exception {
        K made = Verb.class.isAssignableFrom(type)
                ? type.getDeclaredConstructor().newInstance()
                : CommandLine.defaultFactory().create(type);
        if (made instanceof Verb verb) {
            verb.attach(terminal, output);
        }
        return made;
    }
}

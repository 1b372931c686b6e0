package io.github.qlora4j.trainer.data;

import java.util.List;

/** The template {@code human_assistant}. */
record HumanAssistantTemplate() implements Template {

    @Override
    public boolean historyInPrompt() {
        return false;
    }

    @Override
    public String prompt(String instruction, String input, List<Row.Turn> history) {
        return PythonText.strip("Human: " + instruction + "\n" + input) + "\n\nAssistant: ";
    }

    @Override
    public String answer(String output) {
        return output;
    }

    @Override
    public String definition() {
        return "human_assistant 1";
    }
}

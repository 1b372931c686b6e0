/**
 * How much memory a run will take, found before anything is loaded.
 *
 * <p>A {@link io.github.qlora4j.trainer.plan.ModelShape} and {@link io.github.qlora4j.trainer.plan.PlanSettings} give a
 * {@link io.github.qlora4j.trainer.plan.MemoryPlan}, a line for each thing that stands in memory; {@link
 * io.github.qlora4j.trainer.plan.RunPlan} makes it of a configuration, {@link io.github.qlora4j.trainer.plan.MemoryAdvice}
 * says what would make it smaller at the least cost.
 */
package io.github.qlora4j.trainer.plan;

"""What transformers' Trainer keeps as the best evaluation, and when its EarlyStoppingCallback stops, over losses.

Versions: transformers 5.23.0. Writes golden/training/best.json: {losses, threshold, steps: [[best loss, best step,
evaluations without gain]]}, an evaluation each.
"""
import types

from transformers import EarlyStoppingCallback, Trainer

from _tiny import TRAINING, write_json

CASES = [
    ([3.0, 2.0, 2.5, 1.0, 1.0, 1.5], 0.0),
    ([3.0, 2.9, 2.8, 2.7, 2.2, 2.1], 0.2),
    ([3.0, 2.75, 2.5, 2.5, 2.0], 0.25),
    ([1.0, 1.1, 1.2], 0.5),
    ([1.0, float("nan"), 0.5], 0.0),
]


def followed(losses, threshold):
    args = types.SimpleNamespace(metric_for_best_model="loss", greater_is_better=False, save_strategy="steps")
    state = types.SimpleNamespace(best_metric=None, best_global_step=None, global_step=0)
    trainer = types.SimpleNamespace(args=args, state=state)
    stopper = EarlyStoppingCallback(1, threshold)
    for loss in losses:
        state.global_step += 10
        stopper.check_metric_value(args, state, None, loss)
        Trainer._determine_best_metric(trainer, {"eval_loss": loss}, None)
        yield [state.best_metric, state.best_global_step, stopper.early_stopping_patience_counter]


def main():
    write_json(TRAINING / "best.json", [
        dict(losses=[str(loss) for loss in losses], threshold=threshold, steps=list(followed(losses, threshold)))
        for losses, threshold in CASES])


if __name__ == "__main__":
    main()

"""What the programs in this folder share: how a run is started, and what two runs must have in common. Python 3 alone."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

HOME = pathlib.Path(__file__).resolve().parents[2]
MODEL = HOME / "examples/quickstart/model"
ROWS = HOME / "examples/quickstart/instructions.json"
HELD_OUT = HOME / "examples/quickstart/held_out.json"
TIMES = ("tokens_per_second", "seconds", "peak_rss_bytes", "eval_seconds")


def class_path():
    """Builds where needed, as any command of scripts/qlora does; QLORA4J_CLASS_PATH names another build."""
    if os.environ.get("QLORA4J_CLASS_PATH"):
        return os.environ["QLORA4J_CLASS_PATH"]
    done = subprocess.run([HOME / "scripts/qlora", "--class-path"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.strip()


def environment(**more):
    """The launcher's own settings, and those given."""
    own = dict(OPT_OUT_TRACKING="true", RUST_FLAVOR="cpu", MALLOC_ARENA_MAX="1")
    return {**os.environ, **own, **{k: str(v) for k, v in more.items()}}


def command(path, *args, java=()):
    """The words that start a verb: the launcher's, but that the JVM is the process itself and starts fast."""
    return ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss4m", "-Djava.awt.headless=true",
            *java, *shlex.split(os.environ.get("QLORA4J_JAVA_OPTS", "")), "-cp", path,
            "io.github.qlora4j.trainer.cli.Main", *map(str, args)]


def write_config(file, output, work, keys):
    """A run of the quick start's model, as one `section.key=value` a key over small defaults."""
    sections = {
        "model": {"path": str(MODEL)},
        "lora": {"r": 16, "target_modules": "all-linear", "lora_dropout": 0.1, "dtype": "bfloat16"},
        "data": {"train": str(ROWS), "template": "human_assistant", "max_length": 64, "cache_dir": str(work / "cache")},
        "training": {
            "output_dir": str(output), "max_steps": 24, "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2, "learning_rate": 1e-3, "threads": 1, "save_steps": 1},
    }
    for key, value in keys.items():
        section, name = key.split(".")
        sections.setdefault(section, {})[name] = value
    # JSON is YAML
    file.write_text(json.dumps(sections, indent=1))
    return file


def metrics(run):
    """The lines of a run's metrics without its times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def differences(whole, broken):
    """What differs between an unbroken run and one that was resumed, or was left behind; nothing where all is well."""
    found = []
    last = max((p.name for p in whole.glob("checkpoint-*")), key=lambda n: int(n.split("-")[1]), default=None)
    names = ["adapter_model.safetensors", "adapter_config.json"]
    if last:
        names += [f"{last}/adapter_model.safetensors", f"{last}/optimizer.safetensors"]
    for name in names:
        if not (broken / name).is_file():
            found.append(f"{name} is missing")
        elif (whole / name).read_bytes() != (broken / name).read_bytes():
            found.append(f"{name} has other bytes")
    if metrics(whole) != metrics(broken):
        found.append("metrics.jsonl has other lines")
    for name in sorted({p.name for p in broken.iterdir()} ^ {p.name for p in whole.iterdir()}):
        found.append(f"{name} is in one of the two only")
    return found


class Ended:
    """How a command ended, and whether it ended well: right, or in one clear error."""

    def __init__(self, code, text, seconds):
        self.code, self.text, self.seconds = code, text, seconds

    @property
    def error(self):
        """The first line of the error it told, or an empty text."""
        return next((line for line in self.text.splitlines() if line.startswith("error: ")), "")

    def faults(self):
        """What no command may do, whatever was done to it."""
        found = []
        if self.code is None:
            found.append("it hangs")
        elif self.code not in (0, 1, 2):
            found.append(f"it ended with {self.code}")
        if any(line.startswith("\tat ") for line in self.text.splitlines()) or "hs_err_pid" in self.text:
            found.append("a stack trace")
        if re.search(r"\b\w+Exception\b|\b(java|javax|com\.sun|ai\.djl)\.[a-z]", self.error):
            found.append("the error names a class")
        if "internal error" in self.text:
            found.append("an internal error")
        if self.code in (1, 2) and not self.error:
            found.append("no error line")
        if self.code == 0 and self.error:
            found.append("an error line, but exit code 0")
        return found


def stopped(process):
    """Whether somebody has stopped a process (SIGSTOP), which is no hang of its own."""
    try:
        return pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


def run(words, limit=300, during=None, before=None, **environment_):
    """Runs a command to its end; `during` is called with the process again and again, `before` in the new process."""
    import tempfile
    import time

    start = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            words, stdout=out, stderr=subprocess.STDOUT, env=environment(**environment_), preexec_fn=before)
        try:
            looked = start
            while process.poll() is None and time.monotonic() - start < limit:
                if during:
                    during(process)
                time.sleep(0.002)
                if time.monotonic() - looked > 0.5:
                    limit += (time.monotonic() - looked) * stopped(process)
                    looked = time.monotonic()
            code = process.poll()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        out.seek(0)
        return Ended(code, out.read().decode(errors="replace"), time.monotonic() - start)


class Table:
    """Prints a line a kind of fault, and what went wrong."""

    def __init__(self):
        self.wrong = 0
        self.count = 0
        print(f"{'fault':58} {'runs':>4} {'right':>5} {'errors':>6}  wrong", flush=True)

    def line(self, name, ends, problems=()):
        """One kind: how its runs ended, and what is wrong beyond that."""
        problems = [f for end in ends for f in end.faults()] + list(problems)
        right = sum(end.code == 0 for end in ends)
        self.count += len(ends)
        self.wrong += bool(problems)
        print(f"{name:58} {len(ends):4} {right:5} {len(ends) - right:6}  {'; '.join(problems) or '-'}", flush=True)
        for text in dict.fromkeys(end.error for end in ends if end.error):
            print(f"    {text}", flush=True)

    def end(self):
        """The exit code."""
        print(f"\n{self.count} runs, {self.wrong} kinds of fault with something wrong")
        return 1 if self.wrong else 0

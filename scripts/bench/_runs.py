"""Runs qlora4j as a user would, by scripts/qlora, and reads the time, the memory and the metrics of the run."""
import json
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import threading
import time

HOME = pathlib.Path(__file__).resolve().parents[2]
WORK = pathlib.Path(os.environ.get("BENCH_DIR", HOME / "scripts/bench/target"))
QLORA = str(HOME / "scripts/qlora")
WARM_UP = 2  # steps at the start that are not counted

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a child is ended too


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def machine():
    """One line on where this runs."""
    name = platform.processor() or platform.machine()
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
        name = next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name"))
        flags = next(line for line in text.splitlines() if line.startswith("flags")).split()
        name += ", " + ("AVX-512 with bf16" if "avx512_bf16" in flags else "no AVX-512 bf16")
    except (OSError, StopIteration):
        pass
    return f"{name}, {cores()} cores, {platform.system()} {platform.machine()}"


class Memory:
    """The resident memory of a process, read ten times a second (Linux)."""

    def __init__(self):
        self.samples = []
        self.ended = threading.Event()

    def start(self, pid):
        threading.Thread(target=self.follow, args=[pid], daemon=True).start()

    def follow(self, pid):
        while not self.ended.wait(0.1):
            try:
                pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                return
            self.samples.append((time.monotonic(), pages * os.sysconf("SC_PAGE_SIZE")))

    def highest(self, start, end):
        return max(size for at, size in self.samples if start <= at <= end)

    def at(self, moment):
        return min(self.samples, key=lambda sample: abs(sample[0] - moment))[1]


class Child:
    """A command that ended: what it printed, when each line of stderr came, and the most memory it had."""

    def __init__(self, command, environment=None, watch=None):
        threads = os.environ.get("BENCH_THREADS", str(cores()))
        environment = os.environ | dict(OMP_NUM_THREADS=threads) | (environment or {})
        WORK.mkdir(parents=True, exist_ok=True)
        printed = WORK / "stdout.txt"
        self.lines = []
        with open(printed, "wb") as out:
            process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=subprocess.PIPE,
                                       stdin=subprocess.DEVNULL, env=environment)
            try:
                usage = self.follow(process, watch)
            except BaseException:
                process.kill()
                raise
        self.stdout = printed.read_text(errors="replace")
        scale = 1 if sys.platform == "darwin" else 1024
        self.peak = usage.ru_maxrss * scale
        if process.returncode != 0:
            tail = "\n  ".join([text for _, text in self.lines[-15:]])
            sys.exit(f"{' '.join(map(str, command))}\n  ended with {process.returncode}:\n  {tail}")

    def follow(self, process, watch):
        """Reads its lines until it ends; returns what it used."""
        if watch:
            watch.start(process.pid)
        for line in process.stderr:
            self.lines.append((time.monotonic(), line.decode(errors="replace").rstrip()))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
        if watch:
            watch.ended.set()
        return usage

    def moment(self, begins):
        """When the first line of stderr came that begins so."""
        for at, text in self.lines:
            if text.startswith(begins):
                return at
        sys.exit(f"no line that begins with {begins!r} in:\n  " + "\n  ".join(text for _, text in self.lines))


class Training:
    """A training run that ended: its metrics, what it took to load, and its peak memory."""

    def __init__(self, child, metrics):
        self.child = child
        self.steps = metrics
        self.peak = child.peak
        self.loading = child.moment("loading")
        self.ready = child.moment("effective batch")
        self.ended = child.lines[-1][0]
        self.load = self.ready - self.loading

    def rate(self):
        """Tokens a second, the median of the steps after the first two."""
        return statistics.median(line["tokens_per_second"] for line in self.counted())

    def counted(self):
        return self.steps[min(WARM_UP, len(self.steps) - 1):]


def build():
    """Builds what is not built, so that no measurement does. Returns the class path."""
    return subprocess.run([QLORA, "--class-path"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def configure(model, rows, steps, quantization=None, lora=None, data=None, training=None):
    """Writes a run's YAML: r 8 on all linear layers of an NF4 base, unless something else is said."""
    config = dict(
        model=dict(path=str(model)),
        quantization=quantization or dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                          bnb_4bit_compute_dtype="bfloat16"),
        lora=dict(r=8, lora_alpha=16, target_modules="all-linear") | (lora or {}),
        data=dict(train=str(rows), format="tokenized", max_length=512, shuffle=False,
                  cache_dir=str(WORK / "cache")) | (data or {}),
        training=dict(output_dir=str(WORK / "run"), max_steps=steps, per_device_train_batch_size=2,
                      gradient_accumulation_steps=1, num_train_epochs=1000, save_strategy="no", optim="adamw_torch",
                      learning_rate=2e-4, lr_scheduler_type="constant", max_grad_norm=0) | (training or {}))
    WORK.mkdir(parents=True, exist_ok=True)
    file = WORK / "run.yaml"
    file.write_text(json.dumps(config, indent=2))  # JSON is YAML
    return file


def train(model, rows, steps, watch=None, **sections):
    """Trains as configure says."""
    child = Child([QLORA, "train", configure(model, rows, steps, **sections), "--overwrite"], watch=watch)
    with open(WORK / "run/metrics.jsonl", encoding="utf-8") as lines:
        return Training(child, [json.loads(line) for line in lines])


def java(source, *arguments):
    """Runs a Java source file beside this one on qlora4j's class path, with the flags and variables that scripts/qlora gives."""
    flags = ["-XX:+UseSerialGC", "-Xss4m", "-XX:Tier4InvocationThreshold=1000000", "-XX:Tier4MinInvocationThreshold=200000",
             "-XX:Tier4CompileThreshold=2000000"]
    return Child(["java", *flags, "-cp", build(), HOME / "scripts/bench" / source, *arguments],
                 dict(MALLOC_ARENA_MAX="1", OPT_OUT_TRACKING="true", RUST_FLAVOR="cpu"))


def say(text):
    print(text, file=sys.stderr, flush=True)


def table(head, rows):
    """A Markdown table; all columns but the first are numbers."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])

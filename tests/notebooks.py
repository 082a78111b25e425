"""Run notebooks as `nbdev_test` does, each in a process of its own that begins where nbdev is imported already.

    runner = Runner()
    runner.run("nbs/00_types.ipynb")   # what it wrote, and whether it came to its end
"""
import json, os, select, signal, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

class Runner:
    "A process that forks another one for each notebook."
    def __init__(self):
        self.process = subprocess.Popen([sys.executable, __file__], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        start_new_session=True)

    def run(self, notebook: Path, flags: tuple[str, ...] = (), timeout: float = 600) -> tuple[str, bool]:
        "The output of a notebook, cells with a flag of `tst_flags` left out except for `flags`, and True if it ran to its end."
        with tempfile.NamedTemporaryFile("r") as output:
            self.process.stdin.write(json.dumps([str(notebook), flags, output.name]) + "\n")
            self.process.stdin.flush()
            if not select.select([self.process.stdout], [], [], timeout)[0]:
                self.close()
                raise TimeoutError(f"{notebook} takes longer than {timeout} s")
            return output.read(), self.process.stdout.readline() == "0\n"

    def close(self):
        "End it, and a notebook that it runs."
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

def serve():
    "Read requests from stdin, run each notebook in a child, say how the child ended."
    from nbdev.config import get_config
    from nbdev.test import test_nb
    config = get_config()
    for line in iter(sys.stdin.readline, ""):
        notebook, flags, output = json.loads(line)
        child = os.fork()
        if not child:
            for fd, name, mode in (0, os.devnull, os.O_RDONLY), (1, output, os.O_WRONLY), (2, output, os.O_WRONLY):
                os.dup2(os.open(name, mode | os.O_APPEND), fd)
            passed, _ = test_nb(Path(notebook), skip_flags=config.tst_flags.split(), force_flags=flags, basepath=config.config_path)
            sys.exit(not passed)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)

if __name__ == "__main__": serve()

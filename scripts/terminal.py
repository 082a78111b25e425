"""Draw a terminal session for the docs: the commands run, and the picture shows what stood on the screen. Needs tmux.

    python scripts/terminal.py                  runs what the home page shows, with the model of this machine
    python scripts/terminal.py 'COMMAND' ...    runs something else, in `nbs/data` too

The line that counts while a command works is gone when the answer comes. The picture keeps it as it last was.
"""
import os, subprocess, sys, time
from html import escape
from pathlib import Path

NBS = Path(__file__).resolve().parents[1] / "nbs"
COMMANDS = ['rlm "How many times does the name Willoughby occur?" two_novels.txt --model local']
COLUMNS, ROWS = 96, 50
PROMPT = "$"

class Terminal:
    "A shell in a terminal of its own."
    def __init__(self, cwd: Path):
        self.socket = f"rlm-{os.getpid()}"
        here = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        shell = ["env", f"PATH={here}", f"PS1={PROMPT} ", "bash", "--norc", "--noprofile"]
        self.tmux("-f", os.devnull, "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "-c", str(cwd), *shell)

    def tmux(self, *args: str) -> str:
        done = subprocess.run(["tmux", "-L", self.socket, *args], capture_output=True, text=True, check=True)
        return done.stdout

    def screen(self) -> list[str]: return self.tmux("capture-pane", "-p").rstrip().split("\n")

    def run(self, command: str) -> list[str]:
        "Type a command. Returns what stood below the screen until then, with the last status line in its place."
        while self.screen()[-1].strip() != PROMPT: time.sleep(0.05)
        start, status = len(self.screen()) - 1, None
        self.tmux("send-keys", "-l", command)
        self.tmux("send-keys", "Enter")
        while (lines := self.screen())[-1].strip() != PROMPT or len(lines) - 1 == start:
            if lines[-1].startswith("rlm: ") and " tokens · " in lines[-1]: status = len(lines) - 1, lines[-1]
            time.sleep(0.1)
        if status: lines.insert(*status)
        return lines[start:-1]

def picture(lines: list[str]) -> str:
    "An SVG of the lines, each as wide as its characters whatever the font."
    wide, high = 7.8, 19
    width, height = COLUMNS * wide + 40, len(lines) * high + 60
    shown = []
    for i, line in enumerate(lines):
        kind = "typed" if line.startswith(f"{PROMPT} ") else "told" if line.startswith("rlm: ") else "answer"
        shown.append(f'<text class="{kind}" x="20" y="{54 + i * high}" textLength="{len(line) * wide:.1f}" '
                     f'lengthAdjust="spacingAndGlyphs">{escape(line)}</text>')
    dots = "".join(f'<circle cx="{22 + 18 * i}" cy="19" r="5.5"/>' for i in range(3))
    return f'''<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img">
<title>{escape("; ".join(line for line in lines if line.startswith(PROMPT)))}</title>
<style>
text {{ font: 13px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }}
.typed {{ fill: #fff }} .told {{ fill: #8fa6bf }} .answer {{ fill: #ffd479 }} circle {{ fill: #3d5873 }}
</style>
<rect x=".5" y=".5" width="{width - 1:.0f}" height="{height - 1}" rx="8" fill="#14202e" stroke="#3d5873"/>
{dots}
''' + "\n".join(shown) + "\n</svg>\n"

def main():
    terminal = Terminal(NBS / "data")
    try: lines = [line for command in sys.argv[1:] or COMMANDS for line in terminal.run(command)]
    finally: terminal.tmux("kill-server")
    path = NBS / "images" / "terminal.svg"
    path.write_text(picture(lines))
    print("\n".join(lines))

if __name__ == "__main__": main()

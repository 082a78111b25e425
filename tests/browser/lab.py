"""JupyterLab itself in headless Chromium, driven as a user drives it.

    with Lab(folder) as lab:
        notebook = lab.open("orders.ipynb", ["import rlm", "print(1 + 1)"])
        notebook.run(0, 1)
        notebook.text(1)   # "2"

Cells are counted from 0. What is asserted on is what a user sees: the text of an output, a dialog, the mark of a changed file.
"""
from __future__ import annotations
import json, os, re, secrets, shutil, signal, socket, subprocess, sys, time
import urllib.request
from pathlib import Path

import nbformat
from playwright.sync_api import Locator, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
KERNELSPEC = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
LANGUAGE = {"name": "python", "version": sys.version.split()[0], "mimetype": "text/x-python", "file_extension": ".py",
            "codemirror_mode": {"name": "ipython", "version": 3}, "nbconvert_exporter": "python", "pygments_lexer": "ipython3"}

SETTINGS = {  # no question that a new user of Lab is asked once, and a page that holds all its cells
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    "@jupyterlab/apputils-extension:themes": {"theme": "JupyterLab Light", "adaptive-theme": False},
}

def chromium() -> str:
    "Where a Chromium is, or what to do."
    names = [os.environ.get("CHROME"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    found = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if found: return found
    raise RuntimeError("There is no Chromium. Install one (apt-get install chromium, brew install chromium, or Google Chrome), "
                       "or say where one is in the environment variable CHROME.")

def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

def wait_until(true, timeout: float, what: str):
    "Call `true` until it returns something, which is handed back."
    end = time.monotonic() + timeout
    while not (seen := true()):
        if time.monotonic() > end: raise TimeoutError(f"{what}: not within {timeout:.0f} s")
        time.sleep(0.1)
    return seen

class Lab:
    "A JupyterLab server on loopback and a browser."
    def __init__(self,
        folder,                        # where its notebooks lie, and what it writes of its own
        settings: dict | None = None,  # of Lab's extensions, beside `SETTINGS`
        width: int = 1200,             # of the window, in CSS pixels
        height: int = 1000,
        scale: float = 1,              # pixels of a picture to a CSS pixel
    ):
        self.folder, self.settings = Path(folder), SETTINGS | (settings or {})
        self.window, self.scale = {"width": width, "height": height}, scale
        self.work = self.folder / "work"
        self.token, self.port = secrets.token_hex(16), free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Lab:
        own = self.folder / "lab"
        for name in ("settings", "workspaces", "config", "data", "runtime", "ipython"): (own / name).mkdir(parents=True, exist_ok=True)
        self.work.mkdir(exist_ok=True)
        app = own / "app"
        (app / "settings").mkdir(parents=True, exist_ok=True)
        (own / "data" / "lab" / "settings").mkdir(parents=True, exist_ok=True)
        for plugin, values in self.settings.items():
            package, _, name = plugin.partition(":")
            place = own / "settings" / package / f"{name}.jupyterlab-settings"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(values))
        env = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "JUPYTER"))}
        env |= {"JUPYTERLAB_SETTINGS_DIR": str(own / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
                "JUPYTER_CONFIG_DIR": str(own / "config"), "JUPYTER_DATA_DIR": str(own / "data"),
                "JUPYTER_RUNTIME_DIR": str(own / "runtime"), "IPYTHONDIR": str(own / "ipython"),
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "browser"), str(ROOT / "tests")])}
        self.log = open(own / "server.log", "w")
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={self.port}", "--ip=127.0.0.1",
                   f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.work}", "--ServerApp.port_retries=0",
                   "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=''"]
        self.server = subprocess.Popen(command, env=env, cwd=self.work, stdout=self.log, stderr=self.log, start_new_session=True)
        try:
            wait_until(self._answers, 60, f"the server's first answer (its log: {self.log.name})")
            self._playwright = sync_playwright().start()
            self.browser = self._playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            self.context = self.browser.new_context(viewport=self.window, device_scale_factor=self.scale)
            self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answers(self) -> bool:
        if self.server.poll() is not None: raise RuntimeError(f"the server ended: {Path(self.log.name).read_text()[-2_000:]}")
        try: return urllib.request.urlopen(f"{self.url}/api?token={self.token}", timeout=2).status == 200
        except OSError: return False

    def __exit__(self, *_):
        if hasattr(self, "browser"): self.browser.close()
        if hasattr(self, "_playwright"): self._playwright.stop()
        self.server.send_signal(signal.SIGTERM)
        try: self.server.wait(15)
        except subprocess.TimeoutExpired: os.killpg(self.server.pid, signal.SIGKILL)
        self.log.close()

    def write(self, name: str, cells: list[str]) -> Path:
        "Write a notebook as Jupyter writes it. A cell that begins with `# ` and a title is Markdown."
        made = [nbformat.v4.new_markdown_cell(c) if c.startswith("# ") else nbformat.v4.new_code_cell(c) for c in cells]
        notebook = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": KERNELSPEC, "language_info": LANGUAGE})
        nbformat.write(notebook, self.work / name)
        return self.work / name

    def open(self, name: str, cells: list[str] | None = None) -> Notebook:
        "Open a notebook in a window of its own; written first, where `cells` are given."
        if cells is not None: self.write(name, cells)
        page = self.context.new_page()
        workspace = re.sub(r"\W", "", name)
        page.goto(f"{self.url}/lab/workspaces/{workspace}/tree/{name}?token={self.token}&reset")
        return Notebook(self, page, name).ready()

class Notebook:
    "A notebook that is open in Lab."
    def __init__(self, lab: Lab, page: Page, name: str): self.lab, self.page, self.name = lab, page, name

    def ready(self, timeout: float = 60) -> Notebook:
        "Wait for the kernel."
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=timeout * 1000)
        self.page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
                                    timeout=timeout * 1000)
        return self

    @property
    def panel(self) -> Locator: return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    def cell(self, n: int) -> Locator: return self.panel.locator(".jp-Notebook .jp-Cell").nth(n)
    def outputs(self, n: int) -> Locator: return self.cell(n).locator(".jp-Cell-outputArea").first
    def sources(self) -> list[str]:
        "What stands in the cells."
        return self.page.evaluate("[...window.jupyterapp.shell.currentWidget.content.widgets].map(c => c.model.sharedModel.getSource())")

    # -- what a user does
    def start(self, n: int) -> Notebook:
        "Run a cell, and don't wait."
        self.cell(n).locator(".jp-InputPrompt").first.click()
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_timeout(50)
        return self

    def run(self, *numbers: int, timeout: float = 60) -> Notebook:
        "Run cells, each to its end."
        for n in numbers: self.start(n).wait(n, timeout)
        return self

    def wait(self, n: int, timeout: float = 60) -> Notebook:
        "Wait until a cell has run."
        expect(self.cell(n).locator(".jp-InputPrompt").first).to_have_text(re.compile(r"\[\d+\]:"), timeout=timeout * 1000)
        self.page.wait_for_timeout(300)  # the last output is drawn
        return self

    def see(self, n: int, text, timeout: float = 30) -> Notebook:
        "Wait until a cell's output shows a text (or what a regular expression matches)."
        expect(self.outputs(n)).to_contain_text(text, timeout=timeout * 1000)
        return self

    def stop(self) -> Notebook:
        "Click the stop button of the toolbar."
        self.panel.locator('[data-jp-item-name="interrupt"]').click()
        return self

    def command(self, name: str, **args):
        "Run one of Lab's commands, as its menus do."
        return self.page.evaluate("([name, args]) => { window.jupyterapp.commands.execute(name, args); return null }", [name, args])

    def dark(self, dark: bool = True) -> Notebook:
        self.command("apputils:change-theme", theme=f"JupyterLab {'Dark' if dark else 'Light'}")
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", str(not dark).lower(), timeout=10_000)
        self.page.wait_for_timeout(300)
        return self

    def save(self) -> Notebook:
        self.command("docmanager:save")
        self.page.wait_for_timeout(100)
        wait_until(lambda: not self.dirty() or self.dialogs(), 10, "saving")
        return self

    def reload(self) -> Notebook:
        "Load the page anew, as after a look elsewhere."
        self.page.once("dialog", lambda d: d.accept())
        self.page.reload()
        return self.ready()

    def restart(self) -> Notebook:
        "Restart the kernel by the menu, and say yes."
        self.command("kernelmenu:restart")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.wait_for_timeout(1500)
        return self.ready()

    def click(self, n: int, text: str) -> Notebook:
        "Click what shows `text` in the output of a cell."
        self.outputs(n).get_by_text(text).first.click()
        return self

    def leave(self, *numbers: int) -> Notebook:
        "Go to a cell that is none of these."
        others = (n for n in range(self.panel.locator(".jp-Notebook .jp-Cell").count()) if n not in numbers)
        self.cell(next(others)).locator(".jp-InputPrompt").first.click()
        return self

    def follow(self, n: int, timeout: float = 30) -> Notebook:
        "Click the link in the output of a cell. What it opens in a tab of Lab."
        name = Path(self.outputs(n).locator("a").first.inner_text()).name
        self.outputs(n).locator("a").first.click()
        wait_until(lambda: name in self.tabs() or self.dialogs(), timeout, f"a tab named {name}")
        self.page.wait_for_timeout(1500)
        return Notebook(self.lab, self.page, name)

    def question(self, n: int, timeout: float = 30) -> str:
        "What `input()` in a cell asks, once it does."
        box = self.cell(n).locator(".jp-Stdin-prompt").last
        box.wait_for(timeout=timeout * 1000)
        return box.inner_text()

    def answer(self, n: int, text: str) -> Notebook:
        "Type into the field below a cell, and press Enter."
        self.question(n)
        self.cell(n).locator(".jp-Stdin-input").last.fill(text)
        self.page.keyboard.press("Enter")
        self.page.wait_for_timeout(200)
        return self

    def write_in(self, n: int, keys: str, *then: str) -> Notebook:
        "Type at the end of a cell, and press keys."
        self.cell(n).locator(".cm-content").click()
        self.page.keyboard.press("Control+End")
        self.page.keyboard.type(keys)
        for key in then: self.page.keyboard.press(key)
        return self

    # -- what a user sees
    def tooltip(self) -> str:
        "What Shift+Tab shows."
        self.page.locator(".jp-Tooltip").wait_for(timeout=20_000)
        return self.page.locator(".jp-Tooltip").inner_text()

    def completions(self) -> list[str]:
        "What Tab offers."
        self.page.locator(".jp-Completer-item").first.wait_for(timeout=20_000)
        return [item.locator(".jp-Completer-match").inner_text() for item in self.page.locator(".jp-Completer-item").all()]

    def text(self, n: int) -> str:
        "The text of a cell's outputs, as it is seen: what is folded is not."
        return "\n".join(t for o in self.outputs(n).locator(".jp-OutputArea-output").all() if (t := o.inner_text().strip()))
    def html(self, n: int) -> str: return self.outputs(n).inner_html() if self.outputs(n).count() else ""
    def height(self, n: int) -> float:
        "Of a cell's outputs, in CSS pixels."
        box = self.outputs(n).bounding_box() if self.outputs(n).count() else None
        return box["height"] if box else 0
    def prompt(self, n: int) -> str: return self.cell(n).locator(".jp-InputPrompt").first.inner_text().strip()
    def dialogs(self) -> list[str]: return [d.inner_text() for d in self.page.locator(".jp-Dialog").all()]
    def tabs(self) -> list[str]: return [t.inner_text() for t in self.page.locator(".lm-DockPanel-tabBar .lm-TabBar-tabLabel").all()]
    def dirty(self, tab: str | None = None) -> bool:
        "Whether Lab marks the notebook as changed."
        bar = self.page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab", has_text=tab or Path(self.name).name)
        return "jp-mod-dirty" in (bar.first.get_attribute("class") or "")
    def cell_outputs(self, n: int) -> list[dict]:
        "The outputs of a cell as Lab holds them, and would save them."
        return self.page.evaluate("n => window.jupyterapp.shell.currentWidget.content.widgets[n].model.toJSON().outputs", n)

    def picture(self, path, *numbers: int) -> Path:
        "A picture of some cells (of the whole notebook, where none is named)."
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.mouse.move(self.lab.window["width"] - 5, self.lab.window["height"] - 40)  # nothing is under it
        if not numbers:
            self.page.screenshot(path=path)
            return path
        self.cell(numbers[0]).scroll_into_view_if_needed()
        boxes = [self.cell(n).bounding_box() for n in numbers]
        left, top = min(b["x"] for b in boxes), min(b["y"] for b in boxes)
        right, bottom = max(b["x"] + b["width"] for b in boxes), max(b["y"] + b["height"] for b in boxes)
        clip = {"x": left, "y": max(top, 0), "width": right - left, "height": bottom - max(top, 0)}
        self.page.screenshot(path=path, clip=clip)
        return path

    def close(self):
        self.page.close(run_before_unload=False)

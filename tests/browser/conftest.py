"The tests in JupyterLab itself share a server and a browser."
import pytest
from lab import Lab

@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    with Lab(tmp_path_factory.mktemp("lab")) as lab: yield lab

@pytest.fixture
def opened(lab):
    "Opens notebooks, and closes them after the test."
    notebooks = []
    def opens(name, *cells):
        notebooks.append(lab.open(name, list(cells) or None))
        return notebooks[-1]
    yield opens
    for notebook in notebooks: notebook.close()

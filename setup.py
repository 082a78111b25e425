from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

ini = ConfigParser()
ini.read("settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]

setup(
    name=cfg["lib_name"], version=cfg["version"], author=cfg["author"], license="Apache-2.0",
    description=cfg["description"], keywords=cfg["keywords"].split(),
    long_description=Path("README.md").read_text(encoding="utf-8"), long_description_content_type="text/markdown",
    python_requires=f">={cfg['min_python']}", install_requires=cfg["requirements"].split(),
    extras_require={key.removesuffix("_requirements"): cfg[key].split() for key in cfg if key.endswith("_requirements")},
    packages=find_packages(include=["rlm", "rlm.*"]),
    package_data={"rlm": ["py.typed"]}, zip_safe=False,
    entry_points={"console_scripts": cfg["console_scripts"].split(), "nbdev": ["rlm=rlm._modidx:d"]},
)

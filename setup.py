"""Packaging of keras_prokt; tool settings are in pyproject.toml."""

import re
import subprocess
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "keras_prokt" / "__init__.py").read_text(), re.MULTILINE
).group(1)
COMMIT = Path("keras_prokt", "commit.txt")


def commit() -> str | None:
    """The commit that is packaged: git's own word, or what a source distribution says."""
    if (HERE / ".git").exists():
        command = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            return None  # there is no git
        return result.stdout.strip() or None
    return (HERE / COMMIT).read_text() if (HERE / COMMIT).is_file() else None


def write_commit(folder: str) -> None:
    """Writes the commit into a tree that is packaged, so that runs can record it."""
    if (packaged := commit()) is not None:
        path = Path(folder) / COMMIT
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a source distribution may be made of hard links
        path.write_text(packaged)


class BuildPy(build_py):
    """Adds the commit to the wheel."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            write_commit(self.build_lib)


class SourceDistribution(sdist):
    """Adds the commit to the source distribution."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        write_commit(base_dir)


setup(
    name="keras-prokt",
    version=VERSION,
    description="Train a big classifier and a small one together, and keep the small one (ProKT)",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    cmdclass={"build_py": BuildPy, "sdist": SourceDistribution},
    # The top-level folder apps/ is installed under a name that collides with nothing.
    package_dir={"keras_prokt_apps": "apps"},
    packages=[
        *find_packages(include=["keras_prokt", "keras_prokt.*"]),
        "keras_prokt_apps",
        *(f"keras_prokt_apps.{name}" for name in find_packages("apps")),
    ],
    package_data={"keras_prokt": ["py.typed", COMMIT.name, "results/page.html.jinja"]},
    install_requires=[
        "keras>=3.15",
        "tensorflow>=2.21",
        "tensorflow-datasets>=4.9.10",
        "keras-nlp>=0.32",  # BERT; installs keras-hub, where its code now lives
        "numpy",
        "click>=8.2",
        "scikit-learn",  # the handwritten digits of the app `digits`
        "scipy",  # t intervals and paired tests
        "h5py",  # the form in which Keras saves weights
        "matplotlib",  # dynamics.png
        "jinja2",  # the pages of `keras-prokt report`
        "pillow>=10.1",  # decodes images of the app `images`; matplotlib brings it too
        "rich",  # progress bars; Keras has it too
        "importlib_resources",  # tensorflow-datasets prepares data only with it, undeclared
        "safetensors",  # keras-hub reads Hugging Face directories only with it, undeclared
    ],
    extras_require={
        "docs": ["mkdocs<2", "mkdocs-material>=9.5", "mkdocstrings[python]>=1"],
        "hf": ["huggingface_hub"],  # presets hf://org/model
        "jax": ["jax"],
        "litert": ["ai-edge-litert"],  # `keras-prokt export --format litert`
        "onnx": ["onnxruntime", "onnx", "tf2onnx>=1.17"],  # teachers, and `export --format onnx`
        "search": ["optuna>=4"],  # ranges of numbers in `keras-prokt search`
        "torch": ["torch"],
        "transformers": ["transformers<5", "torch"],  # `keras-prokt export --format huggingface`
        "test": ["pytest>=8", "pytest-xdist", "cleanlab"],  # what `suspects` is compared with
        "dev": [
            "pytest>=8",
            "pytest-xdist",
            "hypothesis",
            "cleanlab",
            "ruff",
            "mypy",
            "transformers<5",
            "optuna>=4",
            "onnxruntime",
            "onnx",
            "tf2onnx>=1.17",
            "ai-edge-litert",
            "tensorflow-serving-api",  # the messages that tests compare with
        ],
    },
    entry_points={"console_scripts": ["keras-prokt = keras_prokt.cli:main"]},
)

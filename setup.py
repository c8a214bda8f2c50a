"""Packaging of keras_prokt; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "keras_prokt" / "__init__.py").read_text(), re.MULTILINE
).group(1)

setup(
    name="keras-prokt",
    version=VERSION,
    description="Train a big classifier and a small one together, and keep the small one (ProKT)",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    # The top-level folder apps/ is installed under a name that collides with nothing.
    package_dir={"keras_prokt_apps": "apps"},
    packages=[
        *find_packages(include=["keras_prokt", "keras_prokt.*"]),
        "keras_prokt_apps",
        *(f"keras_prokt_apps.{name}" for name in find_packages("apps")),
    ],
    package_data={"keras_prokt": ["py.typed"]},
    install_requires=[
        "keras>=3.15",
        "tensorflow>=2.21",
        "tensorflow-datasets>=4.9.10",
        "keras-nlp>=0.32",  # BERT; installs keras-hub, where its code now lives
        "numpy",
        "click>=8.1",
        "scikit-learn",  # the handwritten digits of the app `digits`
        "matplotlib",  # dynamics.png
        "importlib_resources",  # tensorflow-datasets prepares data only with it, undeclared
        "safetensors",  # keras-hub reads Hugging Face directories only with it, undeclared
    ],
    extras_require={
        "hf": ["huggingface_hub"],  # presets hf://org/model
        "jax": ["jax"],
        "torch": ["torch"],
        "test": ["pytest>=8", "pytest-xdist"],
        "dev": ["pytest>=8", "pytest-xdist", "ruff", "build", "transformers<5"],
    },
    entry_points={"console_scripts": ["keras-prokt = keras_prokt.cli:main"]},
)

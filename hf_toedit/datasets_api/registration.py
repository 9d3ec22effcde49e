"""Registration of `datasets.load_dataset("toedit", source=…)`; all access to private parts of `datasets` is here.

Registration does not import `datasets`: if it is not loaded yet, it is patched once it is. `import hf_toedit` registers
the name, unless `HF_TOEDIT_NO_REGISTER=1` is set.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

logger = logging.getLogger(__name__)

NAME = "toedit"
_MODULE = "datasets.load"
_BUILDER = "hf_toedit.datasets_api.builder"
_MARK = "_knows_toedit"


def register() -> None:
    """Make `datasets.load_dataset("toedit", source=…)` work: now if `datasets` is imported, otherwise once it is.

    Wraps `datasets.load.dataset_module_factory`, which changes its behaviour only for the name `toedit`. `import
    hf_toedit` calls this function, unless the environment has `HF_TOEDIT_NO_REGISTER=1`. Repeated calls have no effect.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    loaded = sys.modules.get(_MODULE)
    if loaded is not None:
        _tell(loaded)


def _tell(load: ModuleType) -> None:
    """Wrap the function of `datasets.load` that finds the builder of a name, before it looks at files or the Hub."""
    try:
        factory, module_class = load.dataset_module_factory, load.DatasetModule
        if not hasattr(factory, _MARK):
            load.dataset_module_factory = _wrapped(factory, module_class)  # type: ignore[attr-defined]
    except AttributeError as error:
        logger.warning(
            'this version of datasets does not let load_dataset("toedit", …) be added (%s). '
            "hf_toedit.load_dataset(…) does the same and works.",
            error,
        )


def _wrapped(factory: Any, module_class: Any) -> Any:
    @functools.wraps(factory)
    def dataset_module_factory(path: str, *args: Any, **options: Any) -> Any:
        if path != NAME:
            return factory(path, *args, **options)
        # No files are searched; without a hash, the cache is shared with `hf_toedit.load_dataset`.
        return module_class(_BUILDER, "", {"dataset_name": NAME, "revision": options.get("revision")})

    setattr(dataset_module_factory, _MARK, True)
    return dataset_module_factory


class _Finder(MetaPathFinder):
    """Finds `datasets.load`, and arranges that it is patched once it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `MetaPathFinder`."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname == _MODULE else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Telling(spec.loader)
        return spec


class _Telling(Loader):
    """Loader that patches a module after another loader has loaded it.

    Args:
        loader: The other loader.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See `Loader`."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Load the module with the original loader in its attributes, then patch it."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _tell(module)

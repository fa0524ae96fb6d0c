"""The sources of a consumer's modules, as its zygote has imported them. Runs in zygotes and executed workers.

A worker that is executed imports by itself, and later: what a deploy has put in their place meanwhile belongs to
another edition of the pool.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

_INSTALLED = frozenset({"site-packages", "dist-packages"})


def sources_as_imported(directory: Path, package: str) -> str:
    """Of every imported module of this top-level package, and of this directory but for what is installed in it; as
    JSON for `import_only_from`.
    """
    return json.dumps(dict(_sources(directory.absolute(), package)))


def import_only_from(kept: str) -> None:
    """Import these modules from their kept sources from now on, whatever lies on the disk."""
    sys.meta_path.insert(0, _KeptSources(json.loads(kept)))


def _sources(directory: Path, package: str) -> Iterator[tuple[str, tuple[str, bool, str]]]:
    for name, module in tuple(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if spec is None or spec.name != name or type(spec.loader) is not SourceFileLoader or spec.origin is None:
            continue
        path = Path(spec.origin)
        is_own = directory in path.parents and not _INSTALLED.intersection(path.parts)
        if is_own or name.partition(".")[0] == package:
            source = importlib.util.decode_source(spec.loader.get_data(spec.origin))
            yield name, (spec.origin, spec.submodule_search_locations is not None, source)


class _KeptLoader(SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = compile(self._source, self.path, "exec", dont_inherit=True)
        return code


class _KeptSources(MetaPathFinder):
    def __init__(self, kept: Mapping[str, tuple[str, bool, str]]) -> None:
        self._kept = kept

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._kept:
            return None
        origin, is_package, source = self._kept[fullname]
        where = [str(Path(origin).parent)] if is_package else None
        loader = _KeptLoader(fullname, origin, source)
        return importlib.util.spec_from_file_location(fullname, origin, loader=loader, submodule_search_locations=where)

"""What the servers need on this machine: found there, or installed where that is possible."""

import functools
import os
import shutil
import subprocess

_SEARCHED = f"{os.defpath}:/usr/sbin:/sbin:/usr/local/bin:/usr/local/sbin:/opt/homebrew/bin"
_INSTALL_S = 1200


class UnavailableError(Exception):
    """A server cannot be had here; the message says why and how to get it, on one line."""


def find_program(name: str) -> str | None:
    """The path of a program, also where it is not on this user's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SEARCHED}")


def require_programs(names: tuple[str, ...], packages: tuple[str, ...]) -> dict[str, str]:
    """The paths of these programs by name, after installing Debian's `packages` where one is missing and we may."""
    if not all(map(find_program, names)):
        install(packages)
    paths = {name: path for name in names if (path := find_program(name))}
    if missing := [name for name in names if name not in paths]:
        raise UnavailableError(f"{' and '.join(missing)} not found; {advice(packages)}")
    return paths


def install(packages: tuple[str, ...]) -> None:
    """Install Debian packages; does nothing where we are not root or there is no apt-get."""
    if os.geteuid() != 0 or find_program("apt-get") is None:
        return
    _update_package_lists()
    _apt_get("install", "--yes", "--no-install-recommends", *packages)


def advice(packages: tuple[str, ...]) -> str:
    """How a person gets these packages."""
    return f"install {' '.join(packages)} (apt-get install, or the like)"


@functools.cache
def _update_package_lists() -> None:
    _apt_get("update")


def _apt_get(*arguments: str) -> None:
    command = ("apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=300", *arguments)
    print("+", *command, flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL, timeout=_INSTALL_S)
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"`apt-get {' '.join(arguments)}` failed, see above; do it by hand") from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"`apt-get {arguments[0]}` took over {_INSTALL_S} s; do it by hand") from error

"""The client examples: what each needs of this machine, and how it becomes a command."""

from __future__ import annotations

import importlib.util
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

CLIENTS = Path(__file__).parents[2] / "deploy" / "clients"
GSON = Path("/usr/share/java/gson.jar")
Command = list[str]


@dataclass(frozen=True)
class Example:
    """One folder of `deploy/clients`: `lacks` says what it misses here, if anything."""

    folder: str
    build: Callable[[Path, Path], Command]
    lacks: Callable[[Path], str]


def _python(source: Path, _: Path) -> Command:
    return [sys.executable, str(source / "client.py")]


def _node(source: Path, _: Path) -> Command:
    return ["node", str(source / "client.mjs")]


def _php(source: Path, _: Path) -> Command:
    return ["php", str(source / "client.php")]


def _go(source: Path, target: Path) -> Command:
    _compile("go", "build", "-o", target / "client", ".", cwd=source)
    return [str(target / "client")]


def _java(source: Path, target: Path) -> Command:
    _compile("javac", "-Xlint:all", "-Werror", "-cp", GSON, "-d", target, source / "Client.java")
    return ["java", "-cp", f"{target}:{GSON}", "Client"]


def _cpp(library: str) -> Callable[[Path, Path], Command]:
    def build(source: Path, target: Path) -> Command:
        flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror"]
        _compile("c++", *flags, source / "client.cpp", f"-l{library}", "-o", target / "client")
        return [str(target / "client")]

    return build


def _csharp(source: Path, target: Path) -> Command:
    """Mono's compiler with the assemblies of .NET Core 3.1, whose runtime is a Python package: no SDK is needed."""
    (runtime,) = _dotnet().glob("shared/Microsoft.NETCore.App/*")
    assemblies = [file for file in runtime.glob("System*.dll") if "WindowsRuntime" not in file.name]
    references = [f"-r:{file}" for file in (*assemblies, runtime / "mscorlib.dll", runtime / "netstandard.dll")]
    flags = ["-nostdlib", "-noconfig", "-langversion:latest", "-nowarn:1702", "-warnaserror", *references]
    _compile("mcs", *flags, f"-out:{target / 'client.dll'}", source / "Client.cs")
    (target / "client.runtimeconfig.json").write_text(
        '{"runtimeOptions": {"framework": {"name": "Microsoft.NETCore.App", "version": "3.1.0"},'
        ' "configProperties": {"System.Globalization.Invariant": true}}}'
    )
    return [str(_dotnet() / "dotnet"), str(target / "client.dll")]


def _dotnet() -> Path:
    spec = importlib.util.find_spec("dotnetcore2")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent / "bin"


def _compile(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(
        [str(word) for word in command], check=False, cwd=cwd, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _nothing(_: Path) -> str:
    return ""


def _programs(*names: str) -> Callable[[Path], str]:
    return lambda _: ", ".join(f"no {name} on the PATH" for name in names if not shutil.which(name))


def _header(header: str) -> Callable[[Path], str]:
    def lacks(folder: Path) -> str:
        probe = ["c++", "-E", "-x", "c++", "-include", header, "/dev/null"]
        found = not _programs("c++")(folder) and subprocess.run(probe, check=False, capture_output=True).returncode == 0
        return "" if found else f"no C++ compiler or no {header}"

    return lacks


def _gson(folder: Path) -> str:
    return _programs("javac", "java")(folder) or ("" if GSON.exists() else f"no {GSON} (libgoogle-gson-java)")


def _php_curl(folder: Path) -> str:
    if lacks := _programs("php")(folder):
        return lacks
    modules = subprocess.run(["php", "-m"], check=False, capture_output=True, text=True).stdout.split()
    return "" if "curl" in modules else "no extension curl in php (php-curl)"


def _dotnet_core(folder: Path) -> str:
    runtime = "" if importlib.util.find_spec("dotnetcore2") else "no .NET Core runtime (pip install dotnetcore2)"
    return _programs("mcs")(folder) or runtime


def _ioredis(folder: Path) -> str:
    installed = (folder / "node_modules" / "ioredis").is_dir()
    return _programs("node")(folder) or ("" if installed else f"no ioredis (npm install in {folder})")


def _both(*checks: Callable[[Path], str]) -> Callable[[Path], str]:
    return lambda folder: next((lacks for check in checks if (lacks := check(folder))), "")


HTTP = [
    Example("http/python", _python, _nothing),
    Example("http/node", _node, _programs("node")),
    Example("http/php", _php, _php_curl),
    Example("http/go", _go, _programs("go")),
    Example("http/java", _java, _gson),
    Example("http/csharp", _csharp, _dotnet_core),
    Example("http/cpp", _cpp("curl"), _both(_header("curl/curl.h"), _header("nlohmann/json.hpp"))),
]
STREAMS = [
    Example("streams/python", _python, _nothing),
    Example("streams/node", _node, _ioredis),
    Example("streams/cpp", _cpp("hiredis"), _header("hiredis/hiredis.h")),
]


@dataclass(frozen=True)
class Client:
    """A client that is ready to run."""

    name: str
    command: Command

    def run(self, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        command = [*self.command, *map(str, arguments)]
        environment = os.environ | variables
        return subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=60)

    def follow(self, *arguments: object, **variables: str) -> Following:
        """Start one that goes on for ever."""
        return Following([*self.command, *map(str, arguments)], os.environ | variables)


class Following:
    """A client that goes on for ever; a context manager that ends it."""

    def __init__(self, command: Command, environment: Mapping[str, str]) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Following:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout
        self.process.stdout.close()

    def says(self, start: str, timeout_s: float = 20) -> str:
        """The next line that begins so; those before it are passed over."""
        while not (line := self._lines.get(timeout=timeout_s)).startswith(start):
            pass
        return line

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

"""Programs that stand in for Java: they answer as METEOR does, or fail in one of its ways."""

import sys
from pathlib import Path

HEAD = f"""#!{sys.executable} -SE
import gzip, os, sys, time
with open(os.path.join(os.path.dirname(sys.argv[0]), "starts"), "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
table = sys.argv[sys.argv.index("-a") + 1] if "-a" in sys.argv else None
"""
SCORING = """
entries = len(gzip.open(table).read().split(b"\\n")) // 3 if table else 0
for number, line in enumerate(sys.stdin):
    words = len(line.split(" ||| ")[-1].split())
    print(*([float(words), float(entries), float(os.getpid())] + [0.0] * 20), flush=True)
"""
ECHO = "sys.stdout.write(sys.stdin.read())"
KINDS = {
    "scoring": SCORING,
    "both": f"if not table:\n    {ECHO}\n{SCORING}",
    "dying": "sys.stdin.readline()\nprint(*[1.0] * 23, flush=True)\nsys.exit('Exception: broken')",
    "killed": "sys.stdin.readline()\nos.kill(os.getpid(), 9)",
    "full": "sys.exit('Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space')",
    "talking": "sys.stdin.readline()\nprint('Error: specify SCORE or EVAL', flush=True)\ninput()",
    "short": "sys.stdin.readline()\nprint(*[1.0] * 22, flush=True)\ninput()",
    "unbounded": "sys.stdin.readline()\nprint('nan ' * 23, flush=True)\ninput()",
    "twice": "sys.stdin.readline()\nprint(('0.0 ' * 23 + '\\n') * 2, end='', flush=True)\ninput()",
    "silent": "time.sleep(60)",
    "echo": ECHO,
    "chatty": "sys.stdout.write(sys.stdin.read() + 'one more\\n')",
}


def fake_java(folder: Path, kind: str) -> str:
    """The path of a program of this kind; it notes each of its starts in the file `starts`."""
    path = folder / "java"
    path.write_text(HEAD + KINDS[kind] + "\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def starts(folder: Path) -> list[str]:
    """The arguments of each start."""
    path = folder / "starts"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

"""Become another user: by the system's setuid programs, by one's own, and by asking."""

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

FOLDERS = ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/lib/openssh", "/usr/lib/dbus-1.0")
SETUID, SETGID = 0o4000, 0o2000


def attack(ways: "Ways") -> None:
    """Success is an effective uid, gid or capability that the job did not have."""

    @ways.attempt
    def programs_of_the_system() -> object:
        programs = [path for folder in FOLDERS for path in setuid_programs(folder)]
        raised = [path for path in programs if raises(path)]
        if programs and not raised:
            raise OSError(f"{len(programs)} programs, none ran as another user")
        return raised

    @ways.attempt
    def program_of_ones_own() -> object:
        shutil.copy(sys.executable, "mine")
        os.chmod("mine", 0o6755)
        answer = subprocess.run(
            ["./mine", "-I", "-c", "import os; print(os.geteuid() != os.getuid() or os.getegid() != os.getgid())"],
            capture_output=True,
            check=False,
        )
        return answer.stdout.strip() == b"True"

    @ways.attempt
    def just_ask() -> object:
        os.setuid(0)
        return "root"

    @ways.attempt
    def ask_for_another() -> object:
        os.setresuid(1, 1, 1)
        return os.getuid() == 1

    @ways.attempt
    def ask_for_groups() -> object:
        os.setgroups([0, 4, 6])
        return os.getgroups()

    @ways.attempt
    def capabilities() -> object:
        with open("/proc/self/status") as file:
            held = re.findall(r"Cap(?:Prm|Eff|Inh|Amb):\s*([0-9a-f]+)", file.read())
        return [each for each in held if int(each, 16)]

    @ways.attempt
    def capability_by_file() -> object:
        shutil.copy(sys.executable, "able")
        os.setxattr("able", "security.capability", b"\1\0\0\2" + b"\xff" * 16)
        return os.getxattr("able", "security.capability")

    @ways.attempt
    def without_new_privileges() -> object:
        return ways.syscall("prctl", 39, 0, 0, 0, 0) == 0  # PR_GET_NO_NEW_PRIVS: not set


def setuid_programs(folder: str) -> "list[str]":
    """Those that would run as their owner or group."""
    try:
        paths = [f"{folder}/{name}" for name in os.listdir(folder)]
    except OSError:
        return []
    return [path for path in paths if os.path.isfile(path) and os.stat(path).st_mode & (SETUID | SETGID)]


def raises(path: str) -> bool:
    """Whether that program, as it runs, has another effective uid or gid than this process."""
    try:
        program = subprocess.Popen(
            [path], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except OSError:
        return False
    mine = {os.getuid(), os.getgid()}
    try:
        for _ in range(50):
            with open(f"/proc/{program.pid}/status") as file:
                text = file.read()
            effective = re.findall(r"[UG]id:\s+\d+\s+(\d+)", text)
            if {int(each) for each in effective} - mine:
                return True
            if "State:\tZ" in text:
                return False
    except OSError:
        return False
    finally:
        program.kill()
        program.communicate()
    return False

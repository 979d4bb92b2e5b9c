"""Write where the job has no business: a folder of the host that is open to everyone, and folders of the system."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

SYSTEM = ("/usr", "/usr/bin", "/usr/lib", "/etc", "/lib", "/bin", "/sys", "/sys/fs/cgroup", "/dev", "/root", "/var")


def attack(ways: "Ways") -> None:
    """The host looks for files of this name."""
    new_files(ways, ways.bait["mark"], ways.bait["folder"])
    changed_files(ways, ways.bait["mark"], ways.bait["folder"])


def new_files(ways: "Ways", mark: str, folder: str) -> None:
    @ways.attempt
    def folder_of_the_host() -> object:
        with open(f"{folder}/{mark}", "x") as file:
            return file.write("was here")

    @ways.attempt
    def new_folder() -> object:
        os.mkdir(f"{folder}/{mark}-folder")
        return "made"

    @ways.attempt
    def link_into_it() -> object:
        os.symlink("/", f"{folder}/{mark}-link")
        return "made"

    @ways.attempt
    def socket_file() -> object:
        os.mkfifo(f"{folder}/{mark}-pipe")
        return "made"

    @ways.attempt
    def move_into_it() -> object:
        with open("moved", "w") as file:
            file.write("was here")
        os.rename("moved", f"{folder}/{mark}-moved")
        return "moved"

    @ways.attempt
    def through_the_root_of_another() -> object:
        with open(f"/proc/{ways.bait['victim']}/root{folder}/{mark}-root", "x") as file:
            return file.write("was here")

    @ways.attempt
    def folders_of_the_system() -> object:
        return [folder for folder in (*SYSTEM, sys.prefix, *sys.path) if written(folder, mark)]


def changed_files(ways: "Ways", mark: str, folder: str) -> None:
    @ways.attempt
    def file_of_the_host() -> object:
        return os.open(f"{folder}/writable", os.O_WRONLY | os.O_APPEND)

    @ways.attempt
    def mode_of_a_file() -> object:
        os.chmod(f"{folder}/writable", 0o600)
        return os.stat(f"{folder}/writable").st_mode & 0o777 == 0o600  # walls may say yes and do nothing

    @ways.attempt
    def time_of_a_file() -> object:
        os.utime(f"{folder}/writable", (1, 1))
        return os.stat(f"{folder}/writable").st_mtime == 1

    @ways.attempt
    def attribute_of_a_file() -> object:
        os.setxattr(f"{folder}/writable", "user.mark", mark.encode())
        return os.getxattr(f"{folder}/writable", "user.mark")

    @ways.attempt
    def length_of_a_file() -> object:
        os.truncate(f"{folder}/writable", 1)
        return "cut"


def written(folder: str, mark: str) -> bool:
    """Whether a file can be made there; it goes again."""
    try:
        with open(f"{folder}/{mark}", "x"):
            pass
        os.unlink(f"{folder}/{mark}")
    except OSError:
        return False
    return True

"""DSM's package manager: which scripts of a package it runs in which order, as whom, with which variables."""

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from pathlib import Path

from nas import PATIENCE, USER, Ended, Nas, cpu_of, expect

# Seconds that these may take here, where much else may run; what hangs takes longer.
START_PATIENCE, STOP_PATIENCE = 5, 60
BUILDS = {6: "25556", 7: "72806"}
TEMPORARY = "/volume1/@tmp/package"


class Spk:
    """A package as a file."""

    def __init__(self, path: Path):
        self.path = path
        with tarfile.open(path, "r:") as spk:
            self.info = dict(re.findall(r'^(\w+)="(.*)"$', spk.extractfile("INFO").read().decode(), re.MULTILINE))
            inside = spk.extractfile("package.tgz").read()
        expect(self.info["checksum"] == hashlib.md5(inside).hexdigest(), f"{path.name}: the checksum is wrong")
        with tarfile.open(fileobj=io.BytesIO(inside)) as package:
            self.cpu = cpu_of(package.extractfile("bin/mooring").read(20))
        self.dsm = int(self.info["os_min_ver"].split(".")[0])
        self.version = self.info["version"]

    def earlier(self, folder: Path) -> "Spk":
        """The same package, as the build before it."""
        feature, build = self.version.rsplit("-", 1)
        before = f'version="{feature}-{int(build) - 1}"'.encode()
        path = folder / f"earlier-{self.path.name}"
        with tarfile.open(self.path) as spk, tarfile.open(path, "w") as copy:
            for member in spk:
                content = spk.extractfile(member).read() if member.isfile() else b""
                if member.name == "INFO":
                    content = re.sub(rb'^version=".*"$', before, content, flags=re.MULTILINE)
                    member.size = len(content)
                copy.addfile(member, io.BytesIO(content))
        return Spk(path)


class Dsm:
    """The package manager of a NAS that has one package."""

    def __init__(self, nas: Nas, version: int):
        self.nas = nas
        self.version = version
        self.user = ""
        self.info: dict[str, str] = {}
        nas.at("volume1/@tmp").mkdir()
        nas.at("usr/syno/etc/packages").mkdir(parents=True)
        nas.at("usr/syno/synoman/webman/3rdparty").mkdir(parents=True)

    # What a person does.

    def install(self, spk: Spk, **choices: str):
        choices = self._unpack(spk, "install", choices)
        self._put_in_place(spk, choices | self._status("INSTALL", spk))
        shutil.rmtree(self.nas.at(TEMPORARY))
        self.start()

    def upgrade(self, spk: Spk, **choices: str):
        self.stop()
        choices = self._unpack(spk, "upgrade", choices)
        old = {"SYNOPKG_OLD_PKGVER": self.info["version"], "SYNOPKG_TEMP_UPGRADE_FOLDER": f"{TEMPORARY}/upgrade"}
        env = choices | self._status("UPGRADE", spk) | old
        self._must(self._run(f"{TEMPORARY}/scripts/preupgrade", env))
        self._remove(env)
        self._put_in_place(spk, env)
        self._must(self._run(f"{self.package}/scripts/postupgrade", env))
        shutil.rmtree(self.nas.at(TEMPORARY))
        self.start()

    def uninstall(self, **choices: str):
        self.stop()
        choices = self._choices(self.nas.at(self.package), "uninstall", choices)
        self._remove(choices | {"SYNOPKG_PKG_STATUS": "UNINSTALL"})
        shutil.rmtree(self.nas.at(self.package))

    def start(self, status="START") -> Ended:
        if self.info.get("precheckstartstop") == "yes":
            self._must(self.script("prestart", status))
        return self._must(self.script("start", status, START_PATIENCE))

    def stop(self, status="STOP") -> Ended:
        if self.info.get("precheckstartstop") == "yes":
            self._must(self.script("prestop", status))
        return self._must(self.script("stop", status, STOP_PATIENCE))

    def update_to_7(self):
        """What an update of DSM 6 does to a package, which can't run until it is upgraded."""
        self.version = 7
        moved = self.nas.at(self._folders()["etc"])
        moved.parent.mkdir()
        self.nas.at(f"usr/syno/etc/packages/{self.info['package']}").rename(moved)
        self._link("etc")

    # What DSM asks.

    def script(self, verb: str, status="", patience=PATIENCE, through=()) -> Ended:
        """Runs the script that DSM starts and stops the package by; at boot and shutdown there is no status."""
        command = f"{self.package}/scripts/start-stop-status"
        return self._run(command, {"SYNOPKG_PKG_STATUS": status}, verb, patience=patience, through=through)

    def status(self) -> int:
        code = self.script("status").code
        expect(code in (0, 1, 3), f"status answers {code}")
        return code

    @property
    def package(self) -> str:
        return f"/var/packages/{self.info['package']}"

    @property
    def kept(self) -> list[str]:
        """The folders that DSM leaves alone when the package goes."""
        return [place for link, place in self._folders().items() if link not in ("target", "tmp")]

    def at(self, path: str) -> Path:
        """Where this path in the package's folder is, by the link that it begins with."""
        link, rest = path.removeprefix(f"{self.package}/").split("/", 1)
        return self.nas.at(f"{self._folders()[link]}/{rest}")

    # How it does it.

    def _folders(self) -> dict[str, str]:
        """Where the links in the package's folder lead."""
        name = self.info["package"]
        if self.version == 6:
            return {"target": f"/volume1/@appstore/{name}", "etc": f"/usr/syno/etc/packages/{name}"}
        places = {"target": "store", "etc": "conf", "var": "data", "home": "home", "tmp": "temp"}
        return {link: f"/volume1/@app{place}/{name}" for link, place in places.items()}

    def _link(self, link: str):
        path = self.nas.at(f"{self.package}/{link}")
        path.unlink(missing_ok=True)
        path.symlink_to(self._folders()[link])

    def _links_to_target(self) -> dict[str, str]:
        """What DSM lets others find in the package, by where."""
        links = {}
        resource = self.nas.at(f"{self.package}/conf/resource")
        if resource.exists():
            for path in json.loads(resource.read_text()).get("usr-local-linker", {}).get("bin", []):
                links[f"/usr/local/bin/{Path(path).name}"] = path
        if folder := self.info.get("dsmuidir"):
            links[f"/usr/syno/synoman/webman/3rdparty/{self.info['package']}"] = folder
        return links

    def _unpack(self, spk: Spk, wizard: str, choices: dict[str, str]) -> dict[str, str]:
        """Unpacks a package beside the one that is installed; answers what the wizard hands to scripts."""
        expect(spk.dsm == self.version, f"DSM {self.version} takes no package for DSM {spk.dsm}")
        folder = self.nas.at(TEMPORARY)
        with tarfile.open(spk.path) as tar:
            tar.extractall(folder)
        with tarfile.open(folder / "package.tgz") as tar:
            tar.extractall(folder / "package")
        privilege = json.loads((folder / "conf/privilege").read_text())
        expect(privilege["defaults"] == {"run-as": "package"}, "only Synology's packages may run as root")
        user = privilege.get("username", spk.info["package"])
        if not self.user:
            self.nas.add_user(user, privilege.get("groupname", user), f"/var/packages/{spk.info['package']}/home")
        expect(self.user in ("", user), "the user of a package never changes")
        self.user = user
        (folder / "upgrade").mkdir()
        self._own(folder / "upgrade")
        return self._choices(folder, wizard, choices)

    def _choices(self, folder: Path, wizard: str, choices: dict[str, str]) -> dict[str, str]:
        """What a wizard asks, with the choices of the person where it isn't what is proposed."""
        path = folder / f"WIZARD_UIFILES/{wizard}_uifile"
        steps = json.loads(path.read_text()) if path.exists() else []
        fields = [field for step in steps for item in step["items"] for field in item.get("subitems", [])]
        proposed = {field["key"]: str(field.get("defaultValue", "")).lower() for field in fields}
        expect(choices.keys() <= proposed.keys(), f"the wizard doesn't ask for {choices.keys() - proposed.keys()}")
        return proposed | choices

    def _put_in_place(self, spk: Spk, env: dict[str, str]):
        temporary = self.nas.at(TEMPORARY)
        self.info = spk.info
        if self.version == 7:
            self._may(f"{TEMPORARY}/scripts/prereplace", env)
        self._must(self._run(f"{TEMPORARY}/scripts/preinst", env))
        package = self.nas.at(self.package)
        package.mkdir(exist_ok=True)
        for link, place in self._folders().items():
            folder = self.nas.at(place)
            folder.parent.mkdir(exist_ok=True)
            if link == "target":
                (temporary / "package").rename(folder)
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700 if link == "home" else 0o755)
            self._own(folder)
            self._link(link)
        for name in ["INFO", "scripts", "conf", "WIZARD_UIFILES"]:
            if (temporary / name).exists():
                (temporary / name).rename(package / name)
        for place, path in self._links_to_target().items():
            self.nas.at(place).symlink_to(f"{self.package}/target/{path}")
        self._must(self._run(f"{self.package}/scripts/postinst", env))
        if self.version == 7:
            self._may(f"{self.package}/scripts/postreplace", env)

    def _remove(self, env: dict[str, str]):
        """Removes the package that is installed, but for its folder with the scripts and the links."""
        self._must(self._run(f"{self.package}/scripts/preuninst", env))
        for place in self._links_to_target():
            self.nas.at(place).unlink()
        folders = self._folders()
        for link in folders.keys() & {"target", "tmp"}:
            shutil.rmtree(self.nas.at(folders[link]), ignore_errors=True)
        # It can't keep DSM from going on.
        self._must(self._run(f"{self.package}/scripts/postuninst", env))
        for name in ["INFO", "scripts", "conf", "WIZARD_UIFILES"]:
            path = self.nas.at(f"{self.package}/{name}")
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _status(self, status: str, spk: Spk) -> dict[str, str]:
        return {
            "SYNOPKG_PKG_STATUS": status,
            "SYNOPKG_PKGVER": spk.version,
            "SYNOPKG_PKGINST_TEMP_DIR": f"{TEMPORARY}/package",
            "SYNOPKG_TEMP_SPKFILE": "/volume1/@tmp/upload.spk",
        }

    def _run(self, script: str, env: dict[str, str], *words: str, **options) -> Ended:
        """Runs a script as the package's user."""
        told = self.nas.at("volume1/@tmp/told")
        told.touch()
        self._own(told)
        ended = self.nas.run([script, *words], env=self._env(script) | env, user=USER, **options)
        ended.said += told.read_text()
        told.unlink()
        return ended

    def _env(self, script: str) -> dict[str, str]:
        name, version = self.info.get("package", "mooring"), self.version
        env = {
            "PATH": "/sbin:/bin:/usr/sbin:/usr/bin:/usr/syno/sbin:/usr/syno/bin",
            "HOME": f"/var/packages/{name}/{'home' if version == 7 else 'target'}",
            "USER": self.user,
            "SYNOPKG_PKGNAME": name,
            "SYNOPKG_PKGVER": self.info.get("version", ""),
            # Where it really is, or by the package's folder: both have been seen.
            "SYNOPKG_PKGDEST": f"/var/packages/{name}/target" if version == 7 else f"/volume1/@appstore/{name}",
            "SYNOPKG_PKGDEST_VOL": "/volume1",
            "SYNOPKG_PKGPORT": "",
            "SYNOPKG_DSM_LANGUAGE": "enu",
            "SYNOPKG_DSM_VERSION_MAJOR": str(version),
            "SYNOPKG_DSM_VERSION_MINOR": "2",
            "SYNOPKG_DSM_VERSION_BUILD": BUILDS[version],
            "SYNOPKG_DSM_ARCH": "",
            "SYNOPKG_TEMP_LOGFILE": "/volume1/@tmp/told",
        }
        if version == 7:
            folders = {"VAR": "var", "TMP": "tmp", "HOME": "home"}
            env |= {f"SYNOPKG_PKG{key}": f"/var/packages/{name}/{link}" for key, link in folders.items()}
        return env

    def _must(self, ended: Ended) -> Ended:
        expect(ended.code == 0, f"a script ended with {ended.code}: {ended.said.strip()}")
        return ended

    def _may(self, script: str, env: dict[str, str]):
        if self.nas.at(script).exists():
            self._must(self._run(script, env))

    def _own(self, folder: Path):
        """Gives it to the package's user, with all that is in it."""
        os.chown(folder, USER, USER)
        for path in folder.rglob("*"):
            os.chown(path, USER, USER, follow_symlinks=False)

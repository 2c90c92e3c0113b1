"""Machines that boot real systemd: a container by systemd-nspawn, and an emulated computer by QEMU.

Owns starting, stopping and talking to them. Both have the same face: `run` a shell script inside and get its exit code
and output. Knows nothing about what is tested.
"""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

# What a script in the machine finds around it.
ENVIRONMENT = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TERM=dumb", "HOME=/root",
               "DEBIAN_FRONTEND=noninteractive"]


class Broken(Exception):
    """The machine itself does not work; says why."""


def until(what, seconds, look):
    """Waits until `look` gives something true, and returns it; after `seconds` says what did not come."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)


class Machine:
    """What both kinds have in common."""

    # How many times longer than on a machine of its own things may take.
    patience = 1

    def must(self, script, timeout=60):
        """Runs a script that has to succeed, and returns what it printed."""
        code, text = self.run(script, timeout)
        if code != 0:
            raise AssertionError(f"exit code {code} of `{script.strip().splitlines()[0]}`: {' '.join(text.split())[-600:]}")
        return text.strip()

    def wait_booted(self, seconds):
        """Waits until everything that starts by itself has started."""
        state = until("a started system", seconds * self.patience, lambda: self._state())
        return state

    def _state(self):
        state = self.run("systemctl is-system-running", 30 * self.patience)[1].strip()
        return state if state in ("running", "degraded") else None


class Container(Machine):
    """A root directory booted by systemd-nspawn: the host's kernel, its own systemd, users, network and devices."""

    def __init__(self, root, log):
        self.root = Path(root)
        self.log = Path(log)
        self.nspawn = None
        self.init = None

    def start(self):
        subprocess.run(["systemd-machine-id-setup"], check=True, capture_output=True)
        command = ["systemd-nspawn", "--register=no", "--keep-unit", "--private-network", "--link-journal=no", "--boot",
                   f"--machine=tidegate-boot-{os.getpid()}", "--console=pipe", f"--directory={self.root}"]
        environment = dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1")
        with open(self.log, "ab") as log:
            self.nspawn = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.init = until("systemd-nspawn's child", 30, self._child)
        self.wait_booted(120)

    def _child(self):
        if self.nspawn.poll() is not None:
            raise Broken(f"systemd-nspawn ended: {self.log.read_text(errors='replace')[-600:]}")
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
        # Not ready for nsenter before its first process is systemd.
        ready = children and Path(f"/proc/{children[0]}/comm").read_text().strip() == "systemd"
        return children[0] if ready else None

    def run(self, script, timeout=60):
        command = ["nsenter", "--target", self.init, "--all", "--", *ENVIRONMENT, "bash", "-c", script]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=timeout)
        except subprocess.TimeoutExpired as late:
            return 124, (late.stdout or b"").decode(errors="replace") + f"(stopped after {timeout} s)"
        return done.returncode, done.stdout.decode(errors="replace")

    def stop(self):
        if self.nspawn is None or self.nspawn.poll() is not None:
            return
        if self.init is not None:
            self.run("systemctl --no-block poweroff", 20)
        try:
            self.nspawn.wait(60)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)
        self.log.unlink(missing_ok=True)


# Answers numbered scripts that come base64-encoded, a line each, by number, exit code and output, over a port that QEMU gives us.
AGENT = """#!/bin/bash
exec 3<>/dev/virtio-ports/tidegate.agent
while read -r number line <&3; do
    base64 -d <<<"$line" >/run/agent.script
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb HOME=/root DEBIAN_FRONTEND=noninteractive \\
        bash /run/agent.script </dev/null >/run/agent.output 2>&1
    printf '%s %s %s\\n' "$number" "$?" "$(base64 -w0 /run/agent.output)" >&3
done
"""
AGENT_UNIT = """[Unit]
DefaultDependencies=no
After=systemd-udevd.service
Requires=dev-virtio\\x2dports-tidegate.agent.device
After=dev-virtio\\x2dports-tidegate.agent.device
[Service]
ExecStart=/opt/agent
Restart=always
RestartSec=1
"""
# Loads what the boot needs, then hands over to the root.
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t sysfs sys /sys
while read -r module; do /bin/busybox insmod "/m/$module" || echo "insmod $module failed"; done </m/order
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vda ] && break; /bin/busybox sleep 1; done
/bin/busybox mount -t ext4 /dev/vda /root || exec /bin/busybox sh
/bin/busybox umount /proc /sys
exec /bin/busybox switch_root /root /sbin/init
"""
BOOT_MODULES = ["virtio_pci", "virtio_mmio", "virtio_blk", "ext4", "virtio_console"]
EMULATORS = {
    "arm64": (["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53"], "console=ttyAMA0"),
    "amd64": (["qemu-system-x86_64", "-M", "q35", "-cpu", "qemu64"], "console=ttyS0"),
}
# As little as a Pi Zero 2 W.
MEMORY = "512"
DISK = "1500M"


class Computer(Machine):
    """A whole emulated computer: own kernel, own disk, USB. Its power can be cut."""

    patience = 8

    def __init__(self, root, work, architecture, packages):
        self.root, self.work, self.architecture = Path(root), Path(work), architecture
        self.packages = Path(packages)
        self.disk = self.work / "disk.img"
        self.log = self.work / "console.log"
        self.qemu = self.agent = self.qmp = None
        self.asked = 0
        self.heard = b""

    def prepare(self):
        """Makes kernel, initrd and disk of the root; the root directory is used up."""
        kernel_root = self.work / "kernel"
        busybox_root = self.work / "busybox"
        for pattern, place in (("linux-image-*.deb", kernel_root), ("busybox-static_*.deb", busybox_root)):
            subprocess.run(["dpkg-deb", "-x", next(self.packages.glob(pattern)), place], check=True)
        modules = next((kernel_root / "lib/modules").iterdir())
        shutil.copy(next((kernel_root / "boot").glob("vmlinuz-*")), self.work / "vmlinuz")
        subprocess.run(["depmod", "-b", kernel_root, modules.name], check=True)
        self._initrd(kernel_root, modules.name, busybox_root / "bin/busybox")
        shutil.copytree(modules, self.root / "usr/lib/modules" / modules.name, symlinks=True)
        (self.root / "opt").mkdir(exist_ok=True)
        agent = self.root / "opt/agent"
        agent.write_text(AGENT)
        agent.chmod(0o755)
        (self.root / "etc/systemd/system/agent.service").write_text(AGENT_UNIT)
        wants = self.root / "etc/systemd/system/sysinit.target.wants"
        wants.mkdir(parents=True, exist_ok=True)
        (wants / "agent.service").symlink_to("../agent.service")
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", self.root, self.disk, DISK], check=True)
        for used in (self.root, kernel_root, busybox_root):
            shutil.rmtree(used)

    def _initrd(self, kernel_root, version, busybox):
        tree = self.work / "initrd"
        for folder in ("bin", "m"):
            (tree / folder).mkdir(parents=True)
        shutil.copy(busybox, tree / "bin/busybox")
        (tree / "bin/sh").symlink_to("busybox")
        files = []
        for module in BOOT_MODULES:
            shown = subprocess.run(["modprobe", "-d", kernel_root, "-S", version, "--show-depends", "--ignore-install", module],
                                   capture_output=True, text=True).stdout
            files += [line.split()[1] for line in shown.splitlines() if line.startswith("insmod")]
        files = list(dict.fromkeys(files))
        for file in files:
            shutil.copy(file, tree / "m")
        (tree / "m/order").write_text("".join(f"{Path(file).name}\n" for file in files))
        (tree / "init").write_text(INIT)
        (tree / "init").chmod(0o755)
        with open(self.work / "initrd.img", "wb") as image:
            listing = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*"))) + "\n"
            packed = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], input=listing.encode(), cwd=tree, check=True,
                                    capture_output=True).stdout
            image.write(subprocess.run(["gzip", "-9n"], input=packed, check=True, capture_output=True).stdout)
        shutil.rmtree(tree)

    def start(self):
        for name in ("agent", "qmp"):
            (self.work / name).unlink(missing_ok=True)
        machine, console = EMULATORS[self.architecture]
        command = machine + [
            "-m", MEMORY, "-smp", "2", "-display", "none", "-monitor", "none", "-no-reboot",
            "-chardev", f"file,id=console,path={self.log},append=on", "-serial", "chardev:console",
            "-kernel", self.work / "vmlinuz", "-initrd", self.work / "initrd.img",
            "-append", f"{console} root=/dev/vda rw net.ifnames=0 systemd.show_status=no",
            # The disk keeps what it was told to keep, and nothing else, when QEMU is killed.
            "-drive", f"file={self.disk},format=raw,if=none,id=disk,cache=writeback",
            "-device", "virtio-blk-pci,drive=disk",
            "-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={self.work}/agent,server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=tidegate.agent",
            "-device", "qemu-xhci,id=usb", "-nic", "none",
            "-qmp", f"unix:{self.work}/qmp,server=on,wait=off",
        ]
        with open(self.work / "qemu.log", "ab") as log:
            self.qemu = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.agent = self._connected("agent")
        self.qmp = self._connected("qmp").makefile("rwb")
        self.qmp.readline()
        self.command("qmp_capabilities")
        self._greet()
        self.wait_booted(120)

    def _connected(self, name):
        def attempt():
            if self.qemu.poll() is not None:
                raise Broken(f"QEMU ended: {(self.work / 'qemu.log').read_text(errors='replace')[-600:]}")
            port = socket.socket(socket.AF_UNIX)
            try:
                port.connect(str(self.work / name))
            except OSError:
                return None
            return port
        return until(f"QEMU's socket {name}", 30, attempt)

    def _greet(self):
        """Waits for the agent. What is sent before it listens may be lost, so it is asked again."""
        def answers():
            if self.qemu.poll() is not None:
                raise Broken("QEMU ended during the boot")
            return self.run("true", 5)[0] == 0
        try:
            until("an answer", 600, answers)
        except TimeoutError:
            raise Broken(f"no boot: {self.log.read_text(errors='replace')[-800:]}") from None

    def run(self, script, timeout=60):
        self.asked += 1
        end = time.monotonic() + timeout
        self.agent.sendall(f"{self.asked} ".encode() + base64.b64encode(script.encode()) + b"\n")
        while time.monotonic() < end:
            self.agent.settimeout(max(0.1, end - time.monotonic()))
            try:
                part = self.agent.recv(65536)
            except TimeoutError:
                break
            if not part:
                raise Broken("the machine's agent is gone")
            self.heard += part
            while b"\n" in self.heard:
                line, self.heard = self.heard.split(b"\n", 1)
                number, code, text = (line.split(b" ") + [b"", b""])[:3]
                # Another number: a late answer to what nobody waits for any more.
                if number == str(self.asked).encode():
                    return int(code), base64.b64decode(text).decode(errors="replace")
        return 124, f"(no answer within {timeout} s)"

    def command(self, name, **arguments):
        """A word to QEMU itself (QMP)."""
        self.qmp.write(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        self.qmp.flush()
        while True:
            answer = json.loads(self.qmp.readline())
            if "error" in answer:
                raise Broken(f"QEMU refuses {name}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def cut_power(self):
        """No word to the machine; the disk keeps what was synced, and perhaps more."""
        self.qemu.send_signal(signal.SIGKILL)
        self.qemu.wait()
        self.agent.close()

    def stop(self):
        if self.qemu is None or self.qemu.poll() is not None:
            return
        try:
            self.run("systemctl --no-block poweroff", 20)
            self.qemu.wait(120)
        except (subprocess.TimeoutExpired, Broken, OSError):
            self.qemu.kill()
            self.qemu.wait()

    def remove(self):
        shutil.rmtree(self.work, ignore_errors=True)

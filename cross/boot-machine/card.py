"""The device image in an emulated computer, as it is: its own kernel, its own initrd, nothing put into its system.

Owns starting it, from a copy on a larger card, and talking to it as a person would, at the serial console. Boards: `virt`,
a computer that starts by UEFI, boot loader included; `raspi3b`, where QEMU takes over what the Pi's own firmware does
(reading kernel, initrd, device tree and command line from the card) and the rest is the card's.
"""

import base64
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from machines import Broken, Machine, until

# Where the FAT partition begins, for mtools.
FAT = "@@4M"
# A power of two, as QEMU wants of an SD card.
CARD_BYTES = 4 << 30
FIRMWARE = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"
# What a script's bytes may be at once, encoded: the console's line buffer is 4096.
LINE_BYTES = 512
BOARDS = {
    "virt": ["-M", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "512", "-bios", FIRMWARE,
             # It starts from the card; a ROM to start from the network is a package of its own.
             "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="],
    "raspi3b": ["-M", "raspi3b"],
}


class Card(Machine):
    """A copy of the image on a card of 4 GiB, in a board."""

    patience = 8

    def __init__(self, image, work, board):
        self.image, self.work, self.board = Path(image), Path(work), board
        self.disk = self.work / "card.img"
        self.log = self.work / "console.log"
        self.architecture = f"arm64, {board}"
        self.qemu = self.console = None
        self.asked = 0
        self.heard = b""

    def prepare(self):
        """The card, and for the Pi what its firmware would read."""
        subprocess.run(["cp", "--sparse=always", self.image, self.disk], check=True)
        with open(self.disk, "r+b") as disk:
            disk.truncate(CARD_BYTES)
        if self.board == "raspi3b":
            for name in ("vmlinuz", "initrd.img", "cmdline.txt", "bcm2837-rpi-3-b.dtb"):
                (self.work / name).write_bytes(self.read(name))

    def read(self, name):
        """A file of the FAT partition, while the machine is off."""
        return subprocess.run(["mcopy", "-n", "-i", f"{self.disk}{FAT}", f"::/{name}", "-"], check=True,
                              capture_output=True).stdout

    def write(self, name, data):
        """Puts a file on the FAT partition, as a person with a card reader does; while the machine is off."""
        subprocess.run(["mcopy", "-o", "-i", f"{self.disk}{FAT}", "-", f"::/{name}"], check=True, input=data)

    def start(self):
        (self.work / "console").unlink(missing_ok=True)
        command = ["qemu-system-aarch64", *BOARDS[self.board], "-display", "none", "-monitor", "none", "-no-reboot",
                   "-chardev", f"socket,id=console,path={self.work}/console,server=on,wait=on,logfile={self.log},logappend=on"]
        # Written back as a card would: what was not synced is lost with the power.
        drive = f"file={self.disk},format=raw,id=card,cache=writeback"
        if self.board == "raspi3b":
            # The console is the second of its ports, the one at its pins.
            command += ["-serial", "null", "-serial", "chardev:console", "-drive", f"{drive},if=sd",
                        "-kernel", self.work / "vmlinuz", "-initrd", self.work / "initrd.img",
                        "-dtb", self.work / "bcm2837-rpi-3-b.dtb",
                        "-append", (self.work / "cmdline.txt").read_text().strip()]
        else:
            command += ["-serial", "chardev:console", "-drive", f"{drive},if=none", "-device", "virtio-blk-pci,drive=card"]
        with open(self.work / "qemu.log", "ab") as log:
            self.qemu = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.heard = b""
        self.console = until("QEMU's console", 60, self._connected)
        self._log_in()
        self.wait_booted(120)

    def _connected(self):
        self._is_alive()
        port = socket.socket(socket.AF_UNIX)
        try:
            port.connect(str(self.work / "console"))
        except OSError:
            return None
        port.settimeout(0.5)
        return port

    def _is_alive(self):
        if self.qemu.poll() is not None:
            raise Broken(f"QEMU ended: {(self.work / 'qemu.log').read_text(errors='replace')[-600:]} "
                         f"{self.log.read_text(errors='replace')[-600:] if self.log.exists() else ''}")

    def _listen(self):
        """Takes what the console says, if anything within half a second."""
        try:
            part = self.console.recv(65536)
        except TimeoutError:
            return
        if not part:
            self._is_alive()
            raise Broken("the console is gone")
        self.heard += part

    def _expect(self, pattern, seconds):
        """Waits for something at the console; returns the match and forgets what came before it."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.heard)
            if found:
                self.heard = self.heard[found.end():]
                return found
            if time.monotonic() > end:
                return None
            self._listen()

    def _log_in(self):
        if self._expect(rb"login: ", 1500) is None:
            raise Broken(f"no boot: {self.log.read_text(errors='replace')[-800:]}")
        self.console.sendall(b"root\n")
        if self._expect(rb"[#] ", 300) is None:
            raise Broken(f"no shell: {self.log.read_text(errors='replace')[-400:]}")
        # Silent: no echo, no prompt, no messages of the kernel in between.
        self.console.sendall(b"stty -echo; dmesg -n 1; PS1= PS2=; printf '@@%s@@\\n' ready\n")
        if self._expect(rb"@@ready@@", 120) is None:
            raise Broken("the shell at the console does not answer")

    def run(self, script, timeout=60):
        self.asked += 1
        environment = "PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb HOME=/root"
        encoded = base64.b64encode(script.encode()).decode()
        lines = [encoded[at:at + LINE_BYTES] for at in range(0, len(encoded), LINE_BYTES)]
        text = "base64 -d >/run/script <<'@'\n" + "\n".join(lines) + "\n@\n"
        text += f"env -i {environment} bash /run/script >/run/output 2>&1 </dev/null; "
        text += f"printf '\\n@%s %s %s@\\n' {self.asked} $? \"$(base64 -w0 /run/output)\"\n"
        self.console.sendall(text.encode())
        found = self._expect(rb"@%d (\d+) ([A-Za-z0-9+/=]*)@" % self.asked, timeout)
        if found is None:
            self._is_alive()
            return 124, f"(no answer within {timeout} s)"
        return int(found[1]), base64.b64decode(found[2]).decode(errors="replace")

    def cut_power(self):
        """No word to the machine."""
        self.qemu.send_signal(signal.SIGKILL)
        self.qemu.wait()
        self.console.close()

    def stop(self):
        if self.qemu is None or self.qemu.poll() is not None:
            return
        try:
            self.run("systemctl --no-block poweroff", 20)
            end = time.monotonic() + 240
            # Listened to, or a full console holds the machine up.
            while self.qemu.poll() is None and time.monotonic() < end:
                try:
                    self._listen()
                except (Broken, OSError):
                    break
            self.qemu.wait(30)
        except (subprocess.TimeoutExpired, Broken, OSError):
            self.qemu.kill()
            self.qemu.wait()

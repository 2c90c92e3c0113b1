"""What only a computer of its own can show: its power is cut, memory limits hold, USB adapters come and go."""

import socket
import threading

from checks import expect
from machines import until

# The FTDI adapter of the test by its lasting name, and another one that takes its place as ttyUSB0.
OURS, OTHER = "BOILER1", "OTHER2"
BY_ID = f"/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_{OURS}-if00-port0"
# Else QEMU waits for somebody at the far end.
PLUGGED = {"always-plugged": True}


class Boiler:
    """The far end of the adapter: writes lines when told to."""

    def __init__(self, computer):
        self.path = computer.work / "boiler"
        computer.command("chardev-add", id="boiler", backend={"type": "socket", "data": {
            "addr": {"type": "unix", "data": {"path": str(self.path)}}, "server": True, "wait": False}})
        self.line = socket.socket(socket.AF_UNIX)
        self.line.connect(str(self.path))
        # What the gateway might write is of no interest.
        threading.Thread(target=self._swallow, daemon=True).start()

    def _swallow(self):
        while self.line.recv(4096):
            pass

    def say(self, pressure, number):
        self.line.sendall(f"p={pressure} n={number}\r\n".encode())


def power_cut(scene):
    """Power goes in the middle of an outage; everything that was stored and everything the broker kept arrives."""
    machine = scene.machine
    machine.must("systemctl stop upstream")
    scene.cross("cut", 200)
    waiting = scene.wait_waiting(200)
    assert waiting
    # The sensors' broker writes its queue only now and then; what the gateway has acknowledged is the gateway's.
    machine.must("sync --file-system /var/lib/scene")
    # The last ones a moment before: nobody has synced but the gateway itself.
    scene.cross("cut-late", 20)
    scene.wait_waiting(220)
    machine.cut_power()
    machine.start()
    machine.must("systemctl start upstream")
    scene.wait_active(120)
    early, late = scene.wait_arrived("cut", 180), scene.wait_arrived("cut-late", 60)
    unclean = machine.must("journalctl -u tidegate -b -o cat --no-pager | grep -c 'unclean\\|previous_stop' || true")
    checked = machine.must("dmesg | grep -c 'recovery complete\\|orphan cleanup' || true")
    return expect(early + late == 220, f"{early + late} of 220 events arrived after the boot; the file system "
                                       f"recovered {checked} times; told in {unclean} lines of the journal")


def memory(scene):
    """The unit's limits are in force, and a gateway that would need more is started again and loses nothing."""
    machine = scene.machine
    limits = {what: int(scene.show(what)) // (1 << 20) for what in ("MemoryHigh", "MemoryMax")}
    used = int(scene.show("MemoryCurrent")) // 1024
    tasks = scene.show("TasksMax"), scene.show("TasksCurrent")
    before = int(scene.show("NRestarts"))
    resident = machine.must("grep VmRSS /proc/$(systemctl show tidegate -p MainPID --value)/status").split()[1]
    machine.must("systemctl stop upstream")
    scene.cross("memory", 50)
    scene.wait_waiting(50)
    # Far below what it needs: the kernel has to kill it.
    machine.must("systemctl set-property --runtime tidegate MemoryHigh=infinity MemoryMax=3M MemorySwapMax=0")
    scene.cross("memory", 50, first=51)
    until("a kill for want of memory", 120 * machine.patience / 4,
          lambda: int(scene.show("NRestarts")) > before or scene.show("Result") == "oom-kill")
    told = machine.must("journalctl -u tidegate -b --no-pager -o cat | grep -i 'oom' | tail -1")
    machine.must("""systemctl set-property --runtime tidegate MemoryHigh=80M MemoryMax=96M MemorySwapMax=infinity
        systemctl start upstream""")
    scene.wait_active(120)
    count = scene.wait_arrived("memory", 120)
    return expect(limits == {"MemoryHigh": 80, "MemoryMax": 96} and "oom" in told.lower(),
                  f"limits {limits} MiB, {used} KiB in use (resident {resident} KiB), tasks {tasks[1]} of {tasks[0]}; "
                  f"with 3M: {told}; given back, {count} arrived")


def usb(scene):
    """An adapter is plugged in after the start, unplugged, and comes back under another name; by-id finds it."""
    machine = scene.machine
    boiler = Boiler(machine)
    machine.command("chardev-add", id="other", backend={"type": "null", "data": {}})
    scene.port = BY_ID
    scene.configure()
    machine.must("systemctl restart tidegate", 120 * machine.patience)
    scene.wait_active()

    def plugged(name, number, pressure):
        """Waits for the adapter, then until a line of it has become an event."""
        try:
            until(f"{name} in /dev", 10 * machine.patience, lambda: machine.run(f"test -e {name}")[0] == 0)
        except TimeoutError:
            raise AssertionError(f"no {name}; there is: {machine.run('ls /dev/serial/by-id /dev/ttyUSB*')[1]}") from None
        until("an open port", 60 * machine.patience, lambda: "2/2" in scene.show("StatusText"))

        def heard():
            # The first line after opening may be dropped.
            boiler.say(pressure, number)
            return number in scene.numbers("boiler/p")
        until("an event of the adapter", 60 * machine.patience, heard)
        return machine.must(f"basename $(readlink -f {BY_ID})")

    machine.command("device_add", driver="usb-serial", id="ours", chardev="boiler", serial=OURS, **PLUGGED)
    first = plugged(BY_ID, 101, 99.5)
    rule = machine.must(f"udevadm info -q property {BY_ID} | grep ID_MM_PORT_IGNORE || true")
    group = machine.must(f"stat -L -c '%U:%G %a' {BY_ID}")
    machine.command("device_del", id="ours")
    until("a lost port", 60 * machine.patience, lambda: "1/2" in scene.show("StatusText"))
    told = scene.journal("-n 50 TIDEGATE_SOURCE=boiler")[-1]["MESSAGE"]
    # Another one takes its name, so that ours gets a new one.
    machine.command("device_add", driver="usb-serial", id="other", chardev="other", serial=OTHER, **PLUGGED)
    until("the other adapter", 30 * machine.patience, lambda: machine.run("ls /dev/serial/by-id | grep -q OTHER2")[0] == 0)
    machine.command("device_add", driver="usb-serial", id="ours2", chardev="boiler", serial=OURS, **PLUGGED)
    second = plugged(BY_ID, 102, 1.5)
    names = sorted({event["type"].removeprefix("tidegate.") for event in scene.received() if event["subject"] == "source/boiler"})
    return expect(first == "ttyUSB0" and second == "ttyUSB1" and rule,
                  f"plugged in after the start as {first} ({group}, {rule}); unplugged: {told}; back as {second}; events {names}")


CHECKS = [("power cut in an outage", power_cut), ("memory limits", memory), ("USB adapter", usb)]

"""What is checked of the device image, in order, on its first starts. A check returns what it saw, or fails with it."""

import json
from types import SimpleNamespace

from card import CARD_BYTES
from checks import expect
from machines import until

# One file that makes a gateway of the card. Its upstream is the device's own broker, under other topics: what is looked at
# here is the image; TLS, outages and power cuts of the gateway are the package's checks.
GOOD = """[gateway]
id = "from-the-card"

[[source]]
name = "plant"
type = "mqtt"
url = "mqtt://127.0.0.1:1883"
topics = ["plant/+"]
decode = { format = "json", device = "{topic[1]}", fields = { value = "" }, carry = ["n"] }

[[alarm]]
name = "high"
sensors = ["plant/+/value"]
high = 50

[upstream]
url = "mqtt://127.0.0.1:1883"
username = "gateway"
password_file = "/etc/tidegate/upstream.password"
backoff_max = "2s"
"""
WRONG = GOOD.replace("high = 50", "treshold = 50")


def scene_of(card):
    """What the checks have in common."""
    return SimpleNamespace(machine=card, recover=lambda: None)


def offer(card, text):
    """A person puts configuration, password and SSH key on the card, on a computer that ends lines its own way."""
    card.write("tidegate.toml", text.replace("\n", "\r\n").encode())
    card.write("tidegate/upstream.password", b"not-a-secret\n")
    card.write("authorized_keys", b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4LVb2SXeDRxWm3sGY5J4w6yTyl3cGT0xAnBPXhBXTV a\r\n")


def show(scene, what, unit="tidegate"):
    return scene.machine.must(f"systemctl show {unit} -p {what} --value", 60 * scene.machine.patience)


def active(scene):
    """Waits for the gateway, and says what its unit says."""
    until("an active gateway", 120 * scene.machine.patience, lambda: show(scene, "ActiveState") == "active")
    return show(scene, "StatusText")


def failed_units(scene):
    return scene.machine.must("systemctl --failed --no-legend --plain | cut -d' ' -f1", 60 * scene.machine.patience).split()


def report_of(scene):
    """What stands on the card and at the console about a wrong configuration."""
    report = scene.machine.must("cat /boot/firmware/tidegate-error.txt", 60 * scene.machine.patience)
    console = scene.machine.log.read_text(errors="replace")
    where = next((line.strip() for line in report.splitlines() if "-->" in line), "no place")
    return where, "treshold" in report and "tidegate.toml:" in where and "did not take over" in console


def idle(scene):
    """A wrong configuration at the first start: the reason on the card and at the console, and the gateway idle."""
    where, told = report_of(scene)
    kept = scene.machine.must("cd /boot/firmware && ls tidegate.toml tidegate/upstream.password; ls -A /etc/tidegate",
                              60 * scene.machine.patience).split()
    text = active(scene)
    failed = failed_units(scene)
    good = (told and "[[source]]" in text and failed == ["tidegate-take-config.service"]
            and kept == ["tidegate.toml", "tidegate/upstream.password", "tidegate.toml"])
    return expect(good, f"tidegate-error.txt {where}; failed units {failed}; kept {kept}; STATUS: {text}")


def later_refused(scene):
    """A wrong configuration later on: the reason on the card, and the gateway goes on with the one it has."""
    machine = scene.machine
    before = machine.must("cat /etc/tidegate/tidegate.toml | md5sum; ls -A /etc/tidegate", 60 * machine.patience)
    machine.must("sed 's/^high = /treshold = /' /boot/firmware/tidegate-taken.toml >/boot/firmware/tidegate.toml",
                 60 * machine.patience)
    code, _ = machine.run("systemctl restart tidegate-take-config", 120 * machine.patience)
    where, told = report_of(scene)
    after = machine.must("cat /etc/tidegate/tidegate.toml | md5sum; ls -A /etc/tidegate", 60 * machine.patience)
    state = show(scene, "ActiveState")
    return expect(code != 0 and told and before == after and state == "active",
                  f"tidegate-error.txt {where}; /etc/tidegate as before; the gateway is {state}")


def grown(scene):
    """The system has the whole card."""
    must = scene.machine.must
    bytes_of = int(must("df --output=size -B1 / | tail -1", 60 * scene.machine.patience))
    device = must("findmnt -no SOURCE /")
    free = must("tune2fs -l " + device + " | grep -E '^(Filesystem state|Mount count)'").replace("\n", ", ")
    return expect(bytes_of > CARD_BYTES * 85 // 100,
                  f"{device} has {bytes_of >> 20} of {CARD_BYTES >> 20} MiB; image {scene.machine.image.stat().st_size >> 20} MiB; {free}")


def own_name(scene):
    """A name and SSH keys of its own, and the administrator's key."""
    must = scene.machine.must
    name = must("hostname; cat /etc/hostname").split()
    keys = must("ls /etc/ssh/ssh_host_*_key").split()
    root = must("stat -c %a /root/.ssh/authorized_keys; grep -c 'BXTV a$' /root/.ssh/authorized_keys").split()
    ssh = must("systemctl is-active ssh; sshd -T | grep -i -E '^(passwordauthentication|permitrootlogin)'").split("\n")
    machine_id = must("cat /etc/machine-id")
    return expect(name[0] == name[1] and name[0].startswith("tidegate-") and len(name[0]) == 17 and keys
                  and root == ["600", "1"] and ssh[0] == "active" and "passwordauthentication no" in ssh
                  and len(machine_id) == 32,
                  f"{name[0]}, {len(keys)} host keys, authorized_keys {root}, {', '.join(ssh)}")


def network(scene):
    """An address by DHCP, and names resolved."""
    seen = until("an address", 60 * scene.machine.patience,
                 lambda: scene.machine.must("ip -4 -brief address show scope global", 60 * scene.machine.patience))
    unit = scene.machine.must("systemctl is-active systemd-networkd systemd-resolved systemd-timesyncd").split()
    return expect(unit == ["active"] * 3, f"{seen}; networkd, resolved, timesyncd {unit}")


def taken_over(scene):
    """The configuration of the card is in force, its files are the gateway's alone, and the card says so."""
    must = scene.machine.must
    card = must("cd /boot/firmware && ls; ls tidegate", 60 * scene.machine.patience).split()
    modes = must("stat -c '%n %a %U:%G' /etc/tidegate/* | sed 's:/etc/tidegate/::'").splitlines()
    text = active(scene)
    failed = failed_units(scene)
    good = ("tidegate-taken.toml" in card and "tidegate.toml" not in card and "tidegate-error.txt" not in card
            and "upstream.password" not in card and not failed
            and modes == ["tidegate.toml 640 root:tidegate", "upstream.password 400 tidegate:tidegate"])
    return expect(good, f"{'; '.join(modes)}; failed units {failed or 'none'}; on the card "
                        f"{[name for name in card if 'tidegate' in name or 'password' in name]}; STATUS: {text}")


def forwarded(scene):
    """A reading above its limit becomes an event at the upstream."""
    machine = scene.machine
    machine.must("tidegate check", 60 * machine.patience)
    machine.must("systemd-run --quiet --unit=consumer sh -c 'exec mosquitto_sub -q 1 -t \"tidegate/#\" >/run/events'",
                 60 * machine.patience)

    def arrived():
        # Said again, since nobody tells when source and consumer have subscribed. Only crossings become events.
        machine.must("for v in 10 90; do mosquitto_pub -q 1 -t plant/oven -m \"{\\\"value\\\":$v,\\\"n\\\":7}\"; done",
                     60 * machine.patience)
        lines = machine.must("grep -a 'threshold.exceeded' /run/events || true", 60 * machine.patience).splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]
    event = until("the event", 120 * machine.patience, arrived)[0]
    restarts = show(scene, "NRestarts")
    memory = int(show(scene, "MemoryCurrent"))
    return expect(event["source"] == "/tidegate/from-the-card" and event["subject"] == "plant/oven/value" and restarts == "0",
                  f"{event['type']} of {event['subject']} from {event['source']}; {restarts} restarts, "
                  f"{memory >> 20} MiB, limit {int(show(scene, 'MemoryMax')) >> 20} MiB")


def put_right(scene):
    """The configuration corrected on the card and the power cut: taken over at the next start, and all is whole."""
    before = scene.machine.must("hostname; sync", 60 * scene.machine.patience)
    scene.machine.cut_power()
    offer(scene.machine, GOOD)
    scene.machine.start()
    taken = taken_over(scene)
    text = active(scene)
    after = scene.machine.must("hostname")
    errors = scene.machine.must("journalctl -b -k --no-pager -o cat | grep -c 'EXT4-fs error' || true")
    failed = failed_units(scene)
    return expect(before == after and errors == "0" and not failed,
                  f"{after}, no errors in the file system, STATUS: {text}; {taken}")


def late_partition(scene):
    """A card so slow that systemd gives up waiting for its partition: the image's own scripts mount it, and take over."""
    machine = scene.machine
    must = machine.must
    # No device is there so soon.
    must("sed -i '/^LABEL=TIDEGATE/s/nofail,/&x-systemd.device-timeout=1ms,/' /etc/fstab; sync", 60 * machine.patience)
    machine.cut_power()
    offer(machine, GOOD.replace("high = 50", "high = 60"))
    machine.start()
    gave_up = must("journalctl -b --no-pager -o cat | grep 'Timed out waiting for device' || true", 60 * machine.patience)
    taken = taken_over(scene)
    limit = must("grep '^high' /etc/tidegate/tidegate.toml; findmnt -no SOURCE /boot/firmware").splitlines()
    return expect("TIDEGATE" in gave_up and limit[0] == "high = 60" and len(limit) == 2, f"systemd: {gave_up}; {limit}; {taken}")


CHECKS = {
    "virt": [("taken over", taken_over), ("event forwarded", forwarded), ("grown", grown), ("a name of its own", own_name),
             ("network", network), ("wrong later on", later_refused), ("put right, power cut", put_right)],
    "raspi3b": [("wrong at first", idle), ("grown", grown), ("a name of its own", own_name),
                ("put right, power cut", put_right), ("event forwarded", forwarded),
                ("partition seen late", late_partition)],
}
# What lies on the card at the first start.
OFFERED = {"virt": GOOD, "raspi3b": WRONG}

"""What stands around the gateway in the machine: two brokers, a boiler on a pseudo-terminal, a consumer, certificates.

The sensors' broker is Debian's mosquitto service. The upstream is another mosquitto over mutual TLS that keeps a session
for the consumer; the consumer writes every event it gets into a file, one JSON a line.
"""

import json
import subprocess

from machines import until

RECEIVED = "/var/lib/scene/received.jsonl"

UNITS = {
    "upstream": """[Unit]
Description=The upstream broker of the test
[Service]
User=mosquitto
StateDirectory=upstream
ExecStart=/usr/sbin/mosquitto -c /etc/scene/upstream.conf
Restart=on-failure
""",
    "consumer": f"""[Unit]
Description=The consumer of the test
After=upstream.service
StartLimitIntervalSec=0
[Service]
StateDirectory=scene
ExecStart=/bin/sh -c 'exec >>{RECEIVED}; exec stdbuf -oL mosquitto_sub -h localhost -p 8883 --cafile /etc/scene/ca.pem --cert /etc/scene/client.pem \
    --key /etc/scene/client.key -i consumer -c -q 1 -t tidegate/boot-test/+/# -F %%p'
Restart=always
RestartSec=1
""",
    # What is written into /run/boiler comes out of the serial port.
    "boiler": """[Unit]
Description=A boiler controller on a serial port
[Service]
ExecStart=/bin/sh -c 'rm -f /run/boiler; mkfifo /run/boiler; exec 3<>/run/boiler; \
    exec socat -u FD:3 PTY,link=/dev/ttyBOILER,rawer,group=dialout,mode=660'
""",
}

UPSTREAM = """listener 8883
cafile /etc/scene/ca.pem
certfile /etc/scene/server.pem
keyfile /etc/scene/server.key
require_certificate true
allow_anonymous true
persistence true
persistence_location /var/lib/upstream/
max_queued_messages 0
"""

CONFIGURATION = """[gateway]
id = "boot-test"
log_level = "{level}"

[[source]]
name = "plant"
type = "mqtt"
url = "mqtt://127.0.0.1:1883"
topics = ["plant/+"]
decode = {{ format = "json", device = "{{topic[1]}}", fields = {{ value = "" }}, carry = ["n"] }}

[[source]]
name = "boiler"
type = "serial"
port = "{port}"
decode = {{ format = "key-value", carry = ["n"] }}

[[alarm]]
name = "high"
sensors = ["plant/+/value", "boiler/p"]
high = {high}

[store]
path = "{store}"

[record]
path = "/var/lib/tidegate-readings"

[upstream]
url = "mqtts://localhost:8883"
ca_file = "/etc/tidegate/upstream-ca.pem"
cert_file = "/etc/tidegate/client.pem"
key_file = "${{CREDENTIALS_DIRECTORY}}/client.key"
backoff_max = "2s"
"""

# The drop-in that the unit's own text describes.
CREDENTIAL = """[Service]
LoadCredential=client.key:/etc/tidegate/secret/client.key
"""


def furnish(root, work):
    """Puts everything into the root directory of a machine that has not been booted yet."""
    scene = root / "etc/scene"
    scene.mkdir(parents=True)
    certificates(work)
    for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key"):
        (scene / name).write_bytes((work / name).read_bytes())
        # Certificates of a test that live for a few days: any broker user may read them.
        (scene / name).chmod(0o644)
    (scene / "upstream.conf").write_text(UPSTREAM)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for name, text in UNITS.items():
        (root / f"etc/systemd/system/{name}.service").write_text(text + "[Install]\nWantedBy=multi-user.target\n")
        (wants / f"{name}.service").symlink_to(f"../{name}.service")


def certificates(work):
    """An authority, the upstream broker's certificate and the gateway's."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=work, check=True, capture_output=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=boot test CA")
    for name, subject, usage in (("server", "localhost", "serverAuth"), ("client", "boot-test", "clientAuth")):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={subject}")
        (work / "extensions").write_text(f"subjectAltName=DNS:{subject}\nextendedKeyUsage={usage}\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "30", "-extfile", "extensions")


class Scene:
    """The words and looks of the test: publish, break the upstream, see what arrived."""

    def __init__(self, machine):
        self.machine = machine
        self.expected = {}
        self.port = "/dev/ttyBOILER"
        # Ids of events that another store has numbered.
        self.elsewhere = set()

    def configure(self, high=50, level="info", tail="", store="/var/lib/tidegate"):
        text = CONFIGURATION.format(high=high, level=level, port=self.port, store=store) + tail
        self.machine.must(f"cat >/etc/tidegate/tidegate.toml <<'EOF'\n{text}EOF")

    def recover(self):
        """After a check that failed: everything runs again, so that the next ones see for themselves."""
        self.configure()
        self.machine.run("""rm -f /etc/systemd/system/tidegate.service.d/{watchdog,stop,memory,disk}.conf; systemctl daemon-reload
            systemctl kill -s CONT upstream; systemctl start upstream consumer boiler
            systemctl kill -s CONT tidegate; systemctl restart tidegate""", 120 * self.machine.patience)

    def install_credentials(self):
        self.machine.must(f"""
            install -d -m 700 /etc/tidegate/secret
            install -m 600 /etc/scene/client.key /etc/tidegate/secret/
            install -m 644 /etc/scene/ca.pem /etc/tidegate/upstream-ca.pem
            install -m 644 /etc/scene/client.pem /etc/tidegate/
            install -d /etc/systemd/system/tidegate.service.d
            cat >/etc/systemd/system/tidegate.service.d/credential.conf <<'EOF'\n{CREDENTIAL}EOF
            systemctl daemon-reload""")

    def cross(self, device, count, first=1, high=90):
        """`count` readings that each cross the limit, one way or the other; each has its number `n` in the event."""
        self.expected.setdefault(device, set()).update(range(first, first + count))
        self.machine.must(f"""
            for ((n = {first}; n < {first + count}; n++)); do
                echo "{{\\"value\\":$((n % 2 ? {high} : 10)),\\"n\\":$n}}"
            done | mosquitto_pub -q 1 -l -t plant/{device}""", 60 * self.machine.patience)

    def boil(self, pressure, number):
        """One line from the boiler."""
        self.machine.must(f"echo 'p={pressure} n={number}' >/run/boiler")

    def received(self):
        """All events that the consumer has, as they came; a line that is being written is left for the next look."""
        text = self.machine.must(f"cat {RECEIVED}", 60 * self.machine.patience)
        events = []
        for line in text.splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            # The gateway's own status lies under the same topics.
            if "specversion" in found:
                events.append(found)
        return events

    def numbers(self, subject):
        """The numbers of the readings whose events have arrived, of one sensor."""
        return {int(event["data"]["attributes"]["n"]) for event in self.received()
                if event["subject"] == subject and "n" in event["data"].get("attributes", {})}

    def wait_arrived(self, device, seconds=60):
        """Waits until every crossing of a device is there; returns how many."""
        wanted = self.expected[device]
        seen = set()

        def complete():
            seen.clear()
            seen.update(self.numbers(f"plant/{device}/value"))
            return wanted <= seen
        try:
            until("all events", seconds * self.machine.patience, complete)
        except TimeoutError as late:
            missing = sorted(wanted - seen)
            raise AssertionError(f"{len(missing)} of {len(wanted)} events missing, the first {missing[:5]}") from late
        return len(wanted)

    def status(self):
        """What `tidegate status --json` says; empty while nobody answers."""
        code, text = self.machine.run("tidegate status --json", 20 * self.machine.patience)
        return json.loads(text) if code == 0 else {}

    def wait_waiting(self, count, seconds=60):
        """Waits until so many events wait in the store."""
        return until(f"{count} events in the store", seconds * self.machine.patience,
                     lambda: self.status().get("store", {}).get("waiting", 0) >= count)

    def show(self, what, unit="tidegate"):
        """One property of a unit."""
        return self.machine.must(f"systemctl show {unit} -p {what} --value", 30 * self.machine.patience)

    def wait_connected(self, seconds=60):
        """Waits until sources and upstream are up; returns the line that `systemctl status` shows."""
        def good():
            text = self.show("StatusText")
            return text if "sources 2/2 up, upstream connected" in text else None
        try:
            return until("sources and upstream", seconds * self.machine.patience, good)
        except TimeoutError:
            raise AssertionError(f"systemd shows: {self.show('ActiveState')}, {self.show('StatusText')}") from None

    def wait_active(self, seconds=60):
        """Waits until the service is active (its program has said so)."""
        return until("an active service", seconds * self.machine.patience,
                     lambda: self.show("ActiveState") == "active" and self.show("SubState") == "running")

    def journal(self, more):
        """Lines of the gateway's journal as JSON."""
        text = self.machine.must(f"journalctl -u tidegate -o json --no-pager {more}", 60 * self.machine.patience)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

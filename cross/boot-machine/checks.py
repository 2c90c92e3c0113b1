"""What is checked in every machine, in order. A check returns what it saw, or fails with what it saw instead."""

import re
from types import SimpleNamespace

from machines import until

# The highest exposure that passes, by `systemd-analyze security`.
EXPOSURE_MAX = 1.5
NEXT = "/opt/next.deb"
FRESH = "/opt/fresh.deb"
# What the tarball holds, with the package's program.
TARBALL = "/opt/tarball"


def expect(holds, seen):
    """What was seen, if it is good."""
    if not holds:
        raise AssertionError(seen)
    return seen


def fresh_install(scene):
    """A package on a system that has no configuration: runs, is healthy, and says what to do."""
    machine = scene.machine
    machine.must(f"dpkg -i {FRESH}", 120 * machine.patience)
    scene.wait_active()
    text = scene.show("StatusText")
    enabled = machine.must("systemctl is-enabled tidegate")
    failed = machine.must("systemctl --failed --no-legend --plain")
    expect(enabled == "enabled" and "[[source]]" in text and "tidegate reload" in text and not failed,
           f"{enabled}, active; failed units: {failed or 'none'}; STATUS: {text}")
    return f"enabled, active; STATUS: {text}"


def user_and_files(scene):
    """Who it runs as, who may read what."""
    must = scene.machine.must
    groups = must("id -nG tidegate")
    modes = must("stat -c '%n %a %U:%G' /etc/tidegate /etc/tidegate/tidegate.toml /var/lib/tidegate").splitlines()
    wanted = ["/etc/tidegate 750 root:tidegate", "/etc/tidegate/tidegate.toml 640 root:tidegate",
              "/var/lib/tidegate 750 tidegate:tidegate"]
    must("getent passwd tidegate | grep -q nologin")
    return expect(groups.split() == ["tidegate", "dialout"] and modes == wanted, f"groups {groups}; {'; '.join(modes)}")


def configured(scene):
    """With sources, alarms, an upstream and a credential: checked, started, active by the program's own word."""
    scene.install_credentials()
    scene.configure()
    said = scene.machine.must("CREDENTIALS_DIRECTORY=/etc/tidegate/secret tidegate check", 60 * scene.machine.patience)
    scene.machine.must("systemctl restart tidegate", 120 * scene.machine.patience)
    text = scene.wait_connected()
    kind = scene.show("Type")
    expect(kind == "notify" and scene.show("NRestarts") == "0", f"Type={kind}, restarts {scene.show('NRestarts')}")
    return f"Type=notify, STATUS: {text}; check: {said.splitlines()[-1]}"


def recorded(scene):
    """[record] works where the documentation puts it."""
    told = until("the recorder's word", 30 * scene.machine.patience,
                 lambda: [entry["MESSAGE"] for entry in scene.journal("-n 200") if "record" in entry["MESSAGE"]])
    folder = scene.machine.must("stat -c '%n %a %U' /var/lib/tidegate-readings")
    return expect(all("recording readings" in text for text in told) and folder.endswith(" 750 tidegate"), f"{folder}; {told}")


def other_disk(scene):
    """A store on another disk: the unit forbids it, the gateway says what to do, and that helps."""
    machine = scene.machine
    machine.must("""install -d -o tidegate -g tidegate /mnt/ssd && mount -t tmpfs -o size=64m,mode=755 tmpfs /mnt/ssd
        install -d -o tidegate -g tidegate -m 750 /mnt/ssd/tidegate""")
    scene.configure(store="/mnt/ssd/tidegate")
    begin = machine.must("date +%s")
    machine.must("systemctl restart tidegate", 60 * machine.patience)
    told = until("what is wrong", 60 * machine.patience,
                 lambda: [entry["MESSAGE"] for entry in scene.journal(f"--since=@{begin}") if "ReadWritePaths=" in entry["MESSAGE"]])
    expect(scene.show("ActiveState") == "active", f"not active: {scene.show('ActiveState')}")
    # As told.
    machine.must("""printf '[Service]\nReadWritePaths=/mnt/ssd/tidegate\n' >/etc/systemd/system/tidegate.service.d/disk.conf
        systemctl daemon-reload; systemctl restart tidegate""", 60 * machine.patience)
    scene.wait_connected()
    scene.cross("disk", 20)
    count = scene.wait_arrived("disk")
    stored = machine.must("ls /mnt/ssd/tidegate")
    # Its events are numbered by themselves, and are no part of the sequence of all others.
    scene.elsewhere = {event["id"] for event in scene.received() if event["subject"] == "plant/disk/value"}
    scene.configure()
    machine.must("""rm /etc/systemd/system/tidegate.service.d/disk.conf; systemctl daemon-reload
        systemctl restart tidegate; umount /mnt/ssd""", 60 * machine.patience)
    scene.wait_connected()
    expect("=/mnt/ssd/tidegate`" in told[0], told[0])
    return expect(stored, f"told: {told[0]}; then {count} arrived, there lie {' '.join(stored.split())}")


def tools(scene):
    """`tidegate status`, and `tidegate check --environment` beside the running gateway."""
    must = scene.machine.must
    status = must("tidegate status", 60 * scene.machine.patience)
    expect("connected since" in status, status)
    code, checked = scene.machine.run("CREDENTIALS_DIRECTORY=/etc/tidegate/secret tidegate check --environment",
                                      120 * scene.machine.patience)
    oks = [line for line in checked.splitlines() if line.startswith("ok ")]
    wrong = [line for line in checked.splitlines() if line.startswith("WRONG")]
    expect(any("upstream" in line for line in oks) and any("`plant`" in line for line in oks),
           f"check --environment, exit code {code}: {checked}")
    first = status.splitlines()[1].split(" since")[0]
    return f"status: {first}; check --environment: {len(oks)} ok, {len(wrong)} wrong {'; '.join(wrong)}"


def exposure(scene):
    """systemd's own judgement, inside."""
    text = scene.machine.must("systemd-analyze security --no-pager tidegate", 60 * scene.machine.patience)
    found = float(re.search(r"exposure level for tidegate.service: ([0-9.]+)", text).group(1))
    return expect(found <= EXPOSURE_MAX, f"exposure {found}, at most {EXPOSURE_MAX}")


def confinement(scene):
    """What the kernel says of the running process."""
    text = scene.machine.must("grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp|Uid):' "
                              "/proc/$(systemctl show tidegate -p MainPID --value)/status")
    found = dict(line.split(":", 1) for line in text.splitlines())
    found = {key: value.split()[0] for key, value in found.items()}
    good = (int(found["CapEff"], 16), int(found["CapBnd"], 16), found["NoNewPrivs"], found["Seccomp"]) == (0, 0, "1", "2")
    return expect(good and found["Uid"] != "0", ", ".join(f"{key} {value}" for key, value in found.items()))


def from_serial(scene):
    """A line on the serial port becomes an event at the upstream's consumer."""
    def heard(pressure, number):
        # Said again: the first line after opening may have lost its beginning, and is dropped.
        scene.boil(pressure, number)
        return number in scene.numbers("boiler/p")
    until("the boiler's event", 60 * scene.machine.patience, lambda: heard(99.5, 1))
    until("its end", 60 * scene.machine.patience, lambda: heard(1.5, 2))
    return f"{scene.port}: raised at 99.5, cleared at 1.5"


def from_mqtt(scene):
    """Messages at the local broker become events at the other one, over TLS."""
    scene.cross("press", 20)
    count = scene.wait_arrived("press")
    tls = scene.machine.must("journalctl -u upstream --no-pager -o cat | grep -c 'boot-test' || true")
    events = [event for event in scene.received() if event["subject"] == "plant/press/value"]
    return expect(all(event["specversion"] == "1.0" for event in events) and tls != "0",
                  f"{count} crossings, {len(events)} CloudEvents over mutual TLS")


def journal_fields(scene):
    """The journal's entries have fields of their own, and can be asked for by them."""
    entries = scene.journal("-n 200")
    fields = sorted({key for entry in entries for key in entry if key.startswith("TIDEGATE_")})
    named = [entry for entry in entries if entry.get("TIDEGATE_SOURCE") or entry.get("TIDEGATE_SENSOR")]
    expect(len(fields) >= 3 and named, f"{len(entries)} entries, fields {fields}")
    source = named[-1].get("TIDEGATE_SOURCE") and "TIDEGATE_SOURCE" or "TIDEGATE_SENSOR"
    asked = scene.journal(f"{source}={named[-1][source]}")
    transports = {entry.get("_TRANSPORT") for entry in named}
    expect(asked and transports == {"journal"}, f"asked for {source}={named[-1][source]}: {len(asked)}, {transports}")
    return f"{len(fields)} fields ({', '.join(fields[:4])}, ...); {source}={named[-1][source]} finds {len(asked)}"


def reload_changed(scene):
    """A changed configuration is taken over by the same process; the credential is there for the check before it."""
    process = scene.show("MainPID")
    scene.configure(high=500)
    scene.machine.must("systemctl reload tidegate", 60 * scene.machine.patience)
    until("the end of the reload", 30 * scene.machine.patience,
          lambda: any("reload" in entry["MESSAGE"].lower() for entry in scene.journal("-n 30")))
    scene.cross("limit", 2, high=90)
    scene.cross("limit-new", 2, high=900)
    scene.wait_arrived("limit-new")
    quiet = scene.numbers("plant/limit/value")
    del scene.expected["limit"]
    return expect(not quiet and scene.show("MainPID") == process,
                  f"limit 500 in force: 900 raised, 90 raised {len(quiet)}; same process")


def reload_refused(scene):
    """A wrong configuration is refused aloud; the old one stays in force."""
    process = scene.show("MainPID")
    scene.configure(high=50, tail="treshold = 1\n")
    code, text = scene.machine.run("systemctl reload tidegate", 60 * scene.machine.patience)
    expect(code != 0, f"systemctl reload says nothing: exit code {code}, {text}")
    told = until("the reason in the journal", 30 * scene.machine.patience,
                 lambda: [entry["MESSAGE"] for entry in scene.journal("-n 40") if "treshold" in entry["MESSAGE"]])[0]
    # The signal alone, without the check before it.
    scene.machine.must("systemctl kill -s HUP --kill-whom=main tidegate")
    scene.cross("limit-kept", 2, high=900)
    scene.wait_arrived("limit-kept")
    same = scene.show("MainPID") == process and scene.show("ActiveState") == "active"
    # Good, but not without a restart: said, too.
    scene.configure()
    scene.machine.must("sed -i 's/^id = .*/id = \"other\"/' /etc/tidegate/tidegate.toml")
    restart, text = scene.machine.run("systemctl reload tidegate", 60 * scene.machine.patience)
    expect(restart != 0, f"a changed gateway.id: systemctl reload says nothing: exit code {restart}, {text}")
    until("the need of a restart in the journal", 30 * scene.machine.patience,
          lambda: [entry for entry in scene.journal("-n 40") if "needs a restart" in entry["MESSAGE"]])
    scene.configure()
    scene.machine.must("systemctl reload tidegate", 60 * scene.machine.patience)
    return expect(same, f"exit code {code}, same process, limit 500 still in force; journal: {told.strip()}; "
                        f"what needs a restart: exit code {restart}")


def reload_without_socket(scene):
    """Without a control socket, too, a reload takes a good configuration and fails aloud on a wrong one."""
    off = """sed -i 's/^id = .*/&\\ncontrol_socket = "off"/' /etc/tidegate/tidegate.toml"""
    scene.machine.must(f"{off}; systemctl restart tidegate", 60 * scene.machine.patience)
    process = scene.show("MainPID")
    scene.configure(high=500)
    scene.machine.must(f"{off}; systemctl reload tidegate", 60 * scene.machine.patience)
    until("the word that it is taken", 30 * scene.machine.patience,
          lambda: any("configuration reloaded" in entry["MESSAGE"] for entry in scene.journal(f"_PID={process}")))
    scene.configure(tail="treshold = 1\n")
    code, text = scene.machine.run("systemctl reload tidegate", 60 * scene.machine.patience)
    same = scene.show("MainPID") == process
    scene.configure()
    scene.machine.must("systemctl restart tidegate", 60 * scene.machine.patience)
    scene.wait_connected()
    return expect(code != 0 and same, f"good: taken by the same process; wrong: exit code {code}, {text}")


def kill_in_outage(scene):
    """kill -9 amid readings while the upstream is away; it comes back, and so does every event."""
    before = int(scene.show("NRestarts"))
    scene.machine.must("systemctl stop upstream")
    scene.cross("kill", 300)
    scene.machine.must("systemctl kill -s KILL --kill-whom=main tidegate")
    scene.cross("kill", 100, first=301)
    until("a restart", 60 * scene.machine.patience, lambda: int(scene.show("NRestarts")) > before)
    scene.wait_active()
    scene.cross("kill", 100, first=401)
    waiting = scene.status().get("store", {}).get("waiting")
    # Once more with a full store.
    scene.machine.must("systemctl kill -s KILL --kill-whom=main tidegate")
    until("a restart", 60 * scene.machine.patience, lambda: int(scene.show("NRestarts")) > before + 1)
    scene.wait_active()
    scene.machine.must("systemctl start upstream")
    count = scene.wait_arrived("kill", 120)
    return f"killed twice, {waiting} waiting before the second; {count} of {count} crossings arrived"


def watchdog(scene):
    """A process that stands still is killed and started again by systemd's watchdog."""
    shipped = scene.machine.must("systemctl show tidegate -p WatchdogUSec --value")
    limit = min(10 * scene.machine.patience, 30)
    # The unit's minute, made shorter.
    scene.machine.must(f"""printf '[Service]\\nWatchdogSec={limit}s\\n' >/etc/systemd/system/tidegate.service.d/watchdog.conf
        systemctl daemon-reload; systemctl restart tidegate""", 60 * scene.machine.patience)
    scene.wait_connected()
    before = int(scene.show("NRestarts"))
    scene.machine.must("systemctl kill -s STOP --kill-whom=main tidegate")
    scene.cross("watchdog", 20)
    until("a restart", 60 + 5 * limit, lambda: int(scene.show("NRestarts")) > before)
    told = scene.machine.must("journalctl -u tidegate --no-pager -o cat | grep -i 'watchdog timeout' | tail -1")
    scene.machine.must("rm /etc/systemd/system/tidegate.service.d/watchdog.conf; systemctl daemon-reload")
    scene.wait_connected()
    return f"{told}; {scene.wait_arrived('watchdog')} crossings of the meantime arrived (as shipped: {shipped})"


def wrong_start(scene):
    """A start into a wrong configuration is given up at once (exit code 78), and a right one starts."""
    scene.configure(tail="treshold = 1\n")
    scene.machine.run("systemctl restart tidegate", 60 * scene.machine.patience)
    seen = SimpleNamespace(state=scene.show("ActiveState"), code=scene.show("ExecMainStatus"), restarts=scene.show("NRestarts"))
    scene.configure()
    scene.machine.must("systemctl restart tidegate", 60 * scene.machine.patience)
    scene.wait_connected()
    return expect(seen.state == "failed" and seen.code == "78" and seen.restarts == "0",
                  f"{seen.state}, exit code {seen.code}, {seen.restarts} restarts; a right one starts again")


def long_grace(scene):
    """A stop may take longer than the unit's TimeoutStopSec if gateway.shutdown_grace says so: the program asks for it."""
    scene.machine.must(f"""sed -i 's/^id = .*/&\\nshutdown_grace = "20s"/' /etc/tidegate/tidegate.toml
        printf '[Service]\\nTimeoutStopSec=2s\\n' >/etc/systemd/system/tidegate.service.d/stop.conf
        systemctl daemon-reload; systemctl restart tidegate""", 60 * scene.machine.patience)
    scene.wait_connected()
    # Stopped, so that the connection stands and the events in flight keep the gateway from ending.
    scene.machine.must("systemctl kill -s STOP --kill-whom=main upstream")
    scene.cross("grace", 50)
    scene.wait_waiting(50)
    took = scene.machine.must("begin=${EPOCHREALTIME/./}; systemctl stop tidegate; echo $(((${EPOCHREALTIME/./} - begin) / 1000))",
                              180 * scene.machine.patience)
    result = scene.show("Result")
    scene.machine.must("""systemctl kill -s CONT --kill-whom=main upstream
        rm /etc/systemd/system/tidegate.service.d/stop.conf; systemctl daemon-reload""")
    scene.configure()
    scene.machine.must("systemctl start tidegate", 60 * scene.machine.patience)
    count = scene.wait_arrived("grace")
    return expect(result == "success" and int(took) > 3000,
                  f"TimeoutStopSec=2s, grace 20 s: ended by itself after {int(took) / 1000:.1f} s, {result}; {count} arrived")


def upgrade(scene):
    """A newer package in the middle of readings and of an outage: same configuration, same store, nothing lost."""
    machine = scene.machine
    scene.machine.must("systemctl stop upstream")
    scene.cross("upgrade", 50)
    scene.wait_waiting(50)
    before = machine.must("md5sum </etc/tidegate/tidegate.toml"), scene.show("MainPID")
    machine.must(f"""
        (for ((n = 51; n <= 250; n++)); do
            echo "{{\\"value\\":$((n % 2 ? 90 : 10)),\\"n\\":$n}}"; sleep 0.01
        done | mosquitto_pub -q 1 -l -t plant/upgrade) &
        dpkg -i {NEXT}
        wait""", 180 * machine.patience)
    scene.expected["upgrade"].update(range(51, 251))
    scene.wait_active()
    after = machine.must("md5sum </etc/tidegate/tidegate.toml"), scene.show("MainPID")
    version = machine.must("dpkg-query -W -f '${Version}' tidegate")
    machine.must("systemctl start upstream")
    count = scene.wait_arrived("upgrade", 120)
    return expect(before[0] == after[0] and before[1] != after[1],
                  f"now {version}, configuration kept, new process, {count} of {count} crossings arrived")


def gap_free(scene):
    """Over everything so far: the sequence has no gap, and the gateway itself says that nothing was lost."""
    status = until("an empty store", 60 * scene.machine.patience,
                   lambda: (lambda found: found if found.get("store", {}).get("waiting") == 0 else None)(scene.status()))
    events = [event for event in scene.received() if event["id"] not in scene.elsewhere]
    sequences = [int(event["sequence"]) for event in events]
    missing = set(range(min(sequences), max(sequences) + 1)) - set(sequences)
    lost = status["store"]["lost"] + status["store"]["dead"]
    return expect(not missing and not lost,
                  f"{len(set(sequences))} events, {len(sequences) - len(set(sequences))} of them twice, "
                  f"{len(missing)} missing, {lost} lost by the gateway's own count")


def remove_and_return(scene):
    """A removal keeps configuration and the events that wait; installed again, they are delivered."""
    machine = scene.machine
    machine.must("systemctl stop upstream")
    scene.cross("removed", 20)
    scene.wait_waiting(20)
    machine.must("dpkg -r tidegate", 120 * machine.patience)
    gone = machine.must("systemctl is-active tidegate || true; command -v tidegate || echo 'no program'")
    kept = machine.must("ls -d /etc/tidegate/tidegate.toml /var/lib/tidegate")
    machine.must(f"dpkg -i {NEXT}", 120 * machine.patience)
    machine.must("systemctl start upstream")
    count = scene.wait_arrived("removed")
    return f"{gone.replace(chr(10), ', ')}; kept {kept.replace(chr(10), ', ')}; installed again, {count} arrived"


def purge(scene):
    """A purge takes configuration and store. The user stays, so that nobody else gets its number."""
    # A disk of its own does not stop it, and is emptied.
    scene.machine.must("""cd /var/lib/tidegate-readings && rm -f -- * && mount -t tmpfs tmpfs . &&
        touch /var/lib/tidegate-readings/readings""")
    scene.machine.must("dpkg --purge tidegate", 120 * scene.machine.patience)
    scene.machine.must("""cd /var/lib && [ -z "$(ls -A tidegate-readings)" ] && umount tidegate-readings && rmdir tidegate-readings""")
    left = scene.machine.must("ls -d /etc/tidegate/* /var/lib/tidegate /var/lib/tidegate-readings /run/tidegate /usr/bin/tidegate "
                              "/lib/systemd/system/tidegate.service /etc/systemd/system/*.wants/tidegate.service 2>/dev/null || true")
    user = scene.machine.must("id -un tidegate")
    # The administrator's own files, which no package knows of.
    ours = [path for path in left.split() if not path.startswith("/etc/tidegate/") or path.endswith("tidegate.toml")]
    return expect(not ours, f"left by dpkg: {' '.join(ours) or 'nothing'}; the administrator's own: "
                            f"{' '.join(path for path in left.split() if path not in ours)}; user {user} kept")


def by_hand(scene):
    """The tarball's own instructions, on a system without the package; then the package over it, which says what hides it."""
    machine = scene.machine
    block = machine.must(f"sed -n '/^```sh$/,/^```$/p' {TARBALL}/INSTALL.md | sed '1d;/^```$/,$d'")
    # A container has no udev.
    block = block.replace("udevadm control --reload", "{ [ ! -S /run/udev/control ] || udevadm control --reload; }")
    # What an administrator had added for the package would be in the way.
    machine.must("rm -rf /etc/tidegate /etc/systemd/system/tidegate.service.d")
    machine.must(f"cd {TARBALL} && set -e && {{\n{block}\n}}", 120 * machine.patience)
    scene.wait_active()
    text, program = scene.show("StatusText"), machine.must("readlink /proc/$(systemctl show tidegate -p MainPID --value)/exe")
    modes = machine.must("stat -c '%a %U:%G' /etc/tidegate/tidegate.toml /var/lib/tidegate").split("\n")
    pages = machine.must("ls /usr/local/share/man/man1 | wc -l")
    noted = machine.must(f"dpkg -i --force-confold {FRESH} 2>&1 | grep -A 2 '^note:'", 120 * machine.patience)
    machine.must("rm /etc/systemd/system/tidegate.service /usr/local/bin/tidegate; systemctl daemon-reload; systemctl restart tidegate",
                 60 * machine.patience)
    scene.wait_active()
    now = machine.must("readlink /proc/$(systemctl show tidegate -p MainPID --value)/exe")
    return expect(program == "/usr/local/bin/tidegate" and "[[source]]" in text and modes == ["640 root:tidegate", "750 tidegate:tidegate"]
                  and int(pages) > 5 and "hides" in noted and now == "/usr/bin/tidegate",
                  f"{program}, {'; '.join(modes)}, {pages} manual pages; STATUS: {text}; the package over it: {noted.splitlines()[0]}; now {now}")


CHECKS = [
    ("fresh install", fresh_install), ("user and files", user_and_files), ("configured", configured),
    ("readings recorded", recorded), ("status and check", tools), ("exposure", exposure), ("confinement", confinement), ("serial port", from_serial),
    ("MQTT to TLS", from_mqtt), ("journal fields", journal_fields), ("reload", reload_changed),
    ("reload refused", reload_refused), ("reload without a socket", reload_without_socket),
    ("kill -9 in an outage", kill_in_outage), ("watchdog", watchdog),
    ("wrong configuration", wrong_start), ("long stop", long_grace), ("store on another disk", other_disk), ("upgrade", upgrade),
]
LAST = [("nothing lost", gap_free), ("remove, install again", remove_and_return), ("purge", purge), ("by hand", by_hand)]
# What the others need before them.
FIRST = [fresh_install, configured]

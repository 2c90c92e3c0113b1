#!/bin/sh
# Adapter for the black-box harness of edge gateways that `run` beside this drives (verbs info, config, start; the harness's
# variables name the brokers, the folders and the threshold). TIDEGATE_BIN is the binary to judge.
set -eu
BIN=${TIDEGATE_BIN:?set TIDEGATE_BIN to the gateway binary}
case $1 in
info)
    [ -x "$BIN" ] || { echo "no tidegate at $BIN (TIDEGATE_BIN)" >&2; exit 1; }
    printf '{"name":"tidegate","version":"%s","bins":["%s"],"local":"external","thresholds":true}\n' \
        "$("$BIN" --version | head -1)" "$BIN"
    ;;
config)
    # edge: one alarm with a deadband makes an event at each crossing. level: no deadband and a reminder at every
    # reading cannot be said, so only edge is offered.
    [ "${PATTERN:-edge}" = edge ] || { echo "only PATTERN=edge" >&2; exit 2; }
    cat >"$RUN_DIR/tidegate.toml" <<TOML
[gateway]
id = "bench"
control_socket = "off"
[[source]]
name = "bench"
type = "mqtt"
url = "mqtt://$A_HOST:$A_PORT"
topics = ["$IN_FILTER"]
decode = { format = "json", device = "{topic[1]}", fields = { value = "°C" }, carry = ["seq", "ts"] }
[[alarm]]
name = "too-warm"
sensors = ["bench/+/value"]
high = ${THRESHOLD}.0
deadband = ${HYSTERESIS}.0
[store]
path = "$DATA_DIR"
[upstream]
url = "mqtts://$B_HOST:$B_PORT"
ca_file = "$B_CA"
topic = "$OUT_PREFIX/{sensor}"
TOML
    ;;
start)
    # As its unit starts it.
    export $(sed -n 's/^Environment=//p' "$(dirname "$0")/../../systemd/tidegate.service")
    exec "$BIN" run --config "$RUN_DIR/tidegate.toml"
    ;;
*) echo "info|config|start" >&2; exit 2 ;;
esac

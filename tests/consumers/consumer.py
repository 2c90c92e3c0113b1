#!/usr/bin/env python3
"""Reads a gateway's events once each: drops repeats by id, finds gaps by sequence. Needs paho-mqtt."""
import collections, json, sys
import paho.mqtt.client as mqtt

SEEN_MAX = 100_000  # ids kept for each gateway: more than can be on their way again
seen = collections.defaultdict(collections.OrderedDict)  # gateway -> ids
expected, missing = {}, collections.defaultdict(set)     # gateway -> next sequence; numbers not here yet

def on_event(event):
    gateway, number, ids = event["source"], int(event["sequence"]), seen[event["source"]]
    if event["id"] in ids or event.get("replayed"):
        return print("repeat", number, flush=True)
    ids[event["id"]] = None
    if len(ids) > SEEN_MAX:
        ids.popitem(last=False)
    first = expected.get(gateway, number)
    if number > first:
        missing[gateway].update(range(max(first, number - SEEN_MAX), number))
        print("gap", first, number - 1, flush=True)
    missing[gateway].discard(number)
    expected[gateway] = max(first, number + 1)
    print("event", number, event["type"], event["subject"], flush=True)  # your own work goes here
    if event["type"] == "tidegate.events.lost.v1":
        data = event["data"]
        missing[gateway] -= set(range(int(data["first_sequence"]), int(data["last_sequence"]) + 1))
        print("lost", data["count"], data["reason"], "unexplained", len(missing[gateway]), flush=True)

def on_message(client, _, message):
    if message.topic.endswith("/status"):
        return
    payload = message.payload
    if payload.startswith(b"\x28\xb5\x2f\xfd"):  # compress = "zstd"; no JSON begins so
        import zstandard  # python3-zstandard
        payload = zstandard.ZstdDecompressor().decompress(payload, max_output_size=16 << 20)
    events = json.loads(payload)
    for event in events if isinstance(events, list) else [events]:  # with `batch`, several come in a list
        on_event(event)

client = mqtt.Client(client_id="consumer-py", clean_session=False)  # paho-mqtt 1.x, as Debian 12 has it
client.on_connect = lambda client, *_: client.subscribe("tidegate/#", qos=1)
client.on_subscribe = lambda *_: print("subscribed", flush=True)
client.on_message = on_message
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_forever(retry_first_connection=True)

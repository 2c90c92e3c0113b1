"""A Modbus server with misbehaviour to order: pymodbus serves, a file says what is wrong with it at the moment.

    server.py tcp PORT STATE
    server.py serial PATH STATE
    server.py rtu-tcp PORT STATE

STATE is a JSON file that is read again at every request:

    {"units": {"1": {"holding": {"0": 17}, "coil": {"3": 1}}},   registers and bits that are there, by address
     "errors": {"1": {"holding": {"20": 6}}},                    exceptions for requests that touch an address
     "silent": [2],                                              units that do not answer
     "noise": "ff00aa"}                                          bytes sent before every answer

Units and addresses are those of the first reading; values may change. Every request is printed: unit, function, address,
count.
"""

import asyncio
import functools
import json
import sys

from pymodbus import FramerType
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

TABLES = ["coil", "discrete", "holding", "input"]
transport, place, state_path = sys.argv[1:]


def state():
    with open(state_path, encoding="utf-8") as file:
        return json.load(file)


def by_address(table):
    return sorted((int(address), value) for address, value in table.items())


async def action(unit, function, start, address, count, registers, _written):
    print(unit, function, address, count, flush=True)
    table, now = TABLES[function - 1], state()
    bits = function <= 2
    touched = range(address, address + (16 * count if bits else count))
    for at, code in by_address(now.get("errors", {}).get(unit, {}).get(table, {})):
        if at in touched:
            return ExcCodes(code)
    for at, value in by_address(now["units"][unit].get(table, {})):
        if bits:
            index, bit = at // 16 - start, at % 16
            registers[index] = registers[index] & ~(1 << bit) | bool(value) << bit
        else:
            registers[at - start] = value
    return None


def block(name, table):
    if name in ("coil", "discrete"):
        last = max(table) if table else 0
        return [SimData(0, values=[bool(table.get(at)) for at in range(last + 1)], datatype=DataType.BITS)]
    entries = [SimData(at, values=value, datatype=DataType.REGISTERS) for at, value in sorted(table.items())]
    return entries or [SimData(65535, values=0, datatype=DataType.REGISTERS)]


def device(unit, tables):
    blocks = tuple(block(name, dict(by_address(tables.get(name, {})))) for name in TABLES)
    return SimDevice(id=int(unit), simdata=blocks, action=functools.partial(action, unit))


def on_the_wire(sending, data):
    now = state()
    unit = data[6 if transport == "tcp" else 0] if len(data) > 6 or transport != "tcp" and data else None
    if sending and unit in now.get("silent", []):
        return b""
    if sending:
        return bytes.fromhex(now.get("noise", "")) + data
    return data


async def main():
    devices = [device(unit, tables) for unit, tables in state()["units"].items()]
    common = {"ignore_missing_devices": True, "trace_packet": on_the_wire}
    if transport != "serial":
        framer = FramerType.SOCKET if transport == "tcp" else FramerType.RTU
        server = ModbusTcpServer(devices, address=("127.0.0.1", int(place)), framer=framer, **common)
    else:
        server = ModbusSerialServer(devices, port=place, baudrate=115200, framer=FramerType.RTU, **common)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())

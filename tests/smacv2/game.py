"""A stand-in for StarCraft II: it speaks the game's protocol, and plays a simple battle.

PySC2 starts it as it starts the game, with `-listen` and `-port`, and sends protobuf messages over
a websocket. Units walk and shoot; those of the computer go for the nearest enemy. The folder that
STANDIN names tells it what to be like, and gathers what happened:

    enemy          text: strong, weak or idle
    fault_<name>   the fault is to happen once: crash_step, hang_step, crash_create, hang_start,
                   no_units, refuse_create
    pid_<pid>      left by each process; requests_<pid> counts what it was asked
"""

import base64
import hashlib
import math
import os
import random
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from s2clientprotocol import raw_pb2, sc2api_pb2

FOLDER = Path(os.environ["STANDIN"])
SIDE = 32
N_TYPES = 2000
RL_TYPES = [
    "baneling",
    "colossus",
    "hydralisk",
    "marauder",
    "marine",
    "medivac",
    "stalker",
    "zealot",
    "zergling",
]
TYPES = {9: 0, 4: 1, 107: 2, 51: 3, 48: 4, 54: 5, 74: 6, 73: 7, 105: 8}
"""Place in `RL_TYPES` of the game's own unit types."""
HEALTH = (30, 200, 90, 125, 45, 150, 80, 100, 35)
SHIELD = (0, 150, 0, 0, 0, 0, 80, 50, 0)
RANGE = (1.5, 7, 5, 6, 5, 4, 6, 1.5, 1.5)


def faulty(name: str) -> bool:
    """Whether a fault is to happen now; only one process has it."""
    try:
        (FOLDER / f"fault_{name}").unlink()
    except FileNotFoundError:
        return False
    return True


@dataclass
class Unit:
    tag: int
    unit_type: int
    owner: int
    x: float
    y: float
    born: int
    health: float = 0
    shield: float = 0
    cooldown: float = 0
    target: int = 0
    goal: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        self.health, self.shield = HEALTH[self.kind], SHIELD[self.kind]

    @property
    def kind(self) -> int:
        own = self.unit_type - (N_TYPES - len(RL_TYPES))
        return own if own >= 0 else TYPES[self.unit_type]


@dataclass
class World:
    seed: int
    loop: int = 0
    units: dict[int, Unit] = field(default_factory=dict)
    next_tag: int = 4_000_000_001
    no_units: bool = False

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def create(self, unit_type: int, owner: int, x: float, y: float) -> None:
        if self.no_units:
            return
        # The game shows units a few steps after they were asked for.
        spread = [self.rng.uniform(-0.3, 0.3) for _ in range(2)]
        unit = Unit(self.next_tag, unit_type, owner, x + spread[0], y + spread[1], self.loop + 2)
        self.units[unit.tag] = unit
        self.next_tag += 1

    def visible(self) -> list[Unit]:
        return [unit for unit in self.units.values() if unit.born <= self.loop]

    def step(self) -> None:
        self.loop += 1
        mode = (FOLDER / "enemy").read_text().strip()
        for unit in self.visible():
            unit.cooldown = max(0.0, unit.cooldown - 1)
            if unit.owner == 2 and mode != "idle":
                foes = [u for u in self.visible() if u.owner == 1]
                if foes:
                    near = min(foes, key=lambda u: math.hypot(u.x - unit.x, u.y - unit.y))
                    unit.target = near.tag
            target = self.units.get(unit.target)
            if target is not None:
                away = math.hypot(target.x - unit.x, target.y - unit.y)
                if away > RANGE[unit.kind] + 1:
                    self._walk(unit, target.x, target.y)
                elif unit.cooldown == 0:
                    self._hit(unit, target, mode)
            elif unit.goal is not None:
                self._walk(unit, *unit.goal)

    def _hit(self, unit: Unit, target: Unit, mode: str) -> None:
        unit.cooldown = 16
        damage = self.rng.uniform(8, 12)
        if unit.owner == 2:
            damage *= {"strong": 4, "weak": 0.1}[mode]
        elif mode == "weak":
            damage *= 3
        rest = damage - target.shield
        target.shield = max(0.0, -rest)
        target.health -= max(rest, 0)
        if target.health <= 0:
            del self.units[target.tag]

    def _walk(self, unit: Unit, x: float, y: float) -> None:
        away = math.hypot(x - unit.x, y - unit.y)
        if away > 0.15:
            unit.x = min(max(unit.x + 0.15 * (x - unit.x) / away, 0.5), SIDE - 0.5)
            unit.y = min(max(unit.y + 0.15 * (y - unit.y) / away, 0.5), SIDE - 0.5)


class Server:
    """Answers requests, as the game would."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.status = sc2api_pb2.launched
        self.asked: Counter[str] = Counter()

    def answer(self, request: sc2api_pb2.Request) -> sc2api_pb2.Response:
        kind = request.WhichOneof("request")
        self.asked[kind] += 1
        (FOLDER / f"requests_{os.getpid()}").write_text(repr(dict(self.asked)))
        response = sc2api_pb2.Response(id=request.id)
        getattr(response, kind).SetInParent()
        getattr(self, f"_{kind}")(getattr(request, kind), getattr(response, kind), response)
        response.status = self.status
        return response

    def _ping(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        response.game_version, response.data_version = "4.10.0.75689", "B89B5D6F"
        response.data_build = response.base_build = 75689

    def _available_maps(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        response.local_map_paths.append("SMAC_Maps/32x32_flat.SC2Map")

    def _create_game(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        if faulty("crash_create"):
            os._exit(5)
        if faulty("refuse_create"):
            whole.error.append("create_game is not possible now")
            return
        assert request.local_map.map_data == b"a map" and len(request.player_setup) == 2
        with (FOLDER / "seeds").open("a") as seeds:
            seeds.write(f"{request.random_seed}\n")
        self.world = World(request.random_seed, no_units=faulty("no_units"))
        self.status = sc2api_pb2.init_game

    def _join_game(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        assert request.options.raw
        response.player_id = 1
        self.status = sc2api_pb2.in_game

    def _game_info(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        raw = response.start_raw
        raw.map_size.x = raw.map_size.y = SIDE
        raw.playable_area.p1.x = raw.playable_area.p1.y = SIDE
        raw.pathing_grid.bits_per_pixel = 1
        raw.pathing_grid.data = b"\xff" * (SIDE * SIDE // 8)
        raw.terrain_height.bits_per_pixel = 8
        raw.terrain_height.data = b"\x7f" * (SIDE * SIDE)

    def _data(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        for number in range(N_TYPES):
            response.units.add(unit_id=number, name=f"type {number}")

    def _observation(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        assert self.world is not None
        response.observation.game_loop = self.world.loop
        for unit in self.world.visible():
            shown = response.observation.raw_data.units.add(
                display_type=raw_pb2.Visible,
                alliance=raw_pb2.Self if unit.owner == 1 else raw_pb2.Enemy,
                tag=unit.tag,
                unit_type=unit.unit_type,
                owner=unit.owner,
                health=unit.health,
                health_max=HEALTH[unit.kind],
                shield=unit.shield,
                shield_max=SHIELD[unit.kind],
                weapon_cooldown=unit.cooldown,
                energy=50 if unit.kind == 5 else 0,
                energy_max=200 if unit.kind == 5 else 0,
            )
            shown.pos.x, shown.pos.y = unit.x, unit.y

    def _action(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        assert self.world is not None
        for action in request.actions:
            command = action.action_raw.unit_command
            for tag in command.unit_tags:
                unit = self.world.units.get(tag)
                if unit is not None:
                    unit.target = command.target_unit_tag
                    unit.goal = None
                    if command.HasField("target_world_space_pos"):
                        place = command.target_world_space_pos
                        unit.goal = place.x, place.y
            response.result.append(1)

    def _step(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        assert self.world is not None
        if request.count == 8:
            if faulty("crash_step"):
                os._exit(6)
            if faulty("hang_step"):
                time.sleep(600)
        for _ in range(request.count):
            self.world.step()
        response.simulation_loop = self.world.loop

    def _debug(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        assert self.world is not None
        for command in request.debug:
            for tag in command.kill_unit.tag:
                self.world.units.pop(tag, None)
            if command.HasField("create_unit"):
                asked = command.create_unit
                for _ in range(asked.quantity):
                    self.world.create(asked.unit_type, asked.owner, asked.pos.x, asked.pos.y)

    def _save_replay(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        assert self.world is not None
        response.data = f"replay up to {self.world.loop}".encode()

    def _leave_game(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        self.status = sc2api_pb2.launched

    def _quit(self, request, response, whole) -> None:  # type: ignore[no-untyped-def]
        self.status = sc2api_pb2.quit


def serve(host: str, port: int) -> None:
    """Answer the one client until it hangs up."""
    listener = socket.socket()
    listener.bind((host, port))
    listener.listen(1)
    client, _ = listener.accept()
    _shake_hands(client)
    server = Server()
    while server.status != sc2api_pb2.quit:
        code, payload = _read(client)
        if code == 8:
            return
        if code in (1, 2):
            request = sc2api_pb2.Request.FromString(payload)
            _write(client, server.answer(request).SerializeToString())


def _shake_hands(client: socket.socket) -> None:
    text = b""
    while b"\r\n\r\n" not in text:
        text += client.recv(4096)
    assert text.startswith(b"GET /sc2api ")
    lines = dict(line.split(b": ", 1) for line in text.split(b"\r\n") if b": " in line)
    key = {name.lower(): value for name, value in lines.items()}[b"sec-websocket-key"]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


def _exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = client.recv(size - len(data))
        if not part:
            sys.exit(0)
        data += part
    return data


def _read(client: socket.socket) -> tuple[int, bytes]:
    first, second = _exactly(client, 2)
    size = second & 127
    if size == 126:
        (size,) = struct.unpack(">H", _exactly(client, 2))
    elif size == 127:
        (size,) = struct.unpack(">Q", _exactly(client, 8))
    mask = _exactly(client, 4)
    data = _exactly(client, size)
    return first & 15, bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def _write(client: socket.socket, data: bytes) -> None:
    size = len(data)
    if size < 126:
        head = struct.pack(">BB", 0x82, size)
    elif size < 2**16:
        head = struct.pack(">BBH", 0x82, 126, size)
    else:
        head = struct.pack(">BBQ", 0x82, 127, size)
    client.sendall(head + data)


def main() -> None:
    """Run as the game would."""
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    assert Path(options["-dataDir"]).is_dir() and Path(options["-tempDir"]).is_dir()
    (FOLDER / f"pid_{os.getpid()}").touch()
    if faulty("hang_start"):
        time.sleep(600)
    serve(options["-listen"], int(options["-port"]))


if __name__ == "__main__":
    main()

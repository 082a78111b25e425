"A wire with ZeroMQ at its other end, and with somebody who means it harm."
import socket, time
from contextlib import contextmanager

import pytest

zmq = pytest.importorskip("zmq")
from rlm.environments.wire import _GREETING, Wire, wait_for

MOST = 5_000_000

@pytest.fixture
def path(tmp_path, request):
    import tempfile
    with tempfile.TemporaryDirectory(dir="/tmp") as folder: yield f"{folder}/wire"

def patient(wire, seconds=20):
    "The next message."
    end = time.monotonic() + seconds
    while (message := wire.receive()) is None and time.monotonic() < end: wait_for([wire], 0.1)
    return message

@contextmanager
def routed(path):
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(f"ipc://{path}")
    wire = Wire(path, b"host", MOST)
    yield router, wire
    wire.close()
    context.destroy(linger=0)

@pytest.mark.parametrize("parts", [[b"a"], [b""], [b"a", b""], [b"", b"", b"b"], [b"x" * 255], [b"x" * 256], [b"x" * 300, b"y", b"z" * 100_000],
                                   [b"x" * 3_000_000, b"y"], [bytes([i]) for i in range(200)]])
def test_messages_go_and_come(path, parts):
    with routed(path) as (router, wire):
        wire.send(parts)
        wire.send([b"next"])
        while not router.poll(10): wait_for([wire], 0.1), wire.receive()
        heard = []
        while len(heard) < 2:
            wait_for([wire], 0.05), wire.receive()
            if router.poll(10): heard.append(router.recv_multipart())
        assert heard == [[b"host", *parts], [b"host", b"next"]]
        router.send_multipart(heard[0])
        router.send_multipart([b"host", b"after"])
        assert patient(wire) == parts and patient(wire) == [b"after"]
        assert wire.receive() is None

def test_who_comes_later_is_waited_for(path):
    wire = Wire(path, b"host", MOST)
    wire.send([b"early"])
    wait_for([wire], 0.01)
    assert wire.receive() is None
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.bind(f"ipc://{path}")
        while not router.poll(10): wait_for([wire], 0.1), wire.receive()
        assert router.recv_multipart() == [b"host", b"early"]
        router.send_multipart([b"host", b"bye"])
        assert patient(wire) == [b"bye"]
    with pytest.raises(ConnectionError): patient(wire)
    with pytest.raises(ConnectionError): wire.receive()
    wire.close()

@pytest.mark.parametrize("parts", [[bytes(6_000_000)], [bytes(2_000_000)] * 3, [b""] * 60_000])
def test_what_is_too_large_in_sum_is_refused(path, parts):
    with routed(path) as (router, wire):
        wire.send([b"hello"])
        while not router.poll(10): wait_for([wire], 0.1), wire.receive()
        router.send_multipart([b"host", *parts])
        with pytest.raises(ValueError, match="more than 5 MB"): patient(wire)

@contextmanager
def hostile(path, *said):
    "A wire to somebody who says these bytes."
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    wire = Wire(path, b"host", MOST)
    assert wire.connect()
    other, _ = server.accept()
    other.settimeout(5)
    for part in said: other.sendall(part)
    yield other, wire
    for end in (other, server): end.close()
    wire.close()

READY = b"\x04\x06\x05READY"

@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\n" + b"x" * 100, bytes(64), b"\xff" * 64, _GREETING.replace(b"NULL", b"CURVE"),
                                  _GREETING + READY + b"\x02\xff\xff\xff\xff\xff\xff\xff\xff", _GREETING + READY + b"\x03" + (10**9).to_bytes(8, "big")])
def test_nonsense_is_an_error(path, said):
    with hostile(path, said) as (_, wire):
        with pytest.raises(ValueError): patient(wire, 5)

def test_endless_parts_are_an_error(path):
    with hostile(path, _GREETING + READY) as (other, wire):
        with pytest.raises(ValueError, match="more than 5 MB"):
            for _ in range(100):
                other.sendall(b"\x01\x00" * 2_000)
                assert wire.receive() is None

def test_slow_and_chatty_ones_hold_nobody_up(path):
    with hostile(path, _GREETING + READY) as (other, wire):
        other.sendall((b"\x04\x05\x04PING") * 2_000)
        began = time.monotonic()
        for _ in range(500): assert wire.receive() is None
        assert time.monotonic() - began < 5
        while wire.receive() is None and time.monotonic() - began < 1: pass
        for byte in b"\x00\x03abc"[:-1]:
            other.sendall(bytes([byte]))
            assert wire.receive() is None
        other.sendall(b"c")
        assert patient(wire) == [b"abc"]

def test_nobody_who_does_not_read_holds_us_up(path):
    with hostile(path, _GREETING + READY) as (_, wire):
        for _ in range(3): wire.receive()
        for _ in range(20): wire.send([bytes(1_000_000)])
        assert not wire.flush()

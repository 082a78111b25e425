"The one in reserve: taken once, replaced when dead, gone with its holders."
import gc, os, subprocess, sys, threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from rlm.environments.pool import Pool, meanwhile, pool_for

class Thing:
    made = 0
    def __init__(self, *_):
        type(self).made += 1
        self.alive = True
    def close(self): self.alive = False

@pytest.fixture(autouse=True)
def fresh(): Thing.made = 0

def test_nobody_gets_what_another_one_got():
    pool = Pool(Thing)
    pool.prepare()
    with ThreadPoolExecutor(8) as threads: taken = list(threads.map(lambda _: pool.take(), range(50)))
    assert len({id(x) for x in taken}) == 50 == Thing.made and all(x.alive for x in taken)

def test_many_prepare_one():
    pool = Pool(Thing)
    with ThreadPoolExecutor(8) as threads: list(threads.map(lambda _: pool.prepare(), range(50)))
    assert Thing.made == 1
    (clock,) = [t for t in threading.enumerate() if isinstance(t, threading.Timer) and t.args[0] is pool._ready]
    reserve = pool._ready[0]
    pool.close()
    assert not reserve.alive and Thing.made == 1 and pool.take().alive
    clock.join(5)
    assert not clock.is_alive()

def test_what_can_not_be_made_is_an_error_for_whoever_takes_it():
    def fail(): raise OSError("no space left")
    pool = Pool(fail)
    pool.prepare()
    with pytest.raises(OSError, match="no space"): pool.take()

def test_an_interrupt_leaves_the_pool_in_order():
    def interrupted(): raise KeyboardInterrupt
    pool = Pool(interrupted)
    with pytest.raises(KeyboardInterrupt): pool.prepare()
    pool.make = Thing
    pool.prepare()
    assert pool.take().alive

def test_the_last_holder_takes_it_along():
    one, other = pool_for(Thing, "a"), pool_for(Thing, "a")
    assert one is other
    one.prepare()
    reserve = one._ready[0]
    del one
    gc.collect()
    assert reserve.alive
    del other
    gc.collect()
    assert not reserve.alive and pool_for(Thing, "a")._ready == []

def test_a_forked_process_closes_nothing_of_ours():
    pool = Pool(Thing)
    pool.prepare()
    reserve = pool._ready[0]
    if (pid := os.fork()) == 0:
        other = pool.take()
        pool.prepare()
        pool.close()
        os._exit(not (reserve.alive and other is not reserve and Thing.made == 2))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    pool.close()

def test_what_is_done_meanwhile_is_done_when_python_ends():
    program = ("import atexit, time\nfrom rlm.environments.pool import meanwhile\ndef work(what): time.sleep(0.3); print(what, flush=True)\n"
               "meanwhile(lambda: work('ended'))\natexit.register(meanwhile, lambda: work('at the end'))\nprint('on')")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout.split("\n")[:3], done.stderr) == (["on", "ended", "at the end"], "")

def test_where_there_can_be_no_thread_it_is_done_at_once(monkeypatch):
    def start(self): raise RuntimeError("can't start new thread")
    monkeypatch.setattr(threading.Thread, "start", start)
    done = []
    meanwhile(lambda: done.append(1))
    assert done == [1]

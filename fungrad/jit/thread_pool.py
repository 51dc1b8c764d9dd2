"""The threads of compiled code: one pool for the process, and the machine code that shares rounds among them.

    void fungrad_pool_run(void (*round)(table, index), table, count, work, threads)

runs all rounds below `count` and returns when they are done. Who calls works too; the rounds are taken one by one, so
whoever is late takes fewer, and the result depends on no thread, since rounds do not depend on each other.

- The caller takes the first rounds that are left, and workers by turns the last and the first: so what a thread has in
  its cache from the loop before is, as a rule, what it needs in the next.
- A pool serves one caller at a time; another Python thread that comes meanwhile runs its rounds alone.
- Workers wait `SPIN` in a busy loop, since the next rounds of a program come after microseconds, and then sleep. To
  wake one costs more than a small piece of work is worth, so it is only done when enough `work` has been asked for.
- If the caller waits for a worker much longer than a round takes, something else keeps the cores busy: the pool rests
  for a while, and callers do all but large pieces of work alone. Each time that happens soon again it rests twice as
  long.
- Nobody yields a core: a system that is busy gives it back only after milliseconds.
- A child process of a fork has none of the workers; it starts with an empty pool.

All words of the pool's state are 64 bits; those that different threads write are in different cache lines.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from fungrad.compilation import Phases
from fungrad.jit.c_library import libc_address
from fungrad.jit.forks import once
from fungrad.jit.llvm_types import I1, I32, I64, VOID
from fungrad.jit.shared_words import FUNCTIONS, SharedWords

RUN, RESET = "fungrad_pool_run", "fungrad_pool_reset"

SPIN = 200_000  # nanoseconds before a worker sleeps
WAKE_WORK = 60_000  # nanoseconds of work that are worth waking the workers
LARGE_WORK = 100_000  # nanoseconds of work that are shared even while the pool rests
PATIENCE = 100_000  # nanoseconds to wait for a worker, beyond some rounds
SHORT_REST, LONG_REST = 1_000_000, 64_000_000  # nanoseconds without workers, after one was late: once, and many times
FORGIVING = 50_000_000  # nanoseconds after which a rest is half as long

# words of the state, by cache line
BUSY = 0
LEFT = 8  # rounds nobody has taken
ROUND, TABLE, HELPERS = 16, 17, 18  # of the rounds; how many workers may help
DONE = 24  # rounds that workers have completed
SLEEPING = 32
STARTED, DEBT, RESTING, REST = 40, 41, 42, 43  # workers; work that was done alone; until when, and how long
CALLER = 44  # its core
MUTEX, WAKE = 48, 64
FIRST, LAST = 80, 88  # of the rounds nobody has taken
WORDS = 96
CORES = 128  # bytes of a set of cores

_STATE = "fungrad_pool_state"
_ROUND = ir.FunctionType(VOID, [I64, I64])


def default_threads() -> int:
    """How many threads compiled code uses: `FUNGRAD_NUM_THREADS`, else as many as this process may run at once."""
    asked = os.environ.get("FUNGRAD_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@once
def address_of_run() -> int:
    """The address of `fungrad_pool_run`, after making the pool."""
    from fungrad.jit.compiler import library

    state = (ctypes.c_int64 * (WORDS + 8))()
    start = -(-ctypes.addressof(state) // 64) * 64
    pool, _ = library(
        RUN, [RUN, RESET], emit_pool, lambda name: start if name == _STATE else libc_address(name), Phases()
    )
    for kept in (state, pool):  # for ever: workers use them until the process has ended
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    reset = ctypes.CFUNCTYPE(None)(pool.address(RESET))
    reset()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)
    return pool.address(RUN)


def emit_pool() -> tuple[str, list[str]]:
    """The module of the pool, in LLVM's language; and the names it imports."""
    module = ir.Module(name=RUN)
    ir.GlobalVariable(module, I64, _STATE)
    work = ir.Function(module, ir.FunctionType(I64, [I64]), "fungrad_pool_work")
    work.linkage = "internal"
    _Pool(work).work()
    run = ir.Function(module, ir.FunctionType(VOID, [I64] * 5), RUN)
    _Pool(run).run(work)
    _Pool(ir.Function(module, ir.FunctionType(VOID, []), RESET)).reset()
    return str(module), [name for name in module.globals if name in FUNCTIONS or name == _STATE]


class _Pool(SharedWords):
    """Emits one of the functions."""

    def __init__(self, function: ir.Function) -> None:
        super().__init__(function, _STATE)
        self.cores = [self.b.alloca(ir.IntType(8 * CORES)) for _ in range(3)]  # allowed, without one, and later

    def reset(self) -> None:
        """An empty pool."""
        for word in range(WORDS):
            self.store(word, 0)
        self.call("pthread_mutex_init", self.at(MUTEX), I64(0))
        self.call("pthread_cond_init", self.at(WAKE), I64(0))
        self.b.ret_void()

    def take_rounds(self, taken: Callable[[], Any], from_last: ir.Value) -> None:
        """Take rounds, from the last or from the first on, and run them until there are none. What and which they are
        is read after taking one: until it is done, nobody but takers changes it."""
        b = self.b
        end = b.inttoptr(b.select(from_last, self.at(LAST), self.at(FIRST)), I64.as_pointer())
        inwards = b.select(from_last, I64(-1), I64(1))

        def step() -> ir.Value:
            left = self.load(LEFT)
            none = b.icmp_unsigned("==", left, I64(0))
            with b.if_then(b.not_(none)):
                mine = self.exchanged(LEFT, left, b.sub(left, I64(1)))
                with b.if_then(mine):
                    round = b.inttoptr(self.load(ROUND), _ROUND.as_pointer())
                    index = b.atomic_rmw("add", end, inwards, "seq_cst")
                    b.call(round, [self.load(TABLE), index])
                    taken()
            return none

        self.repeat(step)

    def work(self) -> None:
        """What a worker does, for ever. Its argument is its number."""
        b, number = self.b, self.function.args[0]
        idle_since = b.alloca(I64)
        b.store(self.now(), idle_since)

        def completed() -> None:
            self.add(DONE, 1)
            b.store(I64(0), idle_since)

        def forever() -> ir.Value:
            with b.if_then(b.icmp_unsigned("<", number, self.load(HELPERS))):
                self.take_rounds(completed, from_last=b.not_(b.trunc(number, I1)))
            with b.if_then(b.icmp_unsigned("==", b.load(idle_since), I64(0))):
                b.store(self.now(), idle_since)
            self.spin_until(lambda: self.may_help(number), 64)
            idle = b.sub(self.now(), b.load(idle_since))
            with b.if_then(b.icmp_signed(">", idle, I64(SPIN)), likely=False):
                self.sleep(number)
                b.store(self.now(), idle_since)
            return ir.Constant(ir.IntType(1), 0)

        self.repeat(forever)
        b.ret(I64(0))

    def may_help(self, number: ir.Value) -> ir.Value:
        """Whether there are rounds that the worker of that number may take."""
        b = self.b
        asked = b.icmp_unsigned("<", number, self.load(HELPERS))
        return b.and_(asked, b.icmp_unsigned("!=", self.load(LEFT), I64(0)))

    def sleep(self, number: ir.Value) -> None:
        """Until a caller wakes the workers, whose rounds may be done by then: more of them will come.

        The system likes to wake a thread on the core of who wakes it, and leaves it there for milliseconds.
        """
        b = self.b
        self.avoid(self.load(CALLER))
        self.call("pthread_mutex_lock", self.at(MUTEX))
        self.add(SLEEPING, 1)
        with b.if_then(b.not_(self.may_help(number))):
            self.call("pthread_cond_wait", self.at(WAKE), self.at(MUTEX))
        self.add(SLEEPING, -1)
        self.call("pthread_mutex_unlock", self.at(MUTEX))
        self.avoid_no_more()
        here = self.core()
        with b.if_then(b.icmp_signed("==", here, self.load(CALLER)), likely=False):
            self.avoid(here)
            self.avoid_no_more()

    def core(self) -> ir.Value:
        """The core this runs on; -1 if the system does not tell."""
        return self.b.sext(self.call("sched_getcpu"), I64) if sys.platform == "linux" else I64(-1)

    def avoid(self, core: ir.Value) -> None:
        """Run on other cores only, if the system lets threads choose and there are any."""
        b, (allowed, others, _) = self.b, self.cores
        with b.if_then(b.and_(self.read_allowed(allowed), b.icmp_signed(">=", core, I64(0)))):
            b.store(b.load(allowed), others)
            place = b.gep(b.bitcast(others, I64.as_pointer()), [b.lshr(core, I64(6))], source_etype=I64)
            bit = b.shl(I64(1), b.and_(core, I64(63)))
            b.store(b.and_(b.load(place, typ=I64), b.not_(bit)), place)
            self.allow(others)

    def avoid_no_more(self) -> None:
        """Undo that, unless someone else has chosen the cores of this thread meanwhile, or these for the process."""
        b, (allowed, others, now) = self.b, self.cores

        def has_others() -> ir.Value:
            return b.icmp_unsigned("==", b.load(now), b.load(others))

        with (
            b.if_then(b.and_(self.read_allowed(now), has_others())),
            b.if_then(self.read_allowed(now, of_process=True)),
            b.if_then(b.not_(has_others())),
        ):
            self.allow(allowed)

    def read_allowed(self, cores: ir.Value, of_process: bool = False) -> ir.Value:
        """Which cores this thread may run on, or the first one of the process; whether the system tells."""
        if sys.platform != "linux":
            return I1(0)
        whose = self.call("getpid") if of_process else I32(0)
        failed = self.call("sched_getaffinity", whose, I64(CORES), self.b.ptrtoint(cores, I64))
        return self.b.icmp_signed("==", failed, I32(0))

    def allow(self, cores: ir.Value) -> None:
        """Let this thread run on these cores only; nothing changes if there are none."""
        if sys.platform == "linux":
            self.call("sched_setaffinity", I32(0), I64(CORES), self.b.ptrtoint(cores, I64))

    def run(self, work: ir.Function) -> None:
        b = self.b
        round, table, count, cost, threads = self.function.args
        function = b.inttoptr(round, _ROUND.as_pointer())
        index = b.alloca(I64)
        created = b.alloca(I64)
        mine = b.alloca(I64)
        helpers = b.sub(threads, I64(1))
        begin = self.now()
        alone, together, busy = (b.append_basic_block(x) for x in ("alone", "together", "busy"))

        few = b.or_(b.icmp_signed("<", helpers, I64(1)), b.icmp_signed("<", count, I64(2)))
        with b.if_then(few):
            b.branch(alone)
        small = b.icmp_signed("<", cost, I64(LARGE_WORK))
        with b.if_then(b.and_(small, b.icmp_signed("<", begin, self.load(RESTING)))):
            b.branch(alone)
        b.cbranch(self.exchanged(BUSY, I64(0), I64(1)), busy, alone)

        b.position_at_end(busy)
        with b.if_then(self.too_few_awake(helpers), likely=False):
            debt = b.add(self.load(DEBT), cost)
            worth = b.icmp_signed(">", debt, I64(WAKE_WORK))
            self.store(DEBT, b.select(worth, I64(0), debt))
            with b.if_then(b.not_(worth)):
                self.store(BUSY, 0)
                b.branch(alone)
            self.store(CALLER, self.core())
            self.while_(
                lambda: b.icmp_signed("<", self.load(STARTED), helpers),
                lambda: self.start(work, created),
            )
        b.branch(together)

        b.position_at_end(together)
        for word, value in ((ROUND, round), (TABLE, table), (HELPERS, helpers), (DONE, I64(0))):
            self.store(word, value)
        self.store(FIRST, 0)
        self.store(LAST, b.sub(count, I64(1)))
        self.store(LEFT, count)
        with b.if_then(self.too_few_awake(helpers), likely=False):
            self.call("pthread_mutex_lock", self.at(MUTEX))
            self.call("pthread_cond_broadcast", self.at(WAKE))
            self.call("pthread_mutex_unlock", self.at(MUTEX))
        b.store(I64(0), mine)
        self.take_rounds(lambda: b.store(b.add(b.load(mine), I64(1)), mine), from_last=I1(0))
        self.wait(begin, b.load(mine), count)
        self.store(BUSY, 0)
        b.ret_void()

        b.position_at_end(alone)
        b.store(I64(0), index)

        def one() -> None:
            b.call(function, [table, b.load(index)])
            b.store(b.add(b.load(index), I64(1)), index)

        self.while_(lambda: b.icmp_signed("<", b.load(index), count), one)
        b.ret_void()

    def too_few_awake(self, helpers: ir.Value) -> ir.Value:
        return self.b.icmp_signed("<", self.b.sub(self.load(STARTED), self.load(SLEEPING)), helpers)

    def start(self, work: ir.Function, created: ir.Value) -> None:
        """One more worker. If there can be none, the count says so all the same: the caller takes all rounds."""
        b = self.b
        number = self.load(STARTED)
        failed = self.call("pthread_create", b.ptrtoint(created, I64), I64(0), b.ptrtoint(work, I64), number)
        with b.if_then(b.icmp_signed("==", failed, I32(0))):
            self.call("pthread_detach", b.load(created, typ=I64))
        self.store(STARTED, b.add(number, I64(1)))

    def wait(self, begin: ir.Value, mine: ir.Value, count: ir.Value) -> None:
        """Until the workers have completed what they took. If one is late, the pool rests."""
        b = self.b
        theirs, late = b.sub(count, mine), b.alloca(I1)

        def unfinished() -> ir.Value:
            return b.icmp_signed("<", self.load(DONE), theirs)

        self.spin_until(lambda: b.not_(unfinished()), 64)
        with b.if_then(unfinished(), likely=False):
            since = self.now()
            taken = b.select(b.icmp_signed(">", mine, I64(0)), mine, I64(1))
            usual = b.sdiv(b.sub(since, begin), taken)
            patience = b.add(b.mul(usual, I64(4)), I64(PATIENCE))
            b.store(ir.Constant(I1, 0), late)

            def wait() -> None:
                self.spin_until(lambda: b.not_(unfinished()), 64)
                with b.if_then(b.icmp_signed(">", b.sub(self.now(), since), patience), likely=False):
                    b.store(ir.Constant(I1, 1), late)

            self.while_(unfinished, wait)
            with b.if_then(b.load(late, typ=I1), likely=False):
                self.rest()

    def rest(self) -> None:
        """Let callers do what is not large alone for a while."""
        b = self.b
        now = self.now()
        periods = b.sdiv(b.sub(now, self.load(RESTING)), I64(FORGIVING))
        halvings = b.select(b.icmp_signed("<", periods, I64(32)), periods, I64(32))
        last = b.ashr(self.load(REST), b.select(b.icmp_signed("<", halvings, I64(0)), I64(0), halvings))
        longer = b.mul(last, I64(2))
        bounded = b.select(b.icmp_signed("<", longer, I64(LONG_REST)), longer, I64(LONG_REST))
        time = b.select(b.icmp_signed(">", bounded, I64(SHORT_REST)), bounded, I64(SHORT_REST))
        self.store(REST, time)
        self.store(RESTING, b.add(now, time))

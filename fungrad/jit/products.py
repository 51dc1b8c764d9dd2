"""Matrix products as generated code, for their static sizes.

A product is cut into pieces of whole tiles, which any thread may compute; see `parallel`. In a piece

    for each block of k that keeps a panel of B in the nearest cache
        copy A in tiles of rows, if it is transposed and large
        for each group of panels of columns, two vectors wide
            copy them, row after row
            for each panel
                for each tile
                    the tile's sums stay in registers while k runs: two loads of the panel, and for each row a
                    broadcast of A and two FMAs

Sums over some of the blocks are kept in the result, or apart from it if a matrix is added to them: the result may be
written over that matrix.

What is copied lies a row of the matrix apart, often a page. Processors foresee no such steps, so rows ahead are
prefetched.

So no library is called: BLAS libraries are made for large matrices, where this is as fast; for small ones calling,
checking and packing cost them as much as multiplying, and threads they wake for a few microseconds of work cost
milliseconds when the machine is busy. The loops around the tile are those of K. Goto and R. van de Geijn, "Anatomy of
high-performance matrix multiplication" (2008).

Each element is a sum over k in one order, whatever the pieces; so the result does not depend on threads. The code of a
product is made once for all programs, see `shared_products`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from fungrad.ir.types import DType
from fungrad.jit.c_library import libc
from fungrad.jit.counted_loop import counted_loop
from fungrad.jit.llvm_types import I8, I64, memory_type
from fungrad.jit.loops import Gemm
from fungrad.jit.vectors import Vectors

ROWS = 6  # of a tile; with two vectors of columns 12 sums, 2 vectors of the panel and a broadcast: 15 of 16 registers
VECTORS = 2
K_BLOCK = 256  # rows of a panel: 16 KiB
GROUP = 4  # panels that are copied together, a few lines of the cache from each row; their copy stays in a cache
PIECE_TILES = 43  # at the most, the rows of a batch of 256: copying panels for them is cheap, and A stays in a cache
NEAR = 128  # rows of a transposed A that are read in place
AHEAD = 16  # rows between what is copied and what is prefetched
STACK = 2**16  # bytes of copies that may be on the stack
LINE = 64  # bytes of a line of a cache
PIECE_WORK, MOST_WORK = 2**17, 2**27  # multiplications of a piece: microseconds, milliseconds
PIECES, MOST_PIECES = 16, 64  # of most products, and of those whose pieces would else take more than the most work
LARGE = 2**20  # multiplications of a product whose pieces have several panels, if there are enough of them for four
SPEED = 160  # bytes of multiplications in a nanosecond, about


class Product(NamedTuple):
    """What the code of a product depends on; see `Gemm`.

    - addend: "none", a "full" matrix, or one "row" that is added to every row.
    """

    bits: int  # of a float
    transpose_a: bool
    transpose_b: bool
    m: int
    n: int
    k: int
    addend: str = "none"
    scaled: bool = False

    @classmethod
    def of(cls, call: Gemm) -> Product:
        """That of a statement."""
        addend = "none" if call.addend is None else "row" if call.addend.type.size == call.n else "full"
        bits = 8 * call.out.type.dtype.itemsize
        flags = call.transpose_a, call.transpose_b
        return cls(bits, *flags, call.m, call.n, call.k, addend, call.scale is not None)

    @property
    def dtype(self) -> DType:
        return np.dtype(f"f{self.bits // 8}")

    @property
    def type(self) -> ir.FunctionType:
        """The function (a, b, [addend, scale,] out, piece) of one product of a batch."""
        number = memory_type(self.dtype)
        pointer = number.as_pointer()
        middle = [*([pointer] if self.addend != "none" else []), *([number] if self.scaled else [])]
        return ir.FunctionType(ir.VoidType(), [pointer, pointer, *middle, pointer, I64])


@dataclass(frozen=True, slots=True)
class Pieces:
    """How a product is cut: `rows` times `columns` pieces of tiles and panels."""

    tiles: int
    panels: int
    rows: int
    columns: int
    packs_a: bool  # whether each piece copies its rows of A

    @property
    def count(self) -> int:
        return self.rows * self.columns


def pieces(product: Product) -> Pieces:
    """The pieces of a product."""
    work = product.m * product.n * product.k
    tiles, panels = -(-product.m // ROWS), -(-product.n // (VECTORS * Vectors.width_of(product.dtype)))
    packs_a = product.transpose_a and product.k > NEAR and panels >= 8
    least_panels = max(1, min(GROUP, panels // 4)) if work > LARGE else 1
    most_rows, most_columns = tiles // 8, panels // least_panels
    wanted = max(1, min(PIECES, work // PIECE_WORK), min(MOST_PIECES, work // MOST_WORK))
    rows = -(-tiles // PIECE_TILES)
    columns = max(1, min(most_columns, -(-wanted // rows)))
    rows = max(rows, min(most_rows, -(-wanted // columns)))
    return Pieces(tiles, panels, rows, columns, packs_a)


def how(call: Gemm) -> str:
    """How a product is computed, for people."""
    count = pieces(Product.of(call)).count * call.batch
    return f"generated code in {count} pieces" if count > 1 else "generated code"


def product_work(call: Gemm) -> int:
    """About how many nanoseconds all products of the batch take."""
    return call.batch * call.m * call.n * call.k // (SPEED // call.out.type.dtype.itemsize)


def emit_product(function: ir.Function, product: Product) -> None:
    """Emit the code of a product into a function of its type."""
    _Product(function, product).run()


class _Product:
    def __init__(self, function: ir.Function, product: Product) -> None:
        self.product = product
        self.a, self.b, *middle, self.out, self.piece = function.args
        self.addend = middle.pop(0) if product.addend != "none" else None
        self.scale = middle.pop(0) if product.scaled else None
        for argument in (self.a, self.b):
            argument.add_attribute("noalias")
        self.entry = ir.IRBuilder(function.append_basic_block("entry"))
        self.build = ir.IRBuilder(function.append_basic_block("body"))
        self.vectors = Vectors(self.build, product.dtype)
        self.width = self.vectors.width
        self.wide = VECTORS * self.width
        self.blocks = -(-product.k // K_BLOCK)
        length = -(-product.k // self.blocks)
        self.block_length = length if self.blocks == 1 else -(-length // self.width) * self.width
        self.blocks = -(-product.k // self.block_length)
        self.cut = pieces(product)

    def run(self) -> None:
        b, body, cut = self.build, self.build.block, self.cut
        row, column = b.udiv(self.piece, I64(cut.columns)), b.urem(self.piece, I64(cut.columns))
        self.first_tile, self.stop_tile = self.share(row, cut.tiles, cut.rows)
        self.piece_panel, stop_panel = self.share(column, cut.panels, cut.columns)
        self.whole_tiles, self.rows_left = divmod(self.product.m, ROWS)
        self.whole_panels, self.columns_left = divmod(self.product.n, self.wide)
        line = LINE // self.vectors.bytes  # between copies, which would else compete for the same lines of the cache
        self.panel_size, self.tile_size = self.block_length * self.wide + line, self.block_length * ROWS + line
        most_panels, most_tiles = -(-cut.panels // cut.columns), -(-cut.tiles // cut.rows)
        panels = min(GROUP, most_panels) * self.panel_size
        tiles = most_tiles * self.tile_size if cut.packs_a else 0
        self.sums_row = most_panels * self.wide
        sums = most_tiles * ROWS * self.sums_row if self.keeps_sums else 0
        memory, free = self.memory(panels + tiles + sums)
        self.panels, self.tiles, self.sums = (b.gep(memory, [I64(at)]) for at in (0, panels, panels + tiles))

        def block(number: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            self.block = number
            self.start = b.mul(number, I64(self.block_length))
            left = b.sub(I64(self.product.k), self.start)
            whole = b.icmp_unsigned("<", I64(self.block_length), left)
            self.length = b.select(whole, I64(self.block_length), left) if self.blocks > 1 else I64(self.product.k)
            if cut.packs_a:
                self.range(I64(0), self.length, lambda k: self.each_tile(lambda t, n: self.pack_column(t, n, k)))
            groups = b.udiv(b.add(b.sub(stop_panel, self.piece_panel), I64(GROUP - 1)), I64(GROUP))
            self.range(I64(0), groups, lambda number: self.group(number, stop_panel))
            return ()

        if self.blocks > 1:
            counted_loop(b, self.blocks, block)
        else:
            block(I64(0), ())
        free()
        b.ret_void()
        self.entry.branch(body)

    @property
    def keeps_sums(self) -> bool:
        """Whether sums over some blocks are kept apart, until the last is done: the result may be the addend."""
        return self.blocks > 1 and self.product.addend == "full"

    def group(self, number: ir.Value, stop: ir.Value) -> None:
        """A group of the panels of the piece: copied, and multiplied with all its tiles.

        From here on, `first_panel` and `stop_panel` are those of the group.
        """
        b = self.build
        self.first_panel = b.add(self.piece_panel, b.mul(number, I64(GROUP)))
        end = b.add(self.first_panel, I64(GROUP))
        self.stop_panel = b.select(b.icmp_unsigned("<", end, stop), end, stop)
        if self.product.transpose_b:
            self.each_panel(self.pack_turned)
        else:
            self.range(I64(0), self.length, lambda k: self.each_panel(lambda p, n: self.pack_row(p, n, k)))
        self.each_panel(lambda p, columns: self.each_tile(lambda t, rows: self.tile(t, rows, p, columns)))

    def memory(self, count: int) -> tuple[ir.Value, Callable[[], Any]]:
        """Memory for that many numbers, and what gives it back."""
        if count * self.vectors.bytes <= STACK:
            memory = self.entry.alloca(ir.ArrayType(self.vectors.scalar, count))
            memory.align = 64
            return self.entry.bitcast(memory, self.vectors.scalar.as_pointer()), lambda: None
        pointer = I8.as_pointer()
        raw = self.build.call(libc(self.build.module, "malloc", pointer, [I64]), [I64(count * self.vectors.bytes + 64)])
        start = self.build.and_(self.build.add(self.build.ptrtoint(raw, I64), I64(63)), I64(-64))
        free = libc(self.build.module, "free", ir.VoidType(), [pointer])
        return self.build.inttoptr(start, self.vectors.scalar.as_pointer()), lambda: self.build.call(free, [raw])

    def share(self, number: ir.Value, total: int, parts: int) -> tuple[ir.Value, ir.Value]:
        """The first and the stop of a part of a range, if all parts are about equal."""
        b = self.build
        first = b.udiv(b.mul(number, I64(total)), I64(parts))
        return first, b.udiv(b.mul(b.add(number, I64(1)), I64(total)), I64(parts))

    # -- panels of B -------------------------------------------------------------------------------------------------

    def each_panel(self, body: Callable[[ir.Value, int], Any]) -> None:
        """Emit `body(panel, columns)` for the whole panels of the group, and for the narrow one at the end."""
        b = self.build
        self.range(self.first_panel, self.least(self.stop_panel, self.whole_panels), lambda p: body(p, self.wide))
        if self.columns_left:
            with b.if_then(b.icmp_unsigned(">", self.stop_panel, I64(self.whole_panels))):
                body(I64(self.whole_panels), self.columns_left)

    def panel_row(self, panel: ir.Value, columns: int, k: ir.Value) -> ir.Value:
        """Where the copy of a row of a panel is: as many whole vectors as the columns need."""
        b = self.build
        start = b.mul(b.sub(panel, self.first_panel), I64(self.panel_size))
        return b.gep(self.panels, [b.add(start, b.mul(k, I64(-(-columns // self.width) * self.width)))])

    def pack_row(self, panel: ir.Value, columns: int, k: ir.Value) -> None:
        b = self.build
        at = b.add(b.mul(b.add(self.start, k), I64(self.product.n)), b.mul(panel, I64(self.wide)))
        target = self.panel_row(panel, columns, k)
        self.vectors.prefetch(b.gep(self.b, [b.add(at, I64(AHEAD * self.product.n))]))
        for first in range(0, columns, self.width):
            value = self.vectors.load(b.gep(self.b, [b.add(at, I64(first))]), columns - first)
            self.vectors.store(value, b.gep(target, [I64(first)]))

    def pack_turned(self, panel: ir.Value, columns: int) -> None:
        """All rows of a panel of a transposed B: squares are turned in registers, the rest goes number by number."""
        b, width = self.build, self.width
        lanes = -(-columns // width) * width

        def source(lane: int, k: ir.Value) -> ir.Value:
            line = b.add(b.mul(panel, I64(self.wide)), I64(lane))
            return b.gep(self.b, [b.add(b.mul(line, I64(self.product.k)), b.add(self.start, k))])

        def squares(number: ir.Value) -> None:
            k = b.mul(number, I64(width))
            for first in range(0, lanes, width):
                lines = [
                    self.vectors.load(source(lane, k)) if lane < columns else self.vectors.zero
                    for lane in range(first, first + width)
                ]
                for i, line in enumerate(self.vectors.transposed(lines)):
                    row = self.panel_row(panel, columns, b.add(k, I64(i)))
                    self.vectors.store(line, b.gep(row, [I64(first)]))

        def row(k: ir.Value) -> None:
            target = self.panel_row(panel, columns, k)
            for lane in range(lanes):
                value = b.load(source(lane, k)) if lane < columns else ir.Constant(self.vectors.scalar, 0.0)
                b.store(value, b.gep(target, [I64(lane)]))

        whole = b.udiv(self.length, I64(width))
        self.range(I64(0), whole, squares)
        if self.product.k % width:
            self.range(b.mul(whole, I64(width)), self.length, row)

    # -- tiles -------------------------------------------------------------------------------------------------------

    def each_tile(self, body: Callable[[ir.Value, int], Any]) -> None:
        """Emit `body(tile, rows)` for the whole tiles of the piece, and for the low one at the end."""
        b = self.build
        self.range(self.first_tile, self.least(self.stop_tile, self.whole_tiles), lambda t: body(t, ROWS))
        if self.rows_left:
            with b.if_then(b.icmp_unsigned(">", self.stop_tile, I64(self.whole_tiles))):
                body(I64(self.whole_tiles), self.rows_left)

    def a_element(self, tile: ir.Value, row: int, k: ir.Value) -> ir.Value:
        """The address of an element of A, counted from the start of the block of k."""
        b, product, at = self.build, self.product, self.build.add(self.start, k)
        i = b.add(b.mul(tile, I64(ROWS)), I64(row))
        place = b.add(b.mul(at, I64(product.m)), i) if product.transpose_a else b.add(b.mul(i, I64(product.k)), at)
        return b.gep(self.a, [place])

    def packed_row(self, tile: ir.Value, k: ir.Value) -> ir.Value:
        """Where the copies of a tile's numbers for one k are, one after another."""
        b = self.build
        start = b.mul(b.sub(tile, self.first_tile), I64(self.tile_size))
        return b.gep(self.tiles, [b.add(start, b.mul(k, I64(ROWS)))])

    def pack_column(self, tile: ir.Value, rows: int, k: ir.Value) -> None:
        """Copy a tile's numbers for one k, which are neighbours in a transposed A."""
        target, first = self.packed_row(tile, k), 0
        self.vectors.prefetch(self.a_element(tile, 0, self.build.add(k, I64(AHEAD))))
        while first < rows:
            count = 1 << ((rows - first).bit_length() - 1)
            self.vectors.copy(self.a_element(tile, first, k), self.build.gep(target, [I64(first)]), count)
            first += count

    def tile(self, tile: ir.Value, rows: int, panel: ir.Value, columns: int) -> None:
        """The sums of a tile over a block of k, kept in registers."""
        b, width = self.build, self.width
        firsts = range(0, columns, width)
        corner = b.add(b.mul(b.mul(tile, I64(ROWS)), I64(self.product.n)), b.mul(panel, I64(self.wide)))
        places = self.places(self.out, corner, self.product.n, rows, columns)
        partial = places
        if self.keeps_sums:
            row = b.mul(b.mul(b.sub(tile, self.first_tile), I64(ROWS)), I64(self.sums_row))
            start = b.add(row, b.mul(b.sub(panel, self.piece_panel), I64(self.wide)))
            partial = self.places(self.sums, start, self.sums_row, rows, columns)
        lanes = [columns - first for _ in range(rows) for first in firsts]
        if self.blocks > 1 and not self.keeps_sums:
            self.prefetch(self.out, corner, rows, write=True)
        elif self.blocks == 1 and self.product.addend == "full":
            self.prefetch(self.addend, corner, rows)

        def step(k: ir.Value, sums: Sequence[ir.Value]) -> list[ir.Value]:
            line = self.panel_row(panel, columns, k)
            right = [self.vectors.load(b.gep(line, [I64(first)])) for first in firsts]
            packed = self.packed_row(tile, k) if self.cut.packs_a else None
            new: list[ir.Value] = []
            for r in range(rows):
                place = self.a_element(tile, r, k) if packed is None else b.gep(packed, [I64(r)])
                left = self.vectors.spread(b.load(place))
                new += [self.vectors.fma(left, x, sums[len(new) + i]) for i, x in enumerate(right)]
            return new

        sums = list(counted_loop(b, self.length, step, [self.vectors.zero] * len(places)))
        if self.blocks > 1:
            sums = self.added(sums, partial, lanes)
        if self.blocks > 1 and (self.addend is not None or self.scale is not None):
            last = b.icmp_unsigned("==", self.block, I64(self.blocks - 1))
            with b.if_else(last) as (complete, incomplete):
                with complete:
                    self.keep(self.finished(sums, rows, corner, panel, columns), places, lanes)
                with incomplete:
                    self.keep(sums, partial, lanes)
        else:
            self.keep(self.finished(sums, rows, corner, panel, columns), places, lanes)

    def places(self, matrix: ir.Value, corner: ir.Value, row: int, rows: int, columns: int) -> list[ir.Value]:
        """Where the vectors of a tile are in a matrix: row after row."""
        b = self.build
        offsets = [r * row + first for r in range(rows) for first in range(0, columns, self.width)]
        return [b.gep(matrix, [b.add(corner, I64(offset))]) for offset in offsets]

    def prefetch(self, matrix: ir.Value, corner: ir.Value, rows: int, write: bool = False) -> None:
        """Bring a tile of a matrix near while the sums are computed: each of its rows lies on one or two lines."""
        for r in range(rows):
            for column in (0, self.wide - 1):
                at = self.build.add(corner, I64(r * self.product.n + column))
                self.vectors.prefetch(self.build.gep(matrix, [at]), write)

    def added(self, sums: Sequence[ir.Value], places: Sequence[ir.Value], lanes: Sequence[int]) -> list[ir.Value]:
        """The sums with those of the blocks before."""
        b = self.build
        start = b.block
        with b.if_then(b.icmp_unsigned("!=", self.block, I64(0))):
            totals = [b.fadd(self.vectors.load(place, n), x) for x, place, n in zip(sums, places, lanes, strict=True)]
            end = b.block
        found = []
        for x, total in zip(sums, totals, strict=True):
            found.append(b.phi(self.vectors.vector))
            found[-1].add_incoming(x, start)
            found[-1].add_incoming(total, end)
        return found

    def finished(
        self, sums: Sequence[ir.Value], rows: int, corner: ir.Value, panel: ir.Value, columns: int
    ) -> Sequence[ir.Value]:
        """Complete sums, scaled and added to the addend."""
        b, product = self.build, self.product
        if self.scale is not None:
            factor = self.vectors.spread(self.scale)
            sums = [b.fmul(x, factor) for x in sums]
        if product.addend == "none":
            return sums
        if product.addend == "row":
            corner, rows = b.mul(panel, I64(self.wide)), 1
        places = self.places(self.addend, corner, product.n, rows, columns)
        lanes = [columns - first for first in range(0, columns, self.width)] * rows
        addends = [self.vectors.load(place, n) for place, n in zip(places, lanes, strict=True)]
        return [b.fadd(addends[i % len(addends)], x) for i, x in enumerate(sums)]

    def keep(self, sums: Sequence[ir.Value], places: Sequence[ir.Value], lanes: Sequence[int]) -> None:
        for value, place, n in zip(sums, places, lanes, strict=True):
            self.vectors.store(value, place, n)

    # -- numbers and loops -------------------------------------------------------------------------------------------

    def least(self, x: ir.Value, y: int) -> ir.Value:
        return self.build.select(self.build.icmp_unsigned("<", x, I64(y)), x, I64(y))

    def range(self, first: ir.Value, stop: ir.Value, body: Callable[[ir.Value], Any]) -> None:
        """Rounds for first <= index < stop, none if there are none."""

        def step(index: ir.Value, _: Sequence[ir.Value]) -> Sequence[ir.Value]:
            body(index)
            return ()

        with self.build.if_then(self.build.icmp_unsigned("<", first, stop)):
            counted_loop(self.build, stop, step, first=first)

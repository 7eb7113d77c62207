"""Barriers of a block (PTX ISA, "bar", "barrier"): two warps, each reading what the other wrote before it."""

from .table import Form, bits_of

THREADS = 64


def exchange(name, wait, needs="6.0 sm_70"):
    code = ["{.shared .b32 cells[64];", ".reg .u32 t, p, base, other;", "mov.u32 t, %tid.x;", "mov.u32 base, cells;",
            "mad.lo.u32 p, t, 4, base;", "st.shared.u32 [p], $a0;", wait, "xor.b32 other, t, 63;",
            "mad.lo.u32 p, other, 4, base;", "ld.shared.u32 $d0, [p];}"]
    form = Form(name, code, [32], [32], needs, block=(THREADS, 1, 1))
    values = bits_of(name, 32, 2 * THREADS)
    for block in (values[:THREADS], values[THREADS:]):
        for t in range(THREADS):
            form.row([block[t]], [block[t ^ 63]])
    return form


def reductions():
    for prefix, needs in (("bar", "6.0 sm_70"), ("bar.cta", "7.8 sm_70"), ("barrier", "6.0 sm_70"),
                          ("barrier.cta", "7.8 sm_70")):
        for aligned in ("", ".aligned") if "barrier" in prefix else ("",):
            for operation in ("popc.u32", "and.pred", "or.pred"):
                kind, result = operation.split(".")
                name = f"{prefix}.red.{kind}{aligned}.{result}"
                code = ["{.reg .pred p, q;", "setp.ne.u32 p, $a0, 0;"]
                code += [f"{name} $d0, 1, p;}}"] if kind == "popc" else [f"{name} q, 1, p;", "selp.u32 $d0, 1, 0, q;}"]
                form = Form(name, code, [32], [32], needs, block=(THREADS, 1, 1))
                for pattern in ([0] * 64, [1] * 64, [t % 3 == 0 for t in range(64)], [t != 40 for t in range(64)]):
                    held = [int(p) for p in pattern]
                    out = {"popc": sum(held), "and": int(all(held)), "or": int(any(held))}[kind]
                    for p in held:
                        form.row([p], [out])
                yield form


def one_way():
    """The first warp arrives and goes on; the second waits for what it wrote."""
    for name, needs in (("bar.arrive", "6.0 sm_70"), ("bar.cta.arrive", "7.8 sm_70"), ("barrier.arrive", "6.0 sm_70"),
                        ("barrier.cta.arrive", "7.8 sm_70"), ("barrier.arrive.aligned", "6.0 sm_70"),
                        ("barrier.cta.arrive.aligned", "7.8 sm_70")):
        prefix = name.split(".arrive")[0]
        code = ["{.shared .b32 cells[32];", ".reg .u32 t, l, p, base;", ".reg .pred first;", "mov.u32 t, %tid.x;",
                "and.b32 l, t, 31;", "mov.u32 base, cells;", "mad.lo.u32 p, l, 4, base;", "setp.lt.u32 first, t, 32;",
                "mov.u32 $d0, 0;", "@!first bra WAIT;", "st.shared.u32 [p], $a0;", f"{name} 3, 64;", "bra DONE;",
                "WAIT:", f"{prefix}.sync 3, 64;", "ld.shared.u32 $d0, [p];", "DONE:", "}"]
        form = Form(name, code, [32], [32], needs, block=(THREADS, 1, 1))
        values = bits_of(name, 32, THREADS)
        for t in range(THREADS):
            form.row([values[t]], [values[t - 32] if t >= 32 else 0])
        yield form


def forms():
    for name, wait, needs in (
        ("bar.sync", "bar.sync 0;", "6.0 sm_70"), ("bar.sync counted", "bar.sync 2, 64;", "6.0 sm_70"),
        ("bar.cta.sync", "bar.cta.sync 0;", "7.8 sm_70"),
        ("barrier.sync", "barrier.sync 0;", "6.0 sm_70"), ("barrier.sync.aligned", "barrier.sync.aligned 0;", "6.0 sm_70"),
        ("barrier.cta.sync", "barrier.cta.sync 1;", "7.8 sm_70"),
        ("barrier.cta.sync.aligned", "barrier.cta.sync.aligned 1, 64;", "7.8 sm_70"),
        ("bar.sync from a register", "{.reg .u32 b; mov.u32 b, 4; bar.sync b, 64;}", "6.0 sm_70"),
    ):
        yield exchange(name, wait, needs)
    yield from reductions()
    yield from one_way()

"""Special registers (PTX ISA, "Special Registers")."""

from .table import Form


def shaped(name, code, function, outputs, block=(4, 3, 2), grid=(2, 2, 3), needs="6.0 sm_70"):
    """Every thread of a grid of three dimensions."""
    form = Form(name, code, [32], [32] * outputs, needs, block=block, grid=grid)
    for cz in range(grid[2]):
        for cy in range(grid[1]):
            for cx in range(grid[0]):
                for tz in range(block[2]):
                    for ty in range(block[1]):
                        for tx in range(block[0]):
                            form.row([0], function((tx, ty, tz), (cx, cy, cz)))
    return form


def forms():
    block, grid = (4, 3, 2), (2, 2, 3)
    for register, pick in (("%tid", lambda t, c: t), ("%ctaid", lambda t, c: c), ("%ntid", lambda t, c: block),
                           ("%nctaid", lambda t, c: grid)):
        code = [f"mov.u32 $d{i}, {register}.{axis};" for i, axis in enumerate("xyz")]
        yield shaped(register, code, lambda t, c: list(pick(t, c)), 3)
    linear = lambda t: t[0] + block[0] * (t[1] + block[1] * t[2])
    yield shaped("%laneid", "mov.u32 $d0, %laneid;", lambda t, c: [linear(t) % 32], 1)
    masks = {"eq": lambda lane: 1 << lane, "lt": lambda lane: (1 << lane) - 1, "le": lambda lane: (2 << lane) - 1,
             "gt": lambda lane: 0xFFFFFFFF & ~((2 << lane) - 1), "ge": lambda lane: 0xFFFFFFFF & ~((1 << lane) - 1)}
    for name, mask in masks.items():
        form = Form(f"%lanemask_{name}", f"mov.u32 $d0, %lanemask_{name};", [32], [32], block=(48, 1, 1))
        for thread in range(48):
            form.row([0], [mask(thread % 32)])
        yield form
    # What only has to exist, and to move one way.
    for register in ("%smid", "%nsmid", "%warpid", "%nwarpid", "%clock", "%total_smem_size",
                     "%dynamic_smem_size"):
        form = Form(register, f"mov.u32 $d0, {register};", [32], [32])
        form.row([0], [0 if register == "%dynamic_smem_size" else "-"])
        yield form
    for register in ("%clock64", "%globaltimer"):
        form = Form(register, ["{.reg .u64 a, b;", ".reg .pred p;", f"mov.u64 a, {register};", "nanosleep.u32 2000;",
                               f"mov.u64 b, {register};", "setp.ge.u64 p, b, a;", "selp.u32 $d0, 1, 0, p;}"],
                    [32], [32], "6.3 sm_70")
        form.row([0], [1])
        yield form
    form = Form("%gridid", "mov.u64 $d0, %gridid;", [32], [64])
    form.row([0], ["-"])
    yield form

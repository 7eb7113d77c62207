"""Loads and stores: every space, width, vector, cache operator and order (PTX ISA, "ld", "st")."""

from . import integer
from .integer import WIDTH, signed
from .table import Form, pick

TYPES = ["b8", "u8", "s8", "b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"]


def width_of(type):
    return int(type[1:])


def register(type):
    return max(32, width_of(type)) if width_of(type) != 16 else 16


def loaded(bits, type):
    """What a load leaves in its register: narrow signed types are extended."""
    width = width_of(type)
    bits &= (1 << width) - 1
    return signed(bits, width) if type[0] == "s" else bits


def cells(type, count):
    return integer.pool(width_of(type))[:count] + integer.pool(64)[-4:]


def roundtrip(name, type, store, load, before=(), count=8, needs="6.0 sm_70", vector=1, out=None):
    """A row stores its inputs and loads them back."""
    width = register(type)
    form = Form(name, [*before, store, load, "}" * sum(line.startswith("{") for line in before)],
                [width] * vector, [width] * vector, needs)
    form.code = [line for line in form.code if line]
    values = cells(type, count)
    for row in pick(name, *[values] * vector, count=count):
        form.row([v & ((1 << width) - 1) for v in row], [loaded(v, type) for v in row])
    return form


SPACES = {
    "global": ("$m", ()),
    "": ("$m", ()),
    "shared": ("cell", ("{.shared .align 16 .b8 cell[64];",)),
    "local": ("cell", ("{.local .align 16 .b8 cell[64];",)),
}


def dot(text):
    return f".{text}" if text else ""


def operand(letter, vector):
    if vector == 1:
        return f"${letter}0"
    return "{" + ", ".join(f"${letter}{i}" for i in range(vector)) + "}"


def widths():
    """Both instructions of each pair are forms: a load, and the store of its type."""
    for space, (address, before) in SPACES.items():
        for type in TYPES:
            for vector in (1, 2, 4):
                if vector * width_of(type) > 128:
                    continue
                v = f".v{vector}" if vector > 1 else ""
                offset = 16 if vector * width_of(type) == 128 else vector * width_of(type) // 8
                for name, other in (("ld", "st"), ("st", "ld")):
                    store = f"st{dot(space)}{v}.{type} [{address}+{offset}], {operand('a', vector)};"
                    load = f"ld{dot(space)}{v}.{type} {operand('d', vector)}, [{address}+{offset}];"
                    form = roundtrip(f"{name}{dot(space)}{v}.{type}", type, store, load, before, 6, vector=vector)
                    yield form


def modifiers():
    """Cache operators, eviction priorities, volatile and ordered accesses."""
    loads = [".ca", ".cg", ".cs", ".lu", ".cv"]
    stores = [".wb", ".cg", ".cs", ".wt"]
    for space in ("global", ""):
        for type in ("u8", "u16", "u32", "f32", "u64", "f64"):
            for v in ("", ".v2"):
                n = 2 if v else 1
                for cop in loads:
                    name = f"ld{dot(space)}{cop}{v}.{type}"
                    yield roundtrip(name, type, f"st{v}.{type} [$m], {operand('a', n)};",
                                    f"{name} {operand('d', n)}, [$m];", count=4, vector=n)
                for cop in stores:
                    name = f"st{dot(space)}{cop}{v}.{type}"
                    yield roundtrip(name, type, f"{name} [$m], {operand('a', n)};",
                                    f"ld{v}.{type} {operand('d', n)}, [$m];", count=4, vector=n)
    for type in ("u8", "u16", "u32", "f32", "u64", "f64"):
        for v in ("", ".v2", ".v4"):
            n = int(v[2:] or 1)
            if n * width_of(type) > 128:
                continue
            for extra, needs in ((".nc", "6.0 sm_70"), (".ca.nc", "6.0 sm_70"), (".cs.nc", "6.0 sm_70"),
                                 (".nc.L1::no_allocate", "7.4 sm_70"), (".L1::evict_last", "7.4 sm_70"),
                                 (".L1::evict_first", "7.4 sm_70"), (".L1::no_allocate", "7.4 sm_70"),
                                 (".L2::128B", "7.4 sm_75"), (".L1::no_allocate.L2::256B", "7.4 sm_80")):
                name = f"ld.global{extra}{v}.{type}"
                # Read-only loads: the row's own inputs, which the kernel never writes.
                width = register(type)
                offsets = "".join(f"ld.global{extra}.{type} $d{i}, [$in+{8 * i}];" for i in range(n))
                if v:
                    code = f"{name} {operand('d', n)}, [$in];"
                else:
                    code = offsets
                step = width_of(type)
                words = max(1, n * step // 64)
                form = Form(name, code, [64] * words, [width] * n, needs)
                for row in pick(name, *[integer.pool(64)] * words, count=4):
                    whole = sum(w << 64 * i for i, w in enumerate(row))
                    form.row(list(row), [loaded(whole >> step * i, type) for i in range(n)])
                yield form
            for extra in (".L1::evict_last", ".L1::no_allocate"):
                name = f"st.global{extra}{v}.{type}"
                yield roundtrip(name, type, f"{name} [$m], {operand('a', n)};",
                                f"ld.global{v}.{type} {operand('d', n)}, [$m];", count=4, vector=n,
                                needs="7.4 sm_70")
    ordered = [(".volatile", ".volatile")]
    for scope in ("cta", "gpu", "sys"):
        ordered += [(f".relaxed.{scope}", f".relaxed.{scope}"), (f".acquire.{scope}", f".release.{scope}")]
    ordered += [(".weak", ".weak")]
    for space, (address, before) in SPACES.items():
        for load_order, store_order in ordered:
            if space == "local" and load_order != ".weak":
                continue
            for type in ("u8", "s8", "u16", "u32", "s32", "f32", "u64", "f64"):
                store = f"st{store_order}{dot(space)}.{type}"
                load = f"ld{load_order}{dot(space)}.{type}"
                for name in dict.fromkeys((load, store)):
                    yield roundtrip(name, type, f"{store} [{address}], $a0;", f"{load} $d0, [{address}];", before, 4)
        for load_order in (".volatile", ".weak") if space != "local" else (".weak",):
            for v, n in ((".v2", 2), (".v4", 4)):
                load, store = f"ld{load_order}{dot(space)}{v}.f32", f"st{load_order}{dot(space)}{v}.f32"
                for name in (load, store):
                    yield roundtrip(name, "f32", f"{store} [{address}], {operand('a', n)};",
                                    f"{load} {operand('d', n)}, [{address}];", before, 4, vector=n)


def read_only_spaces():
    """Constants, at an address from a register and at one from a name."""
    whole = bytes(range(0x81, 0xC1))
    module = [f".const .align 16 .b8 table[64] = {{{', '.join(map(str, whole))}}};"]
    for type in TYPES:
        for vector in (1, 2, 4):
            size = width_of(type) // 8
            if vector * size > 16:
                continue
            v = f".v{vector}" if vector > 1 else ""
            name = f"ld.const{v}.{type}"
            code = ["{.reg .b64 p;", "mov.u64 p, table;", "add.u64 p, p, $a0;", f"{name} {operand('d', vector)}, [p];}}"]
            form = Form(name, code, [64], [register(type)] * vector, module=module)
            for offset in (0, size * vector, 64 - size * vector):
                values = [int.from_bytes(whole[offset + size * i:offset + size * (i + 1)], "little")
                          for i in range(vector)]
                form.row([offset], [loaded(value, type) for value in values])
            yield form


def narrow_in_wide():
    """A register wider than the type: loads extend into it, stores take its low part."""
    for type in ("u8", "s8", "b8", "u16", "s16", "u32", "s32"):
        for register_width in (16, 32, 64):
            if register_width <= width_of(type):
                continue
            form = Form(f"ld.global.{type} into b{register_width}",
                        [f"st.global.{type} [$m], $a0;", f"ld.global.{type} $d0, [$m];"],
                        [register_width], [register_width])
            for a in integer.pool(register_width)[::3]:
                form.row([a], [loaded(a, type)])
            yield form


def parameters():
    """Arguments of device functions, by each width, read back by ld.param and returned by st.param."""
    for type in ("b8", "u8", "s8", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "f64"):
        width = register(type)
        # Functions take no scalar parameters below 32 bits, but arrays of bytes of any size.
        size = width_of(type) // 8
        module = [f".func (.param .align {size} .b8 out[{size}]) pass(.param .align {size} .b8 in[{size}])", "{",
                  f".reg .b{width} r;", f"ld.param.{type} r, [in];", f"st.param.{type} [out], r;", "ret;", "}"]
        code = [f"{{.param .align {size} .b8 in[{size}];", f".param .align {size} .b8 out[{size}];",
                f"st.param.{type} [in], $a0;", "call (out), pass, (in);", f"ld.param.{type} $d0, [out];}}"]
        for name in ("ld", "st"):
            form = Form(f"{name}.param.{type}", code, [width], [width], module=module)
            for a in integer.pool(width)[::4]:
                form.row([a], [loaded(a, type)])
            yield form
    vectors = [(2, t) for t in TYPES] + [(4, t) for t in TYPES if width_of(t) < 64]
    for vector, type in vectors:
        if width_of(type) == 8:
            continue
        width = width_of(type)
        size = vector * width // 8
        regs = ", ".join(f"r{i}" for i in range(vector))
        module = [f".func (.param .align {size} .b8 out[{size}]) pass(.param .align {size} .b8 in[{size}])", "{",
                  *(f".reg .b{width} r{i};" for i in range(vector)), f"ld.param.v{vector}.{type} {{{regs}}}, [in];",
                  f"st.param.v{vector}.{type} [out], {{{regs}}};", "ret;", "}"]
        code = [f"{{.param .align {size} .b8 in[{size}];", f".param .align {size} .b8 out[{size}];",
                f"st.param.v{vector}.{type} [in], {operand('a', vector)};", "call (out), pass, (in);",
                f"ld.param.v{vector}.{type} {operand('d', vector)}, [out];}}"]
        for name in ("ld", "st"):
            form = Form(f"{name}.param.v{vector}.{type}", code, [width] * vector, [width] * vector, module=module)
            for row in pick(form.name, *[integer.pool(width)] * vector, count=4):
                form.row(list(row), list(row))
            yield form


def hints():
    """Prefetches and fences change no value."""
    codes = ["prefetch.global.L1 [$m];", "prefetch.global.L2 [$m];", "prefetch.L1 [$m];", "prefetchu.L1 [$m];",
             "prefetch.L2 [$m];"]
    codes += [f"membar.{scope};" for scope in ("cta", "gl", "sys")]
    codes += [f"fence.{order}.{scope};" for order in ("sc", "acq_rel") for scope in ("cta", "gpu", "sys")]
    codes += ["prefetch.global.L2::evict_last [$m];", "prefetch.global.L2::evict_normal [$m];",
              "prefetch.L2::evict_last [$m];", "prefetch.L2::evict_normal [$m];",
              "applypriority.global.L2::evict_normal [$in], 128;", "prefetch.local.L1 [0];", "prefetch.local.L2 [0];"]
    codes += [f"fence.{order}.cluster;" for order in ("sc", "acq_rel")]
    codes += [f"fence.{order}.{scope};" for order in ("acquire", "release") for scope in ("cta", "gpu", "sys", "cluster")]
    codes += [f"fence.{scope};" for scope in ("cta", "gpu", "sys", "cluster")]
    for code in codes:
        newer = ("fence.acquire", "fence.release", "fence.cta", "fence.gpu", "fence.sys", "fence.cluster")
        needs = ("8.6 sm_90" if code.startswith(newer) else "7.8 sm_90" if "cluster" in code
                 else "7.4 sm_80" if "evict" in code else "6.0 sm_70")
        name = code.split()[0].rstrip(";")
        form = Form(name, ["st.global.u32 [$m], $a0;", code, "ld.global.u32 $d0, [$m];"], [32], [32], needs)
        form.row([0x01234567], [0x01234567])
        yield form


def copies():
    """Asynchronous copies from global to shared memory, waited for."""
    for cop, sizes in ((".ca", (4, 8, 16)), (".cg", (16,))):
        for size in sizes:
            name = f"cp.async{cop}.shared.global"
            words = max(1, size // 8)
            part = f"b{32 if size == 4 else 64}"
            before = ["{.shared .align 16 .b8 cell[16];", ".reg .b32 s;", "mov.u32 s, cell;"]
            loads = [f"ld.shared.{part} $d{i}, [cell+{8 * i}];" for i in range(words)]
            for wait in (["cp.async.wait_all;"], ["cp.async.commit_group;", "cp.async.wait_group 0;"]):
                code = [*before, f"{name} [s], [$in], {size};", *wait, *loads, "}"]
                form = Form(f"{name} {size} {wait[-1].split()[0].split('.')[-1].rstrip(';')}", code,
                            [64] * words, [32 if size == 4 else 64] * words, "7.0 sm_80")
                for row in pick(form.name, *[integer.pool(64)] * words, count=3):
                    form.row(list(row), list(row))
                yield form


def forms():
    yield from widths()
    yield from modifiers()
    yield from read_only_spaces()
    yield from narrow_in_wide()
    yield from parameters()
    yield from hints()
    yield from copies()

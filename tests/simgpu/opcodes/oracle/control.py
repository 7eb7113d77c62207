"""Control flow (PTX ISA, "Control Flow Instructions"): rows of one warp go different ways."""

from .integer import signed
from .table import Form, bits_of

MASK = 0xFFFFFFFF


def lanes(name, code, function, needs="6.0 sm_70", module=(), inputs=None):
    form = Form(name, code, [32], [32], needs, block=(32, 1, 1), module=module)
    for a in inputs or list(range(24)) + bits_of(name, 32, 8):
        form.row([a], [function(a) & MASK])
    return form


def branches():
    yield lanes("bra", ["{.reg .pred p;", "setp.gt.u32 p, $a0, 10;", "@p bra BIG;", "mul.lo.u32 $d0, $a0, 3;", "bra END;",
                        "BIG:", "add.u32 $d0, $a0, 100;", "END:}"], lambda a: a + 100 if a > 10 else a * 3)
    yield lanes("bra with a negated guard", ["{.reg .pred p;", "setp.gt.u32 p, $a0, 10;", "mov.u32 $d0, 1;",
                                             "@!p bra END;", "mov.u32 $d0, 2;", "END:}"], lambda a: 1 + (a > 10))
    yield lanes("bra.uni", ["mov.u32 $d0, 4;", "bra.uni OVER;", "mov.u32 $d0, 5;", "OVER:"], lambda a: 4)
    yield lanes("a guarded instruction", ["{.reg .pred p;", "and.b32 $d0, $a0, 1;", "setp.eq.u32 p, $d0, 1;",
                                          "@p add.u32 $d0, $a0, 7;", "@!p sub.u32 $d0, $a0, 7;}"],
                lambda a: a + 7 if a & 1 else a - 7)

    def collatz(a):
        a = a % 1000 + 1
        steps = 0
        while a != 1:
            a = 3 * a + 1 if a & 1 else a // 2
            steps += 1
        return steps

    yield lanes("a loop of each lane's own length",
                ["{.reg .pred p;", ".reg .u32 x, b;", "rem.u32 x, $a0, 1000;", "add.u32 x, x, 1;", "mov.u32 $d0, 0;",
                 "LOOP:", "setp.eq.u32 p, x, 1;", "@p bra END;", "and.b32 b, x, 1;", "setp.eq.u32 p, b, 1;",
                 "@p bra ODD;", "shr.u32 x, x, 1;", "bra NEXT;", "ODD:", "mad.lo.u32 x, x, 3, 1;", "NEXT:",
                 "add.u32 $d0, $d0, 1;", "bra LOOP;", "END:}"], collatz)
    for uni in ("", ".uni"):
        # All lanes take the same way with .uni.
        index = "and.b32 i, $a0, 3;" if not uni else "mov.u32 i, 2;"
        yield lanes(f"brx.idx{uni}",
                    ["{.reg .u32 i;", index, "TABLE: .branchtargets A, B, C, B;", f"brx.idx{uni} i, TABLE;",
                     "A:", "mov.u32 $d0, 10;", "bra END;", "B:", "mov.u32 $d0, 20;", "bra END;", "C:",
                     "mov.u32 $d0, 30;", "END:}"],
                    lambda a: 30 if uni else [10, 20, 30, 20][a & 3])


SCALE = [".func (.param .b32 out) scale(.param .b32 x, .param .b32 y)", "{", ".reg .b32 a, b;",
         "ld.param.b32 a, [x];", "ld.param.b32 b, [y];", "mad.lo.u32 a, a, b, 1;", "st.param.b32 [out], a;",
         "ret;", "}"]
SHIFT = [".func (.param .b32 out) shift(.param .b32 x, .param .b32 y)", "{", ".reg .b32 a, b;", "ld.param.b32 a, [x];",
         "ld.param.b32 b, [y];", "add.u32 a, a, b;", "st.param.b32 [out], a;", "ret;", "}"]


def arguments(second="7"):
    return ["{.param .b32 x;", ".param .b32 y;", ".param .b32 out;", "st.param.b32 [x], $a0;",
            f"st.param.b32 [y], {second};"]


def calls():
    for uni in ("", ".uni"):
        yield lanes(f"call{uni}", [*arguments(), f"call{uni} (out), scale, (x, y);", "ld.param.b32 $d0, [out];}"],
                    lambda a: a * 7 + 1, module=SCALE)
    pick = ["{.reg .pred p;", ".reg .u32 odd;", ".reg .b64 f, g;", "and.b32 odd, $a0, 1;", "setp.eq.u32 p, odd, 1;",
            "mov.u64 f, scale;", "mov.u64 g, shift;", "selp.b64 f, f, g, p;"]
    yield lanes("call through a pointer",
                ["KIND: .callprototype (.param .b32 _) _ (.param .b32 _, .param .b32 _);", *pick, *arguments(),
                 "call (out), f, (x, y), KIND;", "ld.param.b32 $d0, [out];}}"],
                lambda a: a * 7 + 1 if a & 1 else a + 7, module=SCALE + SHIFT)
    yield lanes("call through one of listed targets",
                ["KIND: .calltargets scale, shift;", *pick, *arguments(), "call (out), f, (x, y), KIND;",
                 "ld.param.b32 $d0, [out];}}"],
                lambda a: a * 7 + 1 if a & 1 else a + 7, module=SCALE + SHIFT)
    yield lanes("call of a forward declaration", [*arguments(), "call (out), scale, (x, y);", "ld.param.b32 $d0, [out];}"],
                lambda a: a * 7 + 1, module=[SCALE[0] + ";", *SCALE])
    yield lanes("call with a constant argument", [*arguments(), "call (out), scale, (x, 9);", "ld.param.b32 $d0, [out];}"],
                lambda a: a * 9 + 1, module=SCALE)
    factorial = [".func (.param .b32 out) factorial(.param .b32 x)", "{", ".reg .b32 a, b;", ".reg .pred p;",
                 "ld.param.b32 a, [x];", "setp.le.u32 p, a, 1;", "@p bra ONE;", "sub.u32 b, a, 1;",
                 "{.param .b32 x1;", ".param .b32 out1;", "st.param.b32 [x1], b;", "call (out1), factorial, (x1);",
                 "ld.param.b32 b, [out1];}", "mul.lo.u32 a, a, b;", "st.param.b32 [out], a;", "ret;", "ONE:",
                 "st.param.b32 [out], 1;", "ret;", "}"]

    def product(a):
        total = 1
        for i in range(2, a % 10 + 1):
            total *= i
        return total

    yield lanes("a recursive call", ["{.param .b32 x;", ".param .b32 out;", ".reg .b32 n;", "rem.u32 n, $a0, 10;",
                                     "st.param.b32 [x], n;", "call (out), factorial, (x);", "ld.param.b32 $d0, [out];}"],
                product, module=factorial)
    register = [".func (.reg .b32 out) twice(.reg .b32 x)", "{", "add.u32 out, x, x;", "ret;", "}"]
    yield lanes("call with registers", ["call ($d0), twice, ($a0);"], lambda a: 2 * a, module=register)
    local = [".func (.param .b32 out) reversed(.param .b32 x)", "{", ".local .align 4 .b32 digits[8];",
             ".reg .b32 a, i, d, at, base;", ".reg .pred p;", "ld.param.b32 a, [x];", "mov.u32 base, digits;",
             "mov.u32 i, 0;", "FILL:", "and.b32 d, a, 15;", "shl.b32 at, i, 2;", "add.u32 at, at, base;",
             "st.local.u32 [at], d;", "shr.u32 a, a, 4;", "add.u32 i, i, 1;", "setp.lt.u32 p, i, 8;", "@p bra FILL;",
             "mov.u32 a, 0;", "mov.u32 i, 0;", "READ:", "shl.b32 at, i, 2;", "add.u32 at, at, base;",
             "ld.local.u32 d, [at];", "shl.b32 a, a, 4;", "or.b32 a, a, d;", "add.u32 i, i, 1;", "setp.lt.u32 p, i, 8;",
             "@p bra READ;", "st.param.b32 [out], a;", "ret;", "}"]
    yield lanes("call of a function with local memory",
                ["{.param .b32 x;", ".param .b32 out;", "st.param.b32 [x], $a0;", "call (out), reversed, (x);",
                 "ld.param.b32 $d0, [out];}"], lambda a: int(f"{a:08x}"[::-1], 16), module=local)


def ends():
    """What ends a thread or a function before the last line; the output is stored first."""
    store = "st.global.u32 [$out], $d0;"
    yield lanes("ret under a guard", ["{.reg .pred p;", "setp.gt.u32 p, $a0, 9;", "mov.u32 $d0, 1;", store, "@p ret;",
                                      "mov.u32 $d0, 2;}"], lambda a: 1 if a > 9 else 2)
    yield lanes("exit", ["{.reg .pred p;", "setp.gt.u32 p, $a0, 9;", "mov.u32 $d0, 1;", store, "@p exit;",
                         "mov.u32 $d0, 2;}"], lambda a: 1 if a > 9 else 2)
    inner = [".func leave(.param .b64 at, .param .b32 x)", "{", ".reg .b64 p;", ".reg .b32 a;", ".reg .pred q;",
             "ld.param.b64 p, [at];", "ld.param.b32 a, [x];", "setp.gt.u32 q, a, 9;", "@!q ret;",
             "st.global.u32 [p], 8;", "exit;", "}"]
    yield lanes("exit inside a function", ["{.param .b64 at;", ".param .b32 x;", "st.param.b64 [at], $out;",
                                           "st.param.b32 [x], $a0;", "call leave, (at, x);", "mov.u32 $d0, 3;}"],
                lambda a: 8 if a > 9 else 3, module=inner)
    yield lanes("ret.uni", [".reg .pred p;", "setp.gt.u32 p, $a0, 9;", "selp.u32 $d0, 5, 6, p;",
                            store, "@p ret;", "ret.uni;"], lambda a: 5 if a > 9 else 6)
    yield lanes("nanosleep.u32", ["nanosleep.u32 20;", "mov.u32 $d0, $a0;"], lambda a: a, "6.3 sm_70")
    yield lanes("pragma", ['.pragma "nounroll";', "mov.u32 $d0, $a0;"], lambda a: a)
    yield lanes("loc and labels", ["FIRST:", "SECOND: mov.u32 $d0, $a0; THIRD:"], lambda a: a)
    yield lanes("alloca.u64", ["{.reg .u64 p;", "alloca.u64 p, 16, 8;", "st.local.u32 [p+4], $a0;",
                               "ld.local.u32 $d0, [p+4];}"], lambda a: a, "7.3 sm_70")


def forms():
    yield from branches()
    yield from calls()
    yield from ends()

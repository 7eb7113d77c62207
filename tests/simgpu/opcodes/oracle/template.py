"""The kernel around a form's code; the replay writes the same text."""


def kernel(form, name):
    lines = list(form.module)
    lines += [f".visible .entry {name}(.param .u64 inputs, .param .u64 outputs, .param .u64 scratch)", "{"]
    lines += [".reg .b32 $t<3>;", ".reg .b64 $row, $in, $out, $m;"]
    lines += [f".reg .b{bits} $a{i};" for i, bits in enumerate(form.inputs)]
    lines += [f".reg .b{bits} $d{i};" for i, bits in enumerate(form.outputs)]
    lines += ROW
    lines += [f"ld.global.b{bits} $a{i}, [$in+{8 * i}];" for i, bits in enumerate(form.inputs)]
    lines += form.code
    lines += [f"st.global.b{bits} [$out+{8 * i}], $d{i};" for i, bits in enumerate(form.outputs)]
    lines += ["ret;", "}", ""]
    text = "\n".join(lines)
    return text.replace("$IN", str(8 * len(form.inputs))).replace("$OUT", str(8 * len(form.outputs)))


# The row of a thread, whatever the shape of grid and block, and where its operands are.
ROW = """\
mov.u32 $t0, %ctaid.z;
mov.u32 $t1, %nctaid.y;
mov.u32 $t2, %ctaid.y;
mad.lo.u32 $t0, $t0, $t1, $t2;
mov.u32 $t1, %nctaid.x;
mov.u32 $t2, %ctaid.x;
mad.lo.u32 $t0, $t0, $t1, $t2;
mov.u32 $t1, %ntid.z;
mov.u32 $t2, %tid.z;
mad.lo.u32 $t0, $t0, $t1, $t2;
mov.u32 $t1, %ntid.y;
mov.u32 $t2, %tid.y;
mad.lo.u32 $t0, $t0, $t1, $t2;
mov.u32 $t1, %ntid.x;
mov.u32 $t2, %tid.x;
mad.lo.u32 $t0, $t0, $t1, $t2;
cvt.u64.u32 $row, $t0;
ld.param.u64 $in, [inputs];
mad.lo.u64 $in, $row, $IN, $in;
ld.param.u64 $out, [outputs];
mad.lo.u64 $out, $row, $OUT, $out;
ld.param.u64 $m, [scratch];
mad.lo.u64 $m, $row, 64, $m;""".splitlines()

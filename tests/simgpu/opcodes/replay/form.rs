//! The opcode table: `*.forms`, whose grammar `oracle/table.py` describes.

use super::expect::{Check, Expected};
use super::{Argument, End, Job, Needs, records, shape};

/// Bytes of scratch memory that a row has.
const SCRATCH: usize = 64;

/// The row of a thread, whatever the shape of grid and block, and where its operands are.
const ROW: &str = "mov.u32 $t0, %ctaid.z;
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
mad.lo.u64 $m, $row, 64, $m;
";

/// Reads a listing of forms.
pub fn parse(text: &str) -> Vec<Job> {
    records(text, "form").iter().map(|record| job(record)).collect()
}

fn job(record: &[(&str, &str)]) -> Job {
    let all = |keyword: &'static str| {
        record
            .iter()
            .filter(move |(word, _)| *word == keyword)
            .map(|(_, rest)| *rest)
    };
    let one = |keyword| all(keyword).next();
    let name = one("form").unwrap_or_default().to_owned();
    let needs_text = one("needs").unwrap_or("6.0 sm_70");
    let needs = Needs::parse(needs_text).expect("a version and a target");
    let (inputs, outputs) = one("types")
        .expect("a form has types")
        .split_once("->")
        .expect("an arrow");
    let widths = |text: &str| -> Vec<usize> {
        text.split_whitespace()
            .map(|word| word[1..].parse().expect("a width"))
            .collect()
    };
    let (inputs, outputs) = (widths(inputs), widths(outputs));
    let block = one("block").map_or([1, 1, 1], shape);
    let rows: Vec<_> = all("row").collect();
    let threads: u32 = block.iter().product();
    let grid = one("grid").map_or([(rows.len() as u32).div_ceil(threads), 1, 1], shape);
    assert_eq!(
        grid.iter().product::<u32>() * threads,
        rows.len() as u32,
        "{name}: a row for each thread"
    );

    let header = needs_text.split_once(' ').expect("a version and a target");
    let mut ptx = format!(".version {}\n.target {}\n.address_size 64\n", header.0, header.1);
    for line in all("module") {
        ptx += &format!("{line}\n");
    }
    let code: Vec<_> = all("code").collect();
    ptx += &kernel(&code, &inputs, &outputs);

    let mut data = Vec::new();
    let mut checks = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let (left, right) = row.split_once("->").expect("an arrow");
        for cell in left.split_whitespace() {
            data.extend(
                u64::from_str_radix(cell, 16)
                    .expect("hexadecimal bits")
                    .to_le_bytes(),
            );
        }
        let cells: Vec<_> = right.split_whitespace().collect();
        assert_eq!(cells.len(), outputs.len(), "{name}: row {row}");
        for (place, (cell, width)) in cells.iter().zip(&outputs).enumerate() {
            checks.push(Check {
                offset: 8 * (number * outputs.len() + place),
                bytes: width / 8,
                expected: Expected::parse(cell, &name, width / 8, one("bound")),
                label: format!("{}: output {place}", left.trim()),
            });
        }
    }
    let results = vec![0xA5; 8 * rows.len() * outputs.len()];
    let end = one("stops").map_or(End::Returns, stop);
    Job {
        name,
        needs,
        ptx,
        entry: "form".to_owned(),
        grid,
        block,
        shared: 0,
        arguments: vec![
            Argument::Buffer {
                initial: data,
                checks: Vec::new(),
            },
            Argument::Buffer {
                initial: results,
                checks,
            },
            Argument::Buffer {
                initial: vec![0; SCRATCH * rows.len()],
                checks: Vec::new(),
            },
        ],
        end,
    }
}

fn stop(text: &str) -> End {
    let (kind, says) = text.split_once(' ').unwrap_or((text, ""));
    let says = says.to_owned();
    match kind {
        "unknown" => End::Unknown(says),
        "illegal_address" => End::IllegalAddress(says),
        "misaligned" => End::Misaligned(says),
        "illegal" => End::Illegal(says),
        _ => panic!("{text} is no way to stop"),
    }
}

fn kernel(code: &[&str], inputs: &[usize], outputs: &[usize]) -> String {
    let mut text = String::from(
        ".visible .entry form(.param .u64 inputs, .param .u64 outputs, .param .u64 scratch)\n{\n\
         .reg .b32 $t<3>;\n.reg .b64 $row, $in, $out, $m;\n",
    );
    for (letter, widths) in [("a", inputs), ("d", outputs)] {
        for (number, width) in widths.iter().enumerate() {
            text += &format!(".reg .b{width} ${letter}{number};\n");
        }
    }
    text += &ROW
        .replace("$IN", &(8 * inputs.len()).to_string())
        .replace("$OUT", &(8 * outputs.len()).to_string());
    for (number, width) in inputs.iter().enumerate() {
        text += &format!("ld.global.b{width} $a{number}, [$in+{}];\n", 8 * number);
    }
    for line in code {
        text += &format!("{line}\n");
    }
    for (number, width) in outputs.iter().enumerate() {
        text += &format!("st.global.b{width} [$out+{}], $d{number};\n", 8 * number);
    }
    text + "ret;\n}\n"
}

//! What must stop a kernel, and what must not.

use crate::ptx::{Access, Fault, GlobalMemory, Launch, Module, run};

const START: u64 = 0x7000_0000_0000;

/// One allocation.
struct Heap {
    words: Vec<u128>,
}

// SAFETY: the words are only touched by the kernel, through pointers.
unsafe impl Sync for Heap {}

impl GlobalMemory for Heap {
    fn resolve(&self, address: u64, bytes: u64, access: Access) -> Result<*mut u8, Fault> {
        let (start, pointer, length) = self.extent(address, access)?;
        if address - start + bytes > length {
            return Err(Fault::IllegalAddress(format!("{address:#x} is outside")));
        }
        Ok(pointer.wrapping_add((address - start) as usize))
    }

    fn extent(&self, address: u64, _: Access) -> Result<(u64, *mut u8, u64), Fault> {
        let length = 16 * self.words.len() as u64;
        if address.wrapping_sub(START) >= length {
            return Err(Fault::IllegalAddress(format!("{address:#x} is outside")));
        }
        Ok((START, self.words.as_ptr().cast_mut().cast(), length))
    }
}

/// Runs a body with `out` in `%rd1`, the thread in `%r1` and the block in `%r2`; what `out` then holds.
fn launch(grid: u32, block: u32, body: &str) -> Result<Vec<u32>, Fault> {
    let text = format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 out) {{
        .reg .pred %p<9>; .reg .b32 %r<20>; .reg .b64 %rd<9>;
        .shared .align 16 .b8 s[4096];
        ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x;\n{body}\nret; }}"
    );
    let module = Module::parse(&text).unwrap();
    let heap = Heap { words: vec![0; 1024] };
    run(
        &Launch {
            module: &module,
            kernel: module.kernel("k").unwrap(),
            grid: [grid, 1, 1],
            block: [block, 1, 1],
            dynamic_shared_bytes: 0,
            parameters: &START.to_le_bytes(),
            globals: &[],
        },
        &heap,
    )?;
    let words = heap.words.iter().flat_map(|word| word.to_le_bytes());
    let words: Vec<u8> = words.collect();
    Ok(words
        .chunks(4)
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect())
}

/// What stops a block of threads as illegal.
fn illegal(block: u32, body: &str) -> String {
    match launch(1, block, body) {
        Err(Fault::Illegal(what)) => what,
        other => panic!("{other:?}"),
    }
}

/// Each thread writes its own word of shared memory and reads its neighbour's, with something in between.
fn exchange(between: &str, distance: u32) -> String {
    format!(
        "shl.b32 %r3, %r1, 2; mov.u32 %r4, s; add.u32 %r5, %r4, %r3; st.shared.u32 [%r5], %r1;
        {between}
        xor.b32 %r6, %r1, {distance}; shl.b32 %r6, %r6, 2; add.u32 %r6, %r6, %r4;
        ld.shared.u32 %r7, [%r6]; cvt.u64.u32 %rd2, %r3; add.u64 %rd2, %rd2, %rd1;
        st.global.u32 [%rd2], %r7;"
    )
}

#[test]
fn a_missing_barrier_is_a_race() {
    let what = illegal(64, &exchange("", 32));
    assert!(
        what.contains("line 8: `st.shared.u32 [%r5], %r1`: a race: a write")
            && what.contains("read in line 11"),
        "{what}"
    );
    assert!(what.contains("kernel `k`, block [0, 0, 0], thread ["), "{what}");
    let after = launch(1, 64, &exchange("bar.sync 0;", 32)).unwrap();
    assert_eq!(after[..3], [32, 33, 34]);
}

#[test]
fn a_warp_needs_its_own_barrier_only() {
    assert!(illegal(64, &exchange("", 1)).contains("a race"));
    assert!(illegal(64, &exchange("bar.warp.sync -1;", 32)).contains("a race"));
    let after = launch(1, 64, &exchange("bar.warp.sync -1;", 1)).unwrap();
    assert_eq!(after[..3], [1, 0, 3]);
    launch(1, 64, &exchange("shfl.sync.bfly.b32 %r9, %r1, 1, 31, -1;", 1)).unwrap();
    launch(1, 64, &exchange("membar.cta; bar.warp.sync -1;", 1)).unwrap();
}

#[test]
fn barriers_of_some_warps_order_them() {
    let half = "setp.lt.u32 %p1, %r1, 64; selp.u32 %r10, 1, 2, %p1; bar.sync %r10, 64;";
    launch(1, 128, &exchange(half, 32)).unwrap();
    assert!(illegal(128, &exchange(half, 64)).contains("a race"));
}

#[test]
fn strong_accesses_do_not_race() {
    launch(
        1,
        64,
        "atom.shared.add.u32 %r3, [s], 1; ld.volatile.shared.u32 %r4, [s];",
    )
    .unwrap();
    assert!(illegal(64, "atom.shared.add.u32 %r3, [s], 1; ld.shared.u32 %r4, [s];").contains("a race"));
    assert!(illegal(2, "st.shared.u32 [s], 1;").contains("a race"));
}

#[test]
fn bytes_of_one_word_are_apart() {
    let bytes = "mov.u32 %r4, s; add.u32 %r4, %r4, %r1; st.shared.u8 [%r4], %r1;";
    launch(1, 64, bytes).unwrap();
}

#[test]
fn accesses_are_aligned_and_in_bounds() {
    let misaligned = launch(1, 1, "ld.global.v4.u32 {%r3, %r4, %r5, %r6}, [%rd1+8];");
    assert!(matches!(misaligned, Err(Fault::Misaligned(what)) if what.contains("ld.global.v4.u32")));
    let outside = launch(1, 1, "st.global.u32 [%rd1+16384], %r1;");
    assert!(matches!(outside, Err(Fault::IllegalAddress(what)) if what.contains("line 8")));
    assert!(matches!(
        launch(1, 1, "st.shared.u32 [s+4096], %r1;"),
        Err(Fault::IllegalAddress(_))
    ));
}

#[test]
fn masks_name_who_is_there() {
    let own = "shfl.sync.bfly.b32 %r3, %r1, 1, 31, 0xfffffffe;";
    assert!(illegal(32, own).contains("not in its own mask"));
    let different =
        "setp.eq.u32 %p1, %r1, 3; selp.u32 %r4, 0xf, -1, %p1; vote.sync.ballot.b32 %r3, %p1, %r4;";
    assert!(illegal(32, different).contains("mask"));
    let gone = "setp.eq.u32 %p1, %r1, 3; @%p1 ret; shfl.sync.idx.b32 %r3, %r1, 3, 31, -1;";
    assert!(illegal(32, gone).contains("shuffles from lane 3"));
    let narrow = "setp.lt.u32 %p1, %r1, 8; @!%p1 bra L; shfl.sync.bfly.b32 %r3, %r1, 8, 31, 0xff; L:";
    assert!(illegal(32, narrow).contains("shuffles from lane 8"));
    let absent = "setp.lt.u32 %p1, %r1, 8; @!%p1 bra L; bar.warp.sync 0x1ff; L: bar.sync 0;";
    assert!(illegal(32, absent).contains("names lane 8, which waits in line"));
}

#[test]
fn disjoint_masks_at_one_instruction_are_two_collectives() {
    let body = "setp.lt.u32 %p1, %r1, 16; selp.u32 %r4, 0xffff, 0xffff0000, %p1;
        redux.sync.add.u32 %r3, %r1, %r4; mul.wide.u32 %rd2, %r1, 4; add.u64 %rd2, %rd2, %rd1;
        st.global.u32 [%rd2], %r3;";
    let after = launch(1, 32, body).unwrap();
    assert_eq!((after[0], after[31]), (120, 376));
}

#[test]
fn barriers_are_reached_by_all() {
    let exited = "setp.lt.u32 %p1, %r1, 32; @!%p1 ret; bar.sync 0;";
    let what = illegal(64, exited);
    assert!(
        what.contains("barrier 0 is not reached") && what.contains("has exited"),
        "{what}"
    );
    let crossed = "setp.lt.u32 %p1, %r1, 32; @%p1 bra L; bar.sync 1; L: bar.sync 0;";
    assert!(illegal(64, crossed).contains("is not reached"));
    let twice = "setp.lt.u32 %p1, %r1, 16; @%p1 bra L; bar.sync 0; ret; L: bar.sync 0;";
    assert!(illegal(32, twice).contains("two barriers"));
}

#[test]
fn threads_that_wait_for_others_get_them() {
    // A lock that the lanes of a warp take in turn.
    let lock = "L: atom.global.cas.b32 %r3, [%rd1], 0, 1; setp.ne.u32 %p1, %r3, 0; @%p1 bra L;
        ld.volatile.global.u32 %r4, [%rd1+4]; add.u32 %r4, %r4, 1; st.volatile.global.u32 [%rd1+4], %r4;
        atom.global.exch.b32 %r3, [%rd1], 0;";
    assert_eq!(launch(1, 64, lock).unwrap()[1], 64);
    // The first block waits for the last.
    let grid = "atom.global.add.u32 %r3, [%rd1], 1;
        L: ld.volatile.global.u32 %r3, [%rd1]; setp.lt.u32 %p1, %r3, 160; @%p1 bra L;";
    assert_eq!(launch(5, 32, grid).unwrap()[0], 160);
}

#[test]
fn a_guard_is_read_once() {
    let body = "setp.ge.u32 %p1, %r1, 0; setp.lt.u32 %p2, %r1, 0;
        @%p1 setp.lt.u32 %p1|%p2, %r1, 0; selp.u32 %r3, 1, 0, %p2; st.global.u32 [%rd1], %r3;";
    assert_eq!(launch(1, 1, body).unwrap()[0], 1);
}

#[test]
fn the_active_mask_is_of_those_together() {
    let body = "setp.lt.u32 %p1, %r1, 5; @!%p1 bra L; activemask.b32 %r3; st.global.u32 [%rd1], %r3; L:";
    assert_eq!(launch(1, 32, body).unwrap()[0], 0x1f);
}

#[test]
fn zero_divides_nothing() {
    assert!(illegal(1, "div.s32 %r3, %r1, %r1;").contains("by zero"));
    launch(1, 1, "setp.ne.u32 %p1, %r1, 0; @%p1 rem.u32 %r3, %r1, %r1;").unwrap();
}

#[test]
fn copies_happen_when_they_are_waited_for() {
    let copy = |wait: &str| {
        let body = format!(
            "st.global.u32 [%rd1], 7; st.shared.u32 [s], 3; mov.u32 %r3, s;
            cp.async.ca.shared.global [%r3], [%rd1], 4; cp.async.commit_group; {wait}
            ld.shared.u32 %r4, [s]; st.global.u32 [%rd1+16], %r4;"
        );
        launch(1, 1, &body).unwrap()[4]
    };
    assert_eq!(copy(""), 3);
    assert_eq!(copy("cp.async.wait_group 1;"), 3);
    assert_eq!(copy("cp.async.wait_group 0;"), 7);
    assert_eq!(copy("cp.async.wait_all;"), 7);
    // Of a source of no bytes, nothing is read.
    let nothing = "mov.u64 %rd2, 0; mov.u32 %r3, s; mov.u32 %r5, 0;
        cp.async.cg.shared.global [%r3], [%rd2], 16, %r5; cp.async.wait_all; ld.shared.u32 %r4, [s+12];
        st.global.u32 [%rd1], %r4;";
    assert_eq!(launch(1, 1, nothing).unwrap()[0], 0);
}

#[test]
fn a_stack_of_any_size() {
    let body = "mov.u64 %rd2, 24; stacksave.u64 %rd4; alloca.u64 %rd3, %rd2, 16; st.local.u32 [%rd3+20], 5;
        ld.local.u32 %r3, [%rd3+20]; st.global.u32 [%rd1], %r3; stackrestore.u64 %rd4;";
    assert_eq!(launch(1, 1, body).unwrap()[0], 5);
    let gone = body.to_owned() + "ld.local.u32 %r3, [%rd3+20];";
    assert!(matches!(launch(1, 1, &gone), Err(Fault::IllegalAddress(_))));
}

#[test]
fn who_only_arrives_may_not_arrive_again() {
    let producer = "setp.lt.u32 %p1, %r1, 32; @%p1 bra L; bar.arrive 1, 64; bar.arrive 1, 64; L:";
    assert!(illegal(64, producer).contains("already"));
    let both = "setp.lt.u32 %p1, %r1, 32; @%p1 bra L; bar.arrive 1, 64; ret; L: bar.sync 1, 64;";
    launch(1, 64, both).unwrap();
    launch(1, 64, &exchange("barrier.sync 0, 64;", 32)).unwrap();
    launch(1, 48, &exchange("bar.sync 0, 64;", 1)).unwrap();
}

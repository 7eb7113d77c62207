//! Every operation is shown by one span of the crate `tracing`, with what it is and what became of it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber, subscriber};
use warpcomm::{
    AnyBuffer, AnyBufferMut, Blocks, Communicator, Config, ErrorKind, Op, PROC_NULL, Result, Source, Tag,
    wait_any,
};

/// The fields of a span, by their names.
type Fields = BTreeMap<&'static str, String>;

/// A subscriber that keeps what it is shown.
struct Collector;

/// The subscriber panics when a message with this tag ends.
const SORE_TAG: &str = "666";

static NEXT: AtomicU64 = AtomicU64::new(1);
static OPEN: Mutex<Option<HashMap<u64, Fields>>> = Mutex::new(None);
static CLOSED: Mutex<Vec<Fields>> = Mutex::new(Vec::new());

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "warpcomm"
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut fields = Fields::new();
        attributes.record(&mut Reader(&mut fields));
        fields.insert("entered", "0".to_owned());
        fields.insert("references", "1".to_owned());
        lock(&OPEN).get_or_insert_default().insert(number, fields);
        Id::from_u64(number)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut recorded = Fields::new();
        values.record(&mut Reader(&mut recorded));
        let ends = recorded.contains_key("outcome");
        let mut is_sore = false;
        if let Some(fields) = lock(&OPEN).get_or_insert_default().get_mut(&id.into_u64()) {
            is_sore = fields.get("tag").is_some_and(|tag| tag == SORE_TAG);
            for (name, value) in recorded {
                if fields.insert(name, value).is_some() {
                    fields.insert("twice", name.to_owned());
                }
            }
        }
        assert!(!is_sore || !ends, "on purpose");
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        if let Some(fields) = lock(&OPEN).get_or_insert_default().get_mut(&id.into_u64()) {
            let entered: usize = fields["entered"].parse().unwrap();
            fields.insert("entered", (entered + 1).to_string());
        }
    }

    fn exit(&self, _: &Id) {}

    fn clone_span(&self, id: &Id) -> Id {
        add(id, 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let over = add(&id, -1) == Some(0);
        if over && let Some(fields) = lock(&OPEN).get_or_insert_default().remove(&id.into_u64()) {
            let is_sore = fields.get("tag").is_some_and(|tag| tag == SORE_TAG);
            lock(&CLOSED).push(fields);
            assert!(!is_sore, "on purpose");
        }
        over
    }
}

fn add(id: &Id, change: i32) -> Option<i32> {
    let mut open = lock(&OPEN);
    let fields = open.get_or_insert_default().get_mut(&id.into_u64())?;
    let references = fields.get("references")?.parse::<i32>().ok()? + change;
    fields.insert("references", references.to_string());
    Some(references)
}

/// The spans of a program on so many ranks, one test at a time.
fn traced(ranks: usize, program: impl Fn(Communicator) -> Result<()> + Sync) -> Vec<Fields> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    static SUBSCRIBED: Once = Once::new();
    let _guard = lock(&ONE_AT_A_TIME);
    SUBSCRIBED.call_once(|| subscriber::set_global_default(Collector).unwrap());
    lock(&CLOSED).clear();
    let outcomes = Communicator::threads_with(&Config::default(), ranks, program).unwrap();
    outcomes.into_iter().for_each(|outcome| outcome.unwrap());
    let deadline = Instant::now() + Duration::from_secs(10);
    while !lock(&OPEN).get_or_insert_default().is_empty() {
        assert!(Instant::now() < deadline, "never closed: {:?}", lock(&OPEN));
    }
    let spans = std::mem::take(&mut *lock(&CLOSED));
    let twice = spans.iter().find(|span| span.contains_key("twice"));
    assert_eq!(twice, None, "each field is recorded once");
    spans
}

/// Checks that one span, and no other of this operation on this rank, has these fields; `""` is one that is missing.
fn expect(spans: &[Fields], operation: &str, rank: usize, fields: &[(&str, &str)]) {
    let of_operation: Vec<&Fields> = spans
        .iter()
        .filter(|span| span["operation"] == operation && span["rank"] == rank.to_string())
        .collect();
    let fits = |span: &&&Fields| {
        fields
            .iter()
            .all(|(name, value)| span.get(name).map_or("", String::as_str) == *value)
    };
    assert_eq!(
        of_operation.iter().filter(fits).count(),
        1,
        "{operation} on rank {rank} with {fields:?}, among {of_operation:#?}"
    );
}

/// The fields of a message of `bytes` bytes.
fn message<'a>(
    peer: (&'a str, &'a str),
    tag: &'a str,
    bytes: &'a str,
    path: &'a str,
) -> Vec<(&'a str, &'a str)> {
    vec![
        peer,
        ("tag", tag),
        ("bytes", bytes),
        ("dtype", "f64"),
        ("path", path),
        ("outcome", "ok"),
        ("sequence", ""),
    ]
}

#[test]
fn messages() {
    let (short, long) = ([1.5f64; 3], vec![2.5f64; 1000]);
    let spans = traced(2, |comm| {
        let mut into = vec![0f64; 1000];
        if comm.rank() == 0 {
            comm.send(&short, 1, Tag(7))?;
            comm.send(&long, 1, Tag(8))?;
            comm.ssend(&short, 1, Tag(9))?;
            comm.rsend(&short, 1, Tag(10))?;
            comm.bsend(&long, 1, Tag(11))?;
            comm.isend(short.to_vec(), 1, Tag(12)).wait()?;
            comm.issend(short.to_vec(), 1, Tag(13)).wait()?;
            let mut persistent = comm.send_init(long.clone(), 1, Tag(14));
            persistent.start()?;
            persistent.wait()?;
            comm.scope(|scope| scope.isend(&long, 1, Tag(15)).map(drop))?;
            comm.send(&short, PROC_NULL, Tag(16))?;
        } else {
            comm.recv(&mut into, 0, Tag(7))?;
            comm.recv(&mut into, Source::Any, Tag::ANY)?;
            for tag in 9..12 {
                comm.recv(&mut into, 0, Tag(tag))?;
            }
            comm.irecv(into, 0, Tag(12)).wait()?;
            let mut into = vec![0f64; 1000];
            comm.mprobe(0, Tag(13))?.recv(&mut into)?;
            comm.probe(0, Tag(14))?;
            let mut persistent = comm.recv_init(into, 0, Tag(14));
            persistent.start()?;
            persistent.wait()?;
            let mut into = vec![0f64; 1000];
            comm.scope(|scope| scope.irecv(&mut into, 0, Tag(15)).map(drop))?;
        }
        let peer = 1 - comm.rank();
        comm.sendrecv(&short, peer, Tag(17), &mut into_short(), peer, Tag(17))?;
        comm.sendrecv_replace(&mut into_short(), peer, Tag(18), peer, Tag(18))?;
        Ok(())
    });
    let there = ("dest", "1");
    for (operation, tag, bytes, path) in [
        ("send", "7", "24", "inline"),
        ("send", "8", "8000", "rendezvous"),
        ("ssend", "9", "24", "rendezvous"),
        ("rsend", "10", "24", "inline"),
        ("bsend", "11", "8000", "rendezvous"),
        ("isend", "12", "24", "inline"),
        ("issend", "13", "24", "rendezvous"),
        ("persistent send", "14", "8000", "rendezvous"),
        ("isend", "15", "8000", "rendezvous"),
        ("sendrecv", "17", "24", "inline"),
    ] {
        expect(&spans, operation, 0, &message(there, tag, bytes, path));
    }
    expect(
        &spans,
        "send",
        0,
        &[("dest", "nobody"), ("path", ""), ("outcome", "ok")],
    );
    let here = ("source", "0");
    for (operation, tag, path) in [
        ("recv", "7", "inline"),
        ("recv", "9", "rendezvous"),
        ("recv", "11", "rendezvous"),
        ("irecv", "12", "inline"),
        ("mrecv", "13", "rendezvous"),
        ("persistent recv", "14", "rendezvous"),
        ("irecv", "15", "rendezvous"),
    ] {
        expect(&spans, operation, 1, &message(here, tag, "8000", path));
    }
    expect(
        &spans,
        "recv",
        1,
        &message(("source", "any"), "any", "8000", "rendezvous"),
    );
    expect(&spans, "mprobe", 1, &[here, ("tag", "13"), ("outcome", "ok")]);
    expect(&spans, "probe", 1, &[here, ("tag", "14"), ("outcome", "ok")]);
    for rank in 0..2 {
        let peer = (1 - rank).to_string();
        expect(
            &spans,
            "sendrecv",
            rank,
            &message(("source", &peer), "17", "24", "inline"),
        );
        expect(
            &spans,
            "sendrecv_replace",
            rank,
            &[("source", &peer), ("tag", "18")],
        );
        expect(
            &spans,
            "sendrecv_replace",
            rank,
            &[("dest", &peer), ("tag", "18")],
        );
    }
    // The thread of a blocking operation is inside its span; one that goes on by itself has no thread.
    let entered = |operation: &str| {
        let span = spans.iter().find(|span| span["operation"] == operation);
        span.map(|span| span["entered"].clone())
    };
    assert_eq!(entered("send").as_deref(), Some("1"));
    assert_eq!(entered("isend").as_deref(), Some("0"));
}

fn into_short() -> [f64; 3] {
    [0.0; 3]
}

#[test]
fn collectives() {
    const RANKS: usize = 3;
    let spans = traced(RANKS, |comm| {
        let rank = comm.rank();
        let (one, mut three) = ([rank as i32], [0i32; RANKS]);
        let blocks = Blocks::even(RANKS, RANKS);
        let mut large = vec![1f32; 100_000];
        comm.barrier()?;
        comm.bcast(&mut three, 1)?;
        comm.bcast(&mut large[..10_000], 0)?;
        comm.bcast(&mut large, 0)?;
        comm.gather(&one, &mut three, 0)?;
        comm.gatherv(&one, &mut three, &blocks, 0)?;
        comm.scatter(&three, &mut [0i32], 0)?;
        comm.scatterv(&three, &blocks, &mut [0i32], 0)?;
        comm.allgather(&one, &mut three)?;
        comm.allgatherv(&one, &mut three, &blocks)?;
        comm.alltoall(&[1i32, 2, 3], &mut three)?;
        comm.alltoallv(&[1i32, 2, 3], &blocks, &mut three, &blocks)?;
        let mut received = [[0u8]; RANKS];
        let send = [&[1u8]; RANKS].map(AnyBuffer::new);
        let mut recv = received.each_mut().map(AnyBufferMut::new);
        comm.alltoallw(&send, &mut recv)?;
        comm.reduce(&one, &mut [0i32], Op::Sum, 0)?;
        comm.allreduce(&one, &mut [0i32], Op::Sum)?;
        comm.allreduce_in_place(&mut large[..1000], Op::Sum)?;
        comm.allreduce_in_place(&mut large, Op::Sum)?;
        comm.reduce_scatter_block(&[1i32, 2, 3], &mut [0i32], Op::Sum)?;
        comm.reduce_scatter(&[1i32, 2, 3], &blocks, &mut [0i32], Op::Sum)?;
        comm.scan(&one, &mut [0i32], Op::Sum)?;
        comm.exscan(&one, &mut [0i32], Op::Sum)?;
        let twin = comm.duplicate()?;
        twin.split(Some(rank as u32 % 2), 0)?;
        Ok(())
    });
    // In this order: each is the next collective of its communicator.
    let expected = [
        ("barrier", "", "0", ""),
        ("bcast", "i32", "12", "frames"),
        ("bcast", "f32", "40000", "tree"),
        ("bcast", "f32", "400000", "blocks"),
        ("gather", "i32", "4", "frames"),
        ("gatherv", "i32", "4", "frames"),
        ("scatter", "i32", "4", "frames"),
        ("scatterv", "i32", "4", "frames"),
        ("allgather", "i32", "4", "frames"),
        ("allgatherv", "i32", "4", "frames"),
        ("alltoall", "i32", "12", "frames"),
        ("alltoallv", "i32", "12", "direct"),
        ("alltoallw", "", "3", "direct"),
        ("reduce", "i32", "4", "frames"),
        ("allreduce", "i32", "4", "frames"),
        ("allreduce", "f32", "4000", "direct"),
        ("allreduce", "f32", "400000", "blocks"),
        ("reduce_scatter_block", "i32", "12", "frames"),
        ("reduce_scatter", "i32", "12", "direct"),
        ("scan", "i32", "4", "frames"),
        ("exscan", "i32", "4", "frames"),
        ("duplicate", "", "0", ""),
    ];
    for rank in 0..RANKS {
        for (sequence, (operation, dtype, bytes, path)) in expected.into_iter().enumerate() {
            let sequence = sequence.to_string();
            let mut fields = vec![
                ("sequence", &*sequence),
                ("dtype", dtype),
                ("path", path),
                ("outcome", "ok"),
                ("tag", ""),
            ];
            // What ranks without data of their own say of bytes is their own matter.
            if rank == 0 && !operation.contains("scatter") {
                fields.push(("bytes", bytes));
            }
            expect(&spans, operation, rank, &fields);
        }
        let first = [("sequence", "0"), ("dtype", ""), ("path", ""), ("outcome", "ok")];
        expect(&spans, "split", rank, &first);
    }
    assert_eq!(spans.len(), RANKS * (expected.len() + 1), "a span each");
}

#[test]
fn a_span_ends_with_its_operation_and_not_with_its_request() {
    traced(2, |comm| {
        let peer = 1 - comm.rank();
        let receive = comm.irecv(vec![0u8; 5000], peer, Tag(21));
        comm.send(&[1u8; 5000], peer, Tag(21))?;
        while !receive.is_done() {}
        let rank = comm.rank().to_string();
        let is_closed = lock(&CLOSED)
            .iter()
            .any(|span| span["operation"] == "irecv" && span["rank"] == rank);
        assert!(is_closed);
        receive.wait().map(drop)?;
        Ok(())
    });
}

#[test]
fn what_fails_says_so() {
    let spans = traced(2, |comm| {
        if comm.rank() == 0 {
            // Refused at the door, while it runs, by its receiver; and taken back.
            comm.isend(vec![1u8], 9, Tag(1)).wait().unwrap_err();
            comm.send(&[1u8], 9, Tag(2)).unwrap_err();
            comm.send(&[1u8; 5000], 1, Tag(3)).unwrap_err();
            let receive = comm.irecv(vec![1u8], 1, Tag(4));
            receive.cancel()?;
            receive.wait()?;
            let impatient = comm.with_timeout(Some(Duration::from_millis(20)));
            let error = impatient.recv(&mut [0u8], 1, Tag(5)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            // The deadline has poisoned the communicator.
            comm.barrier().unwrap_err();
        } else {
            comm.recv(&mut [0u8; 10], 0, Tag(3)).unwrap_err();
        }
        Ok(())
    });
    for (operation, rank, tag, outcome) in [
        ("isend", 0, "1", "InvalidArgument"),
        ("send", 0, "2", "InvalidArgument"),
        ("send", 0, "3", "Truncated"),
        ("irecv", 0, "4", "ok"),
        ("recv", 0, "5", "Timeout"),
        ("recv", 1, "3", "Truncated"),
    ] {
        expect(&spans, operation, rank, &[("tag", tag), ("outcome", outcome)]);
    }
    expect(&spans, "barrier", 0, &[("outcome", "Timeout")]);
    assert_eq!(spans.len(), 7, "a span each");
}

#[test]
fn a_wait_does_not_say_how_requests_end() {
    let spans = traced(2, |comm| {
        let twin = comm.duplicate()?;
        if comm.rank() == 1 {
            comm.send(&[1u8], 0, Tag(1))?;
            comm.recv(&mut [0u8], 0, Tag(2))?;
            comm.send(&[1u8], 0, Tag(3))?;
            return twin.send(&[1u8], 0, Tag(4));
        }
        let (first, second) = (comm.irecv(vec![0u8], 1, Tag(1)), comm.irecv(vec![0u8], 1, Tag(3)));
        assert_eq!(wait_any(&[&first, &second])?, Some(0));
        // Nor does one that takes too long.
        let impatient = twin.with_timeout(Some(Duration::from_millis(20)));
        let late = impatient.irecv(vec![0u8], 1, Tag(4));
        let error = wait_any(&[&late]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        comm.send(&[1u8], 1, Tag(2))?;
        second.wait()?;
        let has_ended = || {
            lock(&CLOSED)
                .iter()
                .any(|span| span.get("tag").is_some_and(|tag| tag == "4"))
        };
        while !has_ended() {
            late.is_done();
        }
        first.wait()?;
        Ok(())
    });
    for tag in ["1", "3", "4"] {
        expect(
            &spans,
            "irecv",
            0,
            &[("tag", tag), ("outcome", "ok"), ("entered", "0")],
        );
    }
}

#[test]
fn a_subscriber_that_panics_is_left_alone() {
    let tag = Tag(SORE_TAG.parse().unwrap());
    let spans = traced(2, |comm| {
        let peer = 1 - comm.rank();
        for _ in 0..3 {
            let receive = comm.irecv(vec![0u8; 5000], peer, tag);
            comm.isend(vec![1u8; 5000], peer, tag).wait()?;
            assert_eq!(receive.wait()?.0, [1; 5000]);
            comm.barrier()?;
        }
        Ok(())
    });
    assert_eq!(spans.len(), 2 * 3 * 3, "a span each");
}

#[cfg(feature = "serde")]
#[test]
fn objects() {
    let text = "x".repeat(1000);
    let spans = traced(2, |comm| {
        let peer = 1 - comm.rank();
        if comm.rank() == 0 {
            comm.isend_object(&text, 1, Tag(1)).wait()?;
            comm.send_object(&text, 1, Tag(2))?;
        } else {
            comm.recv_object::<String>(0, Tag(1))?;
            comm.irecv_object::<String>(0, Tag(2)).wait()?;
        }
        comm.sendrecv_object::<_, String>(&text, peer, Tag(3), peer, Tag(3))?;
        comm.bcast_object(Some(text.clone()), 1)?;
        comm.allgather_object(&text)?;
        Ok(())
    });
    for span in &spans {
        let bytes: usize = span["bytes"].parse().unwrap();
        assert!((1000..1100).contains(&bytes), "{span:?}");
        assert_eq!(span["outcome"], "ok", "{span:?}");
        // The thread is inside in each of the steps.
        let entered: usize = span["entered"].parse().unwrap();
        match span["operation"].as_str() {
            "isend_object" | "irecv_object" => assert_eq!(entered, 0),
            "bcast_object" | "allgather_object" => assert!(entered > 1, "{span:?}"),
            _ => assert_eq!(entered, 1),
        }
    }
    assert_eq!(spans.len(), 4 + 2 * 4, "a span each");
}

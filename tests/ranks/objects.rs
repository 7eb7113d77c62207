//! Messages and collectives of values of any type, and everything that may be wrong with them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use warpcomm::{
    AnyRequest, Communicator, Config, ErrorKind, Fault, FaultAction, Op, PROC_NULL, Result, Source, Tag,
    wait_all,
};

use super::common::{next, previous, still_works};
use crate::harness::{Outcome, covered, expect_error, expect_text};

cases! {
    messages_of_every_length: 1..=4;
    requests: 1..=3;
    wildcards_and_order: 2..=4;
    several_threads_receive: 2..=2, threads;
    nobody: 1..=2;
    another_type: 2..=3;
    objects_and_elements: 2..=3;
    values_that_cannot_be_sent: 2..=3;
    bad_arguments: 1..=2;
    cancelled: 1..=2;
    collectives: 1..=7;
    large_values: 1..=4;
    reductions_keep_the_order: 1..=7;
    a_value_is_missing: 2..=5;
    serialization_fails_on_one_rank: 2..=5;
    deserialization_fails_on_one_rank: 2..=5;
    one_rank_panics: 2..=5;
    types_differ: 2..=5;
    roots_and_operations_differ: 2..=5;
    a_fold_fails_where_it_is_taken_over: 3..=7;
    a_failed_message_of_a_collective: 1..=1, threads;
}

/// A value that tells where it is from, of a length that depends on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Letter {
    from: usize,
    words: BTreeMap<String, Vec<Option<f64>>>,
    kind: Kind,
    #[serde(with = "serde_bytes")]
    enclosed: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Nothing,
    Pair(i32, char),
    Deep { inner: Box<Kind> },
}

fn letter(from: usize, length: usize) -> Letter {
    let deep = Kind::Deep {
        inner: Box::new(Kind::Pair(-7, 'é')),
    };
    let word = |number: usize| (format!("word {number}"), vec![Some(number as f64 / 4.0), None]);
    Letter {
        from,
        words: (0..length % 7).map(word).collect(),
        kind: if from.is_multiple_of(2) {
            deep
        } else {
            Kind::Nothing
        },
        enclosed: vec![from as u8; length],
    }
}

/// Fails, or panics, on its way, for the rank that asks for it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Fragile {
    cannot_leave: bool,
    cannot_arrive: bool,
    panics: bool,
}

thread_local! {
    /// Whether fragile values arrive at this rank.
    static ARRIVES: Cell<bool> = const { Cell::new(true) };
}

impl Serialize for Fragile {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;

        let mut parts = serializer.serialize_tuple(2)?;
        parts.serialize_element("fragile")?;
        assert!(!self.panics, "broken on purpose");
        match self.cannot_leave {
            true => Err(serde::ser::Error::custom("cannot leave")),
            false => {
                parts.serialize_element(&self.cannot_arrive)?;
                parts.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Fragile, D::Error> {
        let (_, cannot_arrive) = <(String, bool)>::deserialize(deserializer)?;
        match cannot_arrive || !ARRIVES.get() {
            true => Err(serde::de::Error::custom("cannot arrive")),
            false => Ok(Fragile::default()),
        }
    }
}

fn messages_of_every_length(comm: &Communicator) -> Outcome {
    for length in [0, 1, 200, 3800, 4100, 100_000] {
        let sent = letter(comm.rank(), length);
        let (received, status) =
            comm.sendrecv_object::<_, Letter>(&sent, next(comm), Tag(3), previous(comm), Tag(3))?;
        assert_eq!(received, letter(previous(comm), length));
        assert_eq!((status.source(), status.tag()), (previous(comm), Tag(3)));
        assert!(status.count() > length as u64);
    }
    // Values without size, in a message all the same.
    let ((), status) = comm.sendrecv_object(&(), comm.rank(), Tag(0), comm.rank(), Tag(0))?;
    assert!(status.count() > 0);
    if comm.size() > 1 {
        // From rank to rank, blocking.
        if comm.rank() != 0 {
            comm.recv_object::<Letter>(comm.rank() - 1, Tag(1))?;
        }
        if comm.rank() + 1 != comm.size() {
            comm.send_object(&letter(comm.rank(), 50_000), comm.rank() + 1, Tag(1))?;
        }
    }
    for operation in ["send_object", "recv_object", "sendrecv_object"] {
        covered(operation, None, None);
    }
    Ok(())
}

fn requests(comm: &Communicator) -> Outcome {
    for length in [1, 50_000] {
        let incoming = comm.irecv_object::<Letter>(previous(comm), Tag(0));
        let outgoing = comm.isend_object(&letter(comm.rank(), length), next(comm), Tag(0));
        wait_all(&[&incoming as &dyn AnyRequest, &outgoing])?;
        outgoing.wait()?;
        let (object, status) = incoming.wait()?;
        assert_eq!(status.source(), previous(comm));
        assert_eq!(object.into_value()?, letter(previous(comm), length));
    }
    covered("isend_object", None, None);
    covered("irecv_object", None, None);
    Ok(())
}

fn wildcards_and_order(comm: &Communicator) -> Outcome {
    const EACH: usize = 6;
    let length = |number: usize| if number.is_multiple_of(2) { 3 } else { 20_000 };
    if comm.rank() != 0 {
        let value =
            |number| comm.isend_object(&(number, vec!['x'; length(number)]), 0, Tag(number as i32 % 2));
        let sends: Vec<_> = (0..EACH).map(value).collect();
        for send in sends {
            send.wait()?;
        }
        return still_works(comm);
    }
    // Half of them posted before they come, and what a probe has taken is received from where it lies.
    let ranks = comm.size() - 1;
    let posted: Vec<_> = (0..ranks * EACH / 2)
        .map(|_| comm.irecv_object::<(usize, Vec<char>)>(Source::Any, Tag::ANY))
        .collect();
    let mut next = vec![0; comm.size()];
    let mut check = |source: usize, (number, text): (usize, Vec<char>)| {
        assert_eq!((number, text.len()), (next[source], length(number)));
        next[source] += 1;
    };
    for request in posted {
        let (object, status) = request.wait()?;
        check(status.source(), object.into_value()?);
    }
    for _ in 0..ranks * EACH / 2 {
        let status = comm.probe(Source::Any, Tag::ANY)?;
        let (value, received) = comm.recv_object(status.source(), status.tag())?;
        assert_eq!(received, status);
        check(status.source(), value);
    }
    assert!(comm.iprobe(Source::Any, Tag::ANY)?.is_none());
    still_works(comm)
}

fn several_threads_receive(comm: &Communicator) -> Outcome {
    const EACH: usize = 40;
    let all: usize = (0..2 * EACH).sum();
    if comm.rank() == 0 {
        for number in 0..2 * EACH {
            comm.send_object(&(number, "x".repeat(number * 97)), 1, Tag(0))?;
        }
        return Ok(());
    }
    let receive = || -> Result<usize> {
        (0..EACH).try_fold(0, |sum, _| {
            let ((number, text), _) = comm.recv_object::<(usize, String)>(Source::Any, Tag(0))?;
            assert_eq!(text.len(), number * 97);
            Ok(sum + number)
        })
    };
    let sum = std::thread::scope(|scope| {
        let other = scope.spawn(receive);
        Ok::<_, warpcomm::Error>(receive()? + other.join().expect("no panic")?)
    })?;
    assert_eq!(sum, all);
    Ok(())
}

fn nobody(comm: &Communicator) -> Outcome {
    comm.send_object(&1u8, PROC_NULL, Tag(0))?;
    comm.isend_object(&1u8, PROC_NULL, Tag(0)).wait()?;
    let error = expect_error(
        comm.recv_object::<u8>(PROC_NULL, Tag(0)),
        ErrorKind::InvalidArgument,
    );
    expect_text(&error, &["recv_object", "from nobody"]);
    still_works(comm)
}

fn another_type(comm: &Communicator) -> Outcome {
    for length in [1, 3000] {
        if comm.rank() == 0 {
            for other in 1..comm.size() {
                comm.send_object(&vec![1.5f64; length], other, Tag(0))?;
                comm.send_object(&"behind".to_owned(), other, Tag(0))?;
            }
            continue;
        }
        let outcome = comm.recv_object::<Vec<u64>>(0, Tag(0));
        let error = expect_error(outcome, ErrorKind::Mismatch);
        let here = format!("recv_object on rank {} from rank 0", comm.rank());
        expect_text(&error, &[&here, "Vec<f64>", "Vec<u64>"]);
        // It was consumed, and what is behind it was not.
        assert_eq!(comm.recv_object::<String>(0, Tag(0))?.0, "behind");
    }
    still_works(comm)
}

fn objects_and_elements(comm: &Communicator) -> Outcome {
    for length in [1, 9000] {
        if comm.rank() == 0 {
            for other in 1..comm.size() {
                // Who waits for the receive learns of it.
                let refused = |outcome: Result<()>, parts: &[&str]| match length {
                    1 => outcome.unwrap(),
                    _ => expect_text(&expect_error(outcome, ErrorKind::Mismatch), parts),
                };
                refused(
                    comm.send_object(&vec![7u8; length], other, Tag(0)),
                    &["send_object on rank 0", "an object of", "met a receive of u8"],
                );
                refused(
                    comm.send(&vec![7u8; length], other, Tag(0)),
                    &["a message of 9000 u8 met a receive of an object"],
                );
                comm.send_object(&1u8, other, Tag(0))?;
            }
            continue;
        }
        let mut buffer = vec![1u8; 3 * length + 100];
        let error = expect_error(comm.recv(&mut buffer, 0, Tag(0)), ErrorKind::Mismatch);
        expect_text(
            &error,
            &["recv on rank", "an object of", "bytes met a receive of u8"],
        );
        assert!(buffer.iter().all(|&byte| byte == 1), "nothing is written");
        let error = expect_error(
            comm.recv_object::<Vec<u8>>(Source::Any, Tag(0)),
            ErrorKind::Mismatch,
        );
        expect_text(
            &error,
            &[&format!("a message of {length} u8 met a receive of an object")],
        );
        assert_eq!(comm.recv_object::<u8>(0, Tag(0))?.0, 1);
    }
    still_works(comm)
}

fn values_that_cannot_be_sent(comm: &Communicator) -> Outcome {
    let broken = Fragile {
        cannot_leave: true,
        ..Fragile::default()
    };
    let here = format!("on rank {} to rank {}", comm.rank(), next(comm));
    let error = expect_error(
        comm.send_object(&broken, next(comm), Tag(0)),
        ErrorKind::InvalidArgument,
    );
    expect_text(&error, &["send_object", &here, "Fragile", "cannot leave"]);
    let outcome = comm.isend_object(&broken, next(comm), Tag(0)).wait();
    expect_text(
        &expect_error(outcome, ErrorKind::InvalidArgument),
        &["isend_object", &here],
    );
    // Nothing was sent; a value that cannot be received is consumed.
    let sent = Fragile {
        cannot_arrive: true,
        ..Fragile::default()
    };
    let outcome = comm.sendrecv_object::<_, Fragile>(&sent, next(comm), Tag(0), previous(comm), Tag(0));
    expect_text(&expect_error(outcome, ErrorKind::Mismatch), &["cannot arrive"]);
    assert!(comm.iprobe(Source::Any, Tag::ANY)?.is_none());
    still_works(comm)
}

fn bad_arguments(comm: &Communicator) -> Outcome {
    let size = comm.size();
    let kinds = [
        comm.send_object(&1u8, size, Tag(0)),
        comm.send_object(&1u8, 0, Tag(-2)),
        comm.recv_object::<u8>(size, Tag(0)).map(drop),
        comm.isend_object(&1u8, size, Tag(0))
            .wait()
            .map(drop)
            .map_err(Into::into),
        comm.irecv_object::<u8>(0, Tag(-2))
            .wait()
            .map(drop)
            .map_err(Into::into),
        comm.bcast_object(Some(1u8), size).map(drop),
        comm.gather_object(&1u8, size).map(drop),
        comm.scatter_object(Some(vec![1u8; size]), size).map(drop),
        comm.reduce_object(1u8, |left, _| left, size).map(drop),
    ];
    for outcome in kinds {
        expect_error(outcome, ErrorKind::InvalidArgument);
    }
    still_works(comm)
}

fn cancelled(comm: &Communicator) -> Outcome {
    let request = comm.irecv_object::<String>(Source::Any, Tag(0));
    request.cancel()?;
    let (object, status) = request.wait()?;
    assert!(status.is_cancelled());
    expect_error(object.into_value(), ErrorKind::InvalidArgument);
    still_works(comm)
}

fn collectives(comm: &Communicator) -> Outcome {
    for length in [0, 40, 5000] {
        each_collective(comm, length)?;
    }
    for (operation, _) in calls::<()>() {
        covered(operation, None, None);
    }
    still_works(comm)
}

fn large_values(comm: &Communicator) -> Outcome {
    each_collective(comm, 600_000)
}

fn each_collective(comm: &Communicator, length: usize) -> Outcome {
    let (rank, ranks) = (comm.rank(), comm.size());
    let own = letter(rank, length + rank);
    let all: Vec<Letter> = (0..ranks).map(|rank| letter(rank, length + rank)).collect();
    // From one rank to another.
    let between = |from: usize, to: usize| letter(10 * from + to, if from == 1 { 0 } else { length + to });
    for root in [0, ranks - 1] {
        let value = (rank == root).then(|| own.clone());
        assert_eq!(comm.bcast_object(value, root)?, all[root]);
        let gathered = comm.gather_object(&own, root)?;
        assert_eq!(gathered, (rank == root).then(|| all.clone()));
        let parts = (rank == root).then(|| (0..ranks).map(|to| between(root, to)).collect());
        assert_eq!(comm.scatter_object(parts, root)?, between(root, rank));
    }
    assert_eq!(comm.allgather_object(&own)?, all);
    let outgoing = (0..ranks).map(|to| between(rank, to)).collect();
    let incoming: Vec<Letter> = (0..ranks).map(|from| between(from, rank)).collect();
    assert_eq!(comm.alltoall_object(outgoing)?, incoming);
    Ok(())
}

/// The canonical order in words: [0, n) splits at the largest power of two below n.
fn tree(first: usize, ranks: usize) -> String {
    match ranks {
        1 => format!("{first}"),
        _ => {
            let left = ranks.next_power_of_two() / 2;
            format!("({} {})", tree(first, left), tree(first + left, ranks - left))
        }
    }
}

fn reductions_keep_the_order(comm: &Communicator) -> Outcome {
    let (rank, ranks) = (comm.rank(), comm.size());
    let fold = |left: String, right: String| format!("({left} {right})");
    for root in 0..ranks {
        let folded = comm.reduce_object(rank.to_string(), fold, root)?;
        assert_eq!(folded, (rank == root).then(|| tree(0, ranks)));
    }
    assert_eq!(comm.allreduce_object(rank.to_string(), fold)?, tree(0, ranks));
    let long = comm.allreduce_object("x".repeat(3000), |left, right| left + &right)?;
    assert_eq!(long.len(), 3000 * ranks);
    Ok(())
}

/// A collective on values of which this rank has `own`: from `giver` if one gives, to `taker` if one takes.
type Call<T> = fn(&Communicator, &T, usize, usize) -> Result<()>;

/// Each collective.
fn calls<T: Clone + Serialize + serde::de::DeserializeOwned>() -> [(&'static str, Call<T>); 8] {
    [
        ("bcast_object", |comm, own, giver, _| {
            comm.bcast_object(Some(own.clone()), giver).map(drop)
        }),
        ("scatter_object", |comm, own, giver, _| {
            comm.scatter_object(Some(vec![own.clone(); comm.size()]), giver)
                .map(drop)
        }),
        ("gather_object", |comm, own, _, taker| {
            comm.gather_object(own, taker).map(drop)
        }),
        ("allgather_object", |comm, own, _, _| {
            comm.allgather_object(own).map(drop)
        }),
        ("alltoall_object", |comm, own, _, _| {
            comm.alltoall_object(vec![own.clone(); comm.size()]).map(drop)
        }),
        ("reduce_object", |comm, own, _, taker| {
            comm.reduce_object(own.clone(), |left, _| left, taker).map(drop)
        }),
        ("reduce_object", |comm, own, giver, _| {
            comm.reduce_object(own.clone(), |left, _| left, giver).map(drop)
        }),
        ("allreduce_object", |comm, own, _, _| {
            comm.allreduce_object(own.clone(), |left, _| left).map(drop)
        }),
    ]
}

fn a_value_is_missing(comm: &Communicator) -> Outcome {
    let (odd, ranks) = (comm.size() - 1, comm.size());
    let values = |number: usize| vec![1u8; if comm.rank() == odd { number } else { ranks }];
    let outcomes = [
        (
            "bcast_object",
            "no value",
            comm.bcast_object(None::<u8>, odd).map(drop),
        ),
        (
            "scatter_object",
            "no values",
            comm.scatter_object(None::<Vec<u8>>, odd).map(drop),
        ),
        (
            "scatter_object",
            "values for",
            comm.scatter_object(Some(values(ranks + 1)), odd).map(drop),
        ),
        (
            "alltoall_object",
            "values for",
            comm.alltoall_object(values(1)).map(drop),
        ),
    ];
    for (operation, why, outcome) in outcomes {
        fails_because_of(comm, odd, outcome, ErrorKind::InvalidArgument, &[operation, why]);
    }
    still_works(comm)
}

/// Checks that the odd rank has an error of its own kind, and the others one that names that rank.
#[track_caller]
fn fails_because_of(comm: &Communicator, odd: usize, outcome: Result<()>, kind: ErrorKind, parts: &[&str]) {
    let others = match kind {
        ErrorKind::Mismatch => kind,
        _ => ErrorKind::PeerFailed,
    };
    let is_odd = comm.rank() == odd;
    let error = expect_error(outcome, if is_odd { kind } else { others });
    expect_text(&error, parts);
    if !is_odd {
        expect_text(&error, &[&format!("rank {odd} failed: ")]);
    }
}

fn serialization_fails_on_one_rank(comm: &Communicator) -> Outcome {
    let odd = comm.size() - 1;
    let own = Fragile {
        cannot_leave: comm.rank() == odd,
        ..Fragile::default()
    };
    for (operation, call) in calls() {
        let outcome = call(comm, &own, odd, 0);
        fails_because_of(
            comm,
            odd,
            outcome,
            ErrorKind::InvalidArgument,
            &[operation, "cannot leave"],
        );
        still_works(comm)?;
    }
    Ok(())
}

fn deserialization_fails_on_one_rank(comm: &Communicator) -> Outcome {
    let odd = comm.size() - 1;
    for (operation, call) in calls() {
        // A reduction may as well fail at rank 0, which takes over on the way.
        let odd = if operation == "reduce_object" { 0 } else { odd };
        let giver = usize::from(odd == 0);
        ARRIVES.set(comm.rank() != odd);
        let outcome = call(comm, &Fragile::default(), giver, odd);
        ARRIVES.set(true);
        fails_because_of(
            comm,
            odd,
            outcome,
            ErrorKind::Mismatch,
            &[operation, "cannot arrive"],
        );
        still_works(comm)?;
    }
    Ok(())
}

fn one_rank_panics(comm: &Communicator) -> Outcome {
    let odd = comm.size() - 1;
    let own = Fragile {
        panics: comm.rank() == odd,
        ..Fragile::default()
    };
    for (operation, call) in calls() {
        let outcome = catch_unwind(AssertUnwindSafe(|| call(comm, &own, odd, 0)));
        goes_on(comm, odd, operation, outcome);
        still_works(comm)?;
    }
    Ok(())
}

/// Checks that a panic goes on where it was, and is an error elsewhere.
fn goes_on(comm: &Communicator, odd: usize, operation: &str, outcome: std::thread::Result<Result<()>>) {
    match outcome {
        Ok(outcome) => {
            assert_ne!(comm.rank(), odd, "the panic is lost");
            let text = [operation, "a panic: broken on purpose"];
            fails_because_of(comm, odd, outcome, ErrorKind::PeerFailed, &text);
        }
        Err(panic) => {
            assert_eq!(comm.rank(), odd);
            assert_eq!(panic.downcast_ref(), Some(&"broken on purpose"));
        }
    }
}

fn types_differ(comm: &Communicator) -> Outcome {
    let odd = comm.size() - 1;
    for ((operation, call), (_, other)) in calls::<Vec<u16>>().into_iter().zip(calls::<String>()) {
        let outcome = match comm.rank() == odd {
            true => other(comm, &"odd".to_owned(), 0, 0),
            false => call(comm, &vec![1; 200], 0, 0),
        };
        let error = expect_error(outcome, ErrorKind::Mismatch);
        expect_text(
            &error,
            &[operation, "alloc::string::String", "alloc::vec::Vec<u16>"],
        );
        still_works(comm)?;
    }
    Ok(())
}

fn roots_and_operations_differ(comm: &Communicator) -> Outcome {
    let (rank, ranks) = (comm.rank(), comm.size());
    let is_odd = rank == ranks - 1;
    for (operation, call) in calls::<u8>() {
        let root = usize::from(is_odd);
        if !operation.starts_with("all") {
            expect_error(call(comm, &1, root, root), ErrorKind::Mismatch);
            still_works(comm)?;
        }
        // What objects are made of, and one another.
        let elements = || comm.allgather(&[1u64], &mut vec![0; ranks]);
        let another = || comm.gather_object(&(), 1).map(drop);
        for outcome in [
            if is_odd { elements() } else { call(comm, &1, 0, 0) },
            if is_odd {
                comm.barrier()
            } else {
                call(comm, &1, 0, 0)
            },
            if is_odd { another() } else { call(comm, &1, 0, 0) },
        ] {
            expect_text(
                &expect_error(outcome, ErrorKind::Mismatch),
                &[operation, "disagree"],
            );
        }
        still_works(comm)?;
    }
    Ok(())
}

fn a_fold_fails_where_it_is_taken_over(comm: &Communicator) -> Outcome {
    // Rank 2 folds with rank 3, where there is one.
    let odd = if comm.size() > 3 { 2 } else { 0 };
    let right = if comm.size() > 3 { "3" } else { "2" };
    let fold = |left: String, other: String| {
        assert!(!other.starts_with(right), "broken on purpose");
        left
    };
    for root in 0..comm.size() {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            comm.reduce_object(comm.rank().to_string(), fold, root).map(drop)
        }));
        goes_on(comm, odd, "reduce_object", outcome);
        still_works(comm)?;
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        comm.allreduce_object(comm.rank().to_string(), fold).map(drop)
    }));
    goes_on(comm, odd, "allreduce_object", outcome);
    still_works(comm)
}

fn a_failed_message_of_a_collective(_: &Communicator) -> Outcome {
    // Nobody needs the deadline: it only ends a test that fails.
    let config = Config::default().timeout(Duration::from_secs(20));
    let mut told = 0;
    for ((operation, call), length) in calls::<String>()
        .into_iter()
        .flat_map(|call| [(call, 5), (call, 5000)])
    {
        // Frames are sent again in silence, so that a message without an error says nothing of the next.
        for (faulty, message) in (0..3).flat_map(|rank| (1..=20).map(move |message| (rank, message))) {
            println!("{operation} of {length}, message {message} of rank {faulty}");
            let fault = Fault::new(FaultAction::Fail, message, Some(faulty));
            let outcomes = Communicator::threads_with(&config.clone().fault(fault), 3, |comm| {
                let outcome = call(&comm, &"x".repeat(length), 1, 2);
                // In any case, as on the other ranks.
                (outcome, comm.allreduce_in_place(&mut [1u64; 100], Op::Sum))
            })?;
            let failed = outcomes.iter().filter(|(outcome, _)| outcome.is_err()).count();
            assert!(failed == 0 || failed == 3, "an error of one is an error of all");
            for (rank, (outcome, after)) in outcomes.into_iter().enumerate() {
                let kind = if rank == faulty {
                    ErrorKind::Mpi
                } else {
                    ErrorKind::PeerFailed
                };
                for error in [outcome, after].into_iter().filter_map(Result::err) {
                    assert_eq!(error.kind(), kind, "rank {rank}: {error}");
                    assert!(!error.to_string().contains("poisoned"), "rank {rank}: {error}");
                    told += 1;
                }
            }
        }
    }
    assert!(told > 0, "none of the faults was met");
    Ok(())
}

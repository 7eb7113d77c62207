//! Values of nested types there and back, hostile bytes, and what both cost in memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::decode::decode;
use super::encode::{HEAD_BYTES, SHORT, append, encode};
use crate::comm::Communicator;
use crate::error::ErrorKind;
use crate::message::Tag;

/// What a thread has allocated since it last looked.
#[derive(Clone, Copy, Default)]
struct Allocated {
    now: isize,
    peak: isize,
    /// Allocations of at least [`LARGE_BYTES`].
    large: usize,
}

const LARGE_BYTES: usize = 1 << 20;

thread_local! {
    static ALLOCATED: Cell<Allocated> = const {
        Cell::new(Allocated { now: 0, peak: 0, large: 0 })
    };
}

/// The system's allocator, which also counts.
struct Counting;

impl Counting {
    fn count(freed: usize, allocated: usize) {
        // A thread that ends has no counters any more.
        let _ = ALLOCATED.try_with(|cell| {
            let mut counted = cell.get();
            counted.now += allocated as isize - freed as isize;
            counted.peak = counted.peak.max(counted.now);
            counted.large += usize::from(allocated >= LARGE_BYTES);
            cell.set(counted);
        });
    }
}

// SAFETY: the system's allocator does it all; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::count(0, layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Counting::count(layout.size(), 0);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        Counting::count(layout.size(), bytes);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn counted<R>(work: impl FnOnce() -> R) -> (R, Allocated) {
    ALLOCATED.set(Allocated::default());
    let result = work();
    (result, ALLOCATED.get())
}

/// Something of everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Value {
    Nothing,
    Flag(bool),
    Numbers(i64, u8, f64, i128),
    Letter(char),
    Text(String),
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    Record {
        id: u64,
        name: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        inner: Option<Box<Value>>,
        empty: [(); 3],
    },
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nothing),
        any::<bool>().prop_map(Value::Flag),
        (any::<i64>(), any::<u8>(), any::<i32>(), any::<i128>())
            .prop_map(|(long, byte, whole, huge)| Value::Numbers(long, byte, f64::from(whole) / 8.0, huge)),
        any::<char>().prop_map(Value::Letter),
        ".{0,40}".prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::btree_map(".{0,5}", inner.clone(), 0..4).prop_map(Value::Map),
            (any::<u64>(), any::<Option<String>>(), prop::option::of(inner)).prop_map(|(id, name, inner)| {
                Value::Record {
                    id,
                    name,
                    inner: inner.map(Box::new),
                    empty: [(); 3],
                }
            }),
        ]
    })
}

fn there_and_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    let bytes = encode(&value).unwrap();
    assert_eq!(decode::<T>(&bytes).unwrap(), value);
    let most = match bytes.len() > 2 * SHORT {
        true => bytes.len(),
        false => 2 * bytes.len() + 200,
    };
    assert!(bytes.capacity() <= most, "{} of {most} bytes", bytes.capacity());
}

/// Whatever `bytes` are, they are a value or an error, and cost memory in proportion to them.
fn withstands<T: DeserializeOwned>(bytes: &[u8]) {
    let (outcome, allocated) = counted(|| decode::<T>(bytes));
    if let Err(error) = outcome {
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    }
    // A map of one element is a node for eleven.
    let most = 256 * bytes.len() + 4096;
    assert!(
        allocated.peak <= most as isize,
        "{} bytes for a message of {}: {:x?}",
        allocated.peak,
        bytes.len(),
        bytes
    );
}

/// A value of `T` in whose place some CBOR stands.
fn claiming<T: Serialize>(value: &T, body: &[u8]) -> Vec<u8> {
    let mut bytes = encode(value).unwrap();
    bytes.truncate(HEAD_BYTES + std::any::type_name::<T>().len());
    bytes.extend(body);
    bytes
}

/// Heads of items that promise much.
const PROMISES: &[&[u8]] = &[
    &[0x9b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    &[0x9a, 0, 0x10, 0, 0],
    &[0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xba, 0, 0x10, 0, 0],
    &[0x5b, 0, 0, 0, 0xff, 0, 0, 0, 0],
    &[0x7a, 0x7f, 0xff, 0xff, 0xff],
    &[0x9f],
    &[0xbf],
    &[0x5f],
    &[0xff],
    &[0x81],
    &[0xa1, 0x64, b'L', b'i', b's', b't'],
    &[0xc2],
    b"\x63Neg",
    b"\xa1\x63Neg",
    b"\x64Zero",
    b"\xa1\x64Zero",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_value_comes_back(value in values()) {
        there_and_back(value);
    }

    #[test]
    fn damaged_messages_are_values_or_errors(
        value in values(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        promise in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(PROMISES))),
        end in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = encode(&value).unwrap();
        let body = HEAD_BYTES + std::any::type_name::<Value>().len();
        if let Some((at, promise)) = promise {
            let at = body + at.index(bytes.len() - body);
            bytes.splice(at..at, promise.iter().copied());
        }
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len() + 1));
        }
        withstands::<Value>(&bytes);
        withstands::<Vec<String>>(&bytes);
    }

    #[test]
    fn random_bytes_are_values_or_errors(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::sample::select(PROMISES).prop_map(<[u8]>::to_vec),
                prop::collection::vec(any::<u8>(), 1..8),
            ],
            0..40,
        ),
    ) {
        let body = pieces.concat();
        withstands::<Value>(&body);
        withstands::<Value>(&claiming(&Value::Nothing, &body));
        withstands::<Vec<Vec<[u64; 4]>>>(&claiming(&Vec::<Vec<[u64; 4]>>::new(), &body));
        withstands::<HashMap<u8, Vec<()>>>(&claiming(&HashMap::<u8, Vec<()>>::new(), &body));
        withstands::<Nested>(&claiming(&Nested(Vec::new()), &body));
        withstands::<Any>(&claiming(&Any::Number(1), &body));
        withstands::<Vec<Term>>(&claiming(&Vec::<Term>::new(), &body));
        withstands::<Nothing>(&claiming(&Nothing(None), &body));
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nested(Vec<Nested>);

/// Variants with a value of the same type.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Term {
    Zero,
    Num(i64),
    Neg(Box<Term>),
    Sum(Box<Term>, Box<Term>),
    Named { term: Option<Box<Term>> },
}

/// A value that may be inside itself without a container.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nothing(Option<Box<Nothing>>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Any {
    Number(i64),
    Text(String),
    List(Vec<Any>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    first: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, Any>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Circle { radius: f64 },
    Point,
}

#[test]
fn every_way_of_serde_comes_back() {
    there_and_back(());
    there_and_back([(); 30]);
    there_and_back(vec![(); 1000]);
    there_and_back(Some(()));
    there_and_back((
        u64::MAX,
        i64::MIN,
        i128::MIN,
        u128::MAX,
        f32::MIN_POSITIVE,
        f64::INFINITY,
    ));
    there_and_back(HashMap::from([((1u8, 'x'), vec!["y".to_owned()])]));
    there_and_back(vec![
        Any::Number(-1),
        Any::Text("é".into()),
        Any::List(vec![Any::Number(7)]),
    ]);
    there_and_back(Flat {
        first: 1,
        rest: BTreeMap::from([("second".into(), Any::Number(2))]),
    });
    there_and_back(vec![Tagged::Circle { radius: 0.5 }, Tagged::Point]);
    there_and_back(vec![
        Term::Zero,
        Term::Neg(Box::new(Term::Num(-7))),
        Term::Sum(Box::new(Term::Zero), Box::new(Term::Neg(Box::new(Term::Zero)))),
        Term::Named { term: None },
        Term::Named {
            term: Some(Box::new(Term::Zero)),
        },
    ]);
    there_and_back((Some(Term::Zero), Some(Some(Term::Num(1))), Nothing(None)));
    there_and_back("x".repeat(10_000));
    there_and_back(std::net::IpAddr::from([127, 0, 0, 1]));
}

#[test]
fn another_type_is_named() {
    let error = decode::<Vec<u64>>(&encode(&7.5f32).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert_eq!(
        error.to_string(),
        "an object of the type f32 met a receive of the type alloc::vec::Vec<u64>"
    );
    // The same bytes under another name.
    assert!(decode::<u64>(&encode(&7u32).unwrap()).is_err());
}

#[test]
fn claims_cost_nothing() {
    for promise in PROMISES {
        withstands::<Vec<[u64; 32]>>(&claiming(&Vec::<[u64; 32]>::new(), promise));
        withstands::<Vec<u8>>(&claiming(&Vec::<u8>::new(), promise));
        withstands::<Nested>(&claiming(&Nested(Vec::new()), &promise.repeat(100)));
    }
    let mut longest_name = encode(&1u8).unwrap();
    longest_name[1..HEAD_BYTES].fill(0xff);
    withstands::<u8>(&longest_name);
    let mut another_layout = encode(&1u8).unwrap();
    another_layout[0] = 2;
    let error = decode::<u8>(&another_layout).unwrap_err();
    assert!(error.to_string().contains("layout 2"), "{error}");
}

#[test]
fn depth_is_bounded_on_both_sides() {
    let nested = |depth: usize| (0..depth).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner]));
    there_and_back(nested(super::shape::DEEPEST - 1));
    let error = encode(&nested(super::shape::DEEPEST)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("nested too deep"), "{error}");
    for head in [0x81, 0x9f, 0xc2] {
        withstands::<Nested>(&claiming(&Nested(Vec::new()), &vec![head; 1 << 20]));
        withstands::<Any>(&claiming(&Any::Number(1), &vec![head; 1 << 20]));
    }
}

#[test]
fn values_inside_each_other_need_containers() {
    let terms = |body: &[u8]| decode::<Vec<Term>>(&claiming(&Vec::<Term>::new(), body));
    assert_eq!(
        terms(b"\x82\x64Zero\xa1\x63Num\x05").unwrap(),
        [Term::Zero, Term::Num(5)]
    );
    // Its name does for a variant with a value, in one piece and in two.
    for name in [&b"\x63Neg"[..], b"\x7f\x62Ne\x61g\xff"] {
        let names = [&[0x9a, 0, 1, 0x86, 0xa0][..], &name.repeat(100_000)].concat();
        withstands::<Vec<Term>>(&claiming(&Vec::<Term>::new(), &names));
        assert_eq!(terms(&names).unwrap_err().kind(), ErrorKind::Mismatch);
    }
    withstands::<Nothing>(&claiming(&Nothing(None), &[0]));
    let negated = |times: usize| terms(&[&[0x81][..], &b"\xa1\x63Neg".repeat(times), b"\x64Zero"].concat());
    assert!(negated(super::shape::DEEPEST - 1).is_ok());
    assert!(negated(super::shape::DEEPEST).is_err());
}

#[test]
fn no_item_is_taken_for_another() {
    for body in [
        // What a variant has not, as the next element: in an array of as many as there are, and behind a name.
        &b"\x9f\xa1\x64Zero\xa1\x63Num\x05\xff"[..],
        b"\x82\xa1\x64Zero\x63Num\x05",
        b"\x81\xa1\x64Zero\x00",
        // The next element, as what a variant has not.
        b"\x9f\x63Num\x05\xff",
        b"\x9f\x7f\x62Nu\x61m\xff\x05\xff",
        b"\x9f\x63Neg\x64Zero\xff",
        b"\x9f\x63Sum\x82\x64Zero\x64Zero\xff",
        b"\x9f\x65Named\xa0\xff",
    ] {
        let message = claiming(&Vec::<Term>::new(), body);
        let error = decode::<Vec<Term>>(&message)
            .map(drop)
            .expect_err("two items for one");
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{body:x?}");
        withstands::<Vec<Option<Term>>>(&claiming(&Vec::<Option<Term>>::new(), body));
    }
}

/// A list whose end is far down.
#[derive(Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Chain>>,
}

#[test]
fn a_value_without_end_leaves_the_stack_alone() {
    let encoded = std::thread::Builder::new().stack_size(512 << 10).spawn(|| {
        let chain = (0..200_000).fold(Chain { next: None }, |chain, _| Chain {
            next: Some(Box::new(chain)),
        });
        let term = (0..200_000).fold(Term::Zero, |term, _| Term::Neg(Box::new(term)));
        let errors = [encode(&chain).map(drop), encode(&term).map(drop)];
        // Dropping them would use the stack.
        std::mem::forget((chain, term));
        errors
    });
    for error in encoded.unwrap().join().unwrap() {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("nested too deep"), "{error}");
    }
}

/// Fails in the middle, or the third time, when it has been measured.
struct Fails {
    times: Cell<u32>,
}

impl Serialize for Fails {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;

        self.times.set(self.times.get() + 1);
        let mut elements = serializer.serialize_seq(None)?;
        for _ in 0..self.times.get() {
            elements.serialize_element(&"an element".repeat(SHORT))?;
        }
        match self.times.get() > 3 {
            true => Err(serde::ser::Error::custom("out of elements")),
            false => elements.end(),
        }
    }
}

#[test]
fn values_that_cannot_be_serialized_are_errors() {
    for (times, text) in [(0, "another length"), (3, "out of elements")] {
        let error = encode(&Fails {
            times: Cell::new(times),
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn more_ranks_than_exchange_their_frames() {
    let last = 65;
    let outcomes = Communicator::threads(last + 1, |comm| {
        let own = "x".repeat(comm.rank());
        let all: Vec<String> = (0..comm.size()).map(|rank| "x".repeat(rank)).collect();
        assert_eq!(comm.bcast_object(Some(own.clone()), last)?, all[last]);
        assert_eq!(comm.gather_object(&own, last)?.is_some(), comm.rank() == last);
        assert_eq!(comm.scatter_object(Some(all.clone()), last)?, own);
        assert_eq!(comm.allgather_object(&own)?, all);
        assert_eq!(comm.alltoall_object(all.clone())?, vec![own; comm.size()]);
        let text = comm.rank().to_string();
        let sum = comm.allreduce_object(text, |left, right| left + " " + &right)?;
        assert_eq!(sum.split(' ').count(), comm.size());
        // One rank takes it for something else.
        match comm.rank() == last {
            true => comm.bcast_object(None::<u64>, 0).map(drop),
            false => comm.bcast_object(Some(7u8), 0).map(drop),
        }
    });
    for outcome in outcomes.unwrap() {
        let error: crate::Error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains("u64"), "{error}");
    }
}

#[test]
fn what_cannot_be_appended_leaves_what_there_was() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Deep(Vec<Deep>);
    let deep = |levels| (0..levels).fold(Deep(vec![]), |inner, _| Deep(vec![inner]));
    let padded = |bytes, levels| (serde_bytes::ByteBuf::from(vec![1u8; bytes]), deep(levels));
    for bytes in [0, SHORT - 100, SHORT, SHORT + 1, 3 * SHORT] {
        let mut message = b"head".to_vec();
        append(&padded(bytes, 200), &mut message).unwrap_err();
        assert_eq!(message, b"head");
        append(&padded(bytes, 3), &mut message).unwrap();
        assert_eq!(message[..4], *b"head");
        let value: (serde_bytes::ByteBuf, Deep) = decode(&message[4..]).unwrap();
        assert_eq!(value, padded(bytes, 3));
        assert_eq!(message[4..], encode(&value).unwrap());
    }
}

#[test]
fn bytes_are_copied_once_on_each_side() {
    let value = (
        7u8,
        serde_bytes::ByteBuf::from(vec![5u8; 8 * LARGE_BYTES]),
        "end".to_owned(),
    );
    Communicator::threads(1, |comm| {
        let (received, allocated) = counted(|| {
            comm.sendrecv_object::<_, (u8, serde_bytes::ByteBuf, String)>(&value, 0, Tag(0), 0, Tag(0))
        });
        assert!(received.unwrap().0 == value);
        // The message where it is sent, where it is received, and the field: a copy into each.
        assert_eq!(allocated.large, 3);
        let most = 3 * 8 * LARGE_BYTES + LARGE_BYTES / 2;
        assert!(allocated.peak <= most as isize, "{} bytes", allocated.peak);
    })
    .unwrap();
}

//! Dictionaries from rank to rank, as the first programs of the mpi4py tutorial send them: values of any type, which
//! serde serializes as pickle does in Python.
//!
//! ```text
//! $ warpcomm run -n 3 dictionary
//! send, recv: rank 1 has {'a': 7, 'b': 3.14}
//! isend, irecv: rank 1 has {'a': 7, 'b': 3.14}
//! bcast: rank 0 has {'key1': [7, 2.72, (2+3j)], 'key2': ('abc', 'xyz')}
//! bcast: rank 1 has {'key1': [7, 2.72, (2+3j)], 'key2': ('abc', 'xyz')}
//! bcast: rank 2 has {'key1': [7, 2.72, (2+3j)], 'key2': ('abc', 'xyz')}
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use warpcomm::{Communicator, Tag};

#[path = "shared/ranks.rs"]
mod ranks;

use ranks::{Failure, Rank};

/// Sends dictionaries from rank to rank and prints what arrives.
#[derive(clap::Args)]
struct Options {}

/// A value of Python, with its notation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Value {
    Integer(i64),
    Float(f64),
    Complex(f64, f64),
    Text(String),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dictionary(BTreeMap<String, Value>),
}

use Value::{Complex, Dictionary, Float, Integer, List, Text, Tuple};

fn main() -> ExitCode {
    ranks::run("dictionary", dictionary)
}

#[expect(clippy::approx_constant, reason = "the number of the tutorial")]
fn dictionary(rank: &Rank, _options: &Options) -> Result<(), Failure> {
    let comm = &rank.comm;
    let numbers = dict([("a", Integer(7)), ("b", Float(3.14))]);
    // A rank that is alone sends to itself.
    let receiver = 1 % comm.size();

    let received = send_and_receive(comm, &numbers, receiver)?;
    show(rank, "send, recv", received, &numbers)?;

    let received = send_and_receive_without_blocking(comm, &numbers, receiver)?;
    show(rank, "isend, irecv", received, &numbers)?;

    let keys = dict([
        ("key1", List(vec![Integer(7), Float(2.72), Complex(2.0, 3.0)])),
        ("key2", Tuple(vec![Text("abc".into()), Text("xyz".into())])),
    ]);
    let value = (comm.rank() == 0).then(|| keys.clone());
    let received = comm.bcast_object(value, 0)?;
    show(rank, "bcast", Some(received), &keys)
}

fn send_and_receive(comm: &Communicator, data: &Value, receiver: usize) -> warpcomm::Result<Option<Value>> {
    let tag = Tag(11);
    Ok(match (comm.rank() == 0, comm.rank() == receiver) {
        (true, true) => Some(comm.sendrecv_object(data, 0, tag, 0, tag)?.0),
        (true, false) => {
            comm.send_object(data, receiver, tag)?;
            None
        }
        (false, true) => Some(comm.recv_object(0, tag)?.0),
        (false, false) => None,
    })
}

fn send_and_receive_without_blocking(
    comm: &Communicator,
    data: &Value,
    receiver: usize,
) -> warpcomm::Result<Option<Value>> {
    let tag = Tag(11);
    let outgoing = (comm.rank() == 0).then(|| comm.isend_object(data, receiver, tag));
    let incoming = (comm.rank() == receiver).then(|| comm.irecv_object(0, tag));
    if let Some(request) = outgoing {
        request.wait()?;
    }
    match incoming {
        Some(request) => request.wait()?.0.into_value().map(Some),
        None => Ok(None),
    }
}

/// Prints what the ranks have received, each that has received something in a line, and compares it with what was
/// sent.
fn show(rank: &Rank, how: &str, received: Option<Value>, sent: &Value) -> Result<(), Failure> {
    let all = rank.comm.gather_object(&received, 0)?.unwrap_or_default();
    let line = |(rank, value): (usize, Option<Value>)| Some(format!("{how}: rank {rank} has {}", value?));
    let lines: Vec<String> = all.into_iter().enumerate().filter_map(line).collect();
    rank.print(&lines.join("\n"))?;
    rank.agree(match received.is_none_or(|received| received == *sent) {
        true => Ok(()),
        false => Err(format!("{how} gave another value than {sent}")),
    })
}

fn dict<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Dictionary(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |values: &[Value]| values.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Integer(number) => write!(f, "{number}"),
            Float(number) => write!(f, "{number:?}"),
            Complex(real, imaginary) => write!(f, "({real}{imaginary:+}j)"),
            Text(text) => write!(f, "'{text}'"),
            List(values) => write!(f, "[{}]", joined(values)),
            Tuple(values) => write!(f, "({})", joined(values)),
            Dictionary(entries) => {
                let entry = |(key, value): (&String, &Value)| format!("'{key}': {value}");
                write!(
                    f,
                    "{{{}}}",
                    entries.iter().map(entry).collect::<Vec<_>>().join(", ")
                )
            }
        }
    }
}

//! What is measured, and in which jobs.

use super::elements;
use super::sizes::Sizes;
use super::way::Way;
use crate::operation::Operation;
use crate::task::Series;

/// The greatest length where nobody says which, and by how much lengths go up.
const SIZES: (u64, u64, u64) = (8, 4 << 20, 2);

/// The same for a rough measurement.
const QUICK_SIZES: (u64, u64, u64) = (8, 512 << 10, 16);

/// An operation with its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub operation: Operation,
    pub dtype: String,
    pub op: Option<String>,
}

/// A job: everything that the same variables do for.
#[derive(Clone, Debug, PartialEq)]
pub struct JobPlan {
    /// The path to which it is forced.
    pub path: Option<String>,
    pub series: Vec<Series>,
}

/// The operations with each of the types and, if they are reductions, each of the reduction operations; where there are
/// none of these, with the usual ones.
pub fn cases(operations: &[Operation], dtypes: &[String], ops: &[String]) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    if !ops.is_empty() && !operations.iter().any(|operation| operation.is_reduction()) {
        return Err(format!("--op is for reductions, and `{}` is none", operations[0]));
    }
    if !dtypes.is_empty() {
        refuse_without_elements("--dtype", operations)?;
    }
    for &operation in operations {
        let usual = [match operation.is_reduction() {
            true => "f32".to_owned(),
            false => "u8".to_owned(),
        }];
        let usual_op = ["sum".to_owned()];
        let dtypes = match dtypes.is_empty() || !operation.has_elements() {
            true => &usual,
            false => dtypes,
        };
        for dtype in dtypes {
            let mut add = |op: Option<&String>| {
                let case = Case {
                    operation,
                    dtype: dtype.clone(),
                    op: op.cloned(),
                };
                if !cases.contains(&case) {
                    cases.push(case);
                }
            };
            if !operation.is_reduction() {
                add(None);
                continue;
            }
            for op in if ops.is_empty() { &usual_op } else { ops } {
                if !elements::takes(op, dtype) {
                    let others = elements::ops_of(dtype).join(", ");
                    return Err(format!(
                        "`{op}` is not defined on elements of type {dtype}; --op can be {others}"
                    ));
                }
                add(Some(op));
            }
        }
    }
    Ok(cases)
}

/// Fails where an option is for elements, and no operation has any.
pub fn refuse_without_elements(option: &str, operations: &[Operation]) -> Result<(), String> {
    match operations {
        [first, ..] if !operations.iter().any(|operation| operation.has_elements()) => {
            Err(format!("{option} is for elements, and `{first}` has none"))
        }
        _ => Ok(()),
    }
}

/// The lengths that are wanted, or the usual ones; the error names one that is no whole number of elements.
pub fn lengths(cases: &[Case], wanted: Option<&Sizes>, is_quick: bool) -> Result<Vec<u64>, String> {
    let with_elements = cases.iter().filter(|case| case.operation.has_elements());
    let sizes = with_elements.map(|case| (elements::size(&case.dtype), case.dtype.as_str()));
    let Some((longest, _)) = sizes.clone().max() else {
        if wanted.is_some() {
            let operations: Vec<Operation> = cases.iter().map(|case| case.operation).collect();
            refuse_without_elements("--sizes", &operations)?;
        }
        return Ok(vec![0]);
    };
    let Some(Sizes(wanted)) = wanted else {
        let (first, last, factor) = if is_quick { QUICK_SIZES } else { SIZES };
        let next = |&size: &u64| Some(size * factor);
        let usual = std::iter::successors(Some(first.max(longest)), next);
        return Ok(usual.take_while(|&size| size <= last).collect());
    };
    for (size, dtype) in sizes {
        if let Some(odd) = wanted.iter().find(|&&bytes| bytes % size != 0) {
            let nearest = (odd.saturating_add(size / 2) / size).max(1) * size;
            return Err(format!(
                "{odd} bytes are no whole number of elements of type {dtype}, which have {size}; the nearest length is {nearest}"
            ));
        }
    }
    Ok(wanted.clone())
}

/// What has to be measured to have each case in each way, the baseline first: later rows are compared with it.
pub fn series(cases: &[Case], ways: &[Way], baseline: Option<Way>) -> Vec<Series> {
    let mut all = Vec::new();
    for case in cases {
        let name = case.operation.name();
        let host = Way::named("host").filter(|_| !case.operation.has_elements());
        let offered = baseline.into_iter().chain(ways.iter().copied()).chain(host);
        // Without elements there is only the host.
        let ways = offered.filter(|way| case.operation.has_elements() || way.place == "host");
        for way in ways {
            let series = way.series(&name, &case.dtype, case.op.as_deref());
            if !all.contains(&series) {
                all.push(series);
            }
        }
    }
    all
}

/// The jobs that measure the series, the baseline in the first one.
pub fn jobs(series: Vec<Series>) -> Vec<JobPlan> {
    let mut jobs: Vec<JobPlan> = Vec::new();
    for series in series {
        match jobs.iter_mut().find(|job| job.path == series.path) {
            Some(job) => job.series.push(series),
            None => jobs.push(JobPlan {
                path: series.path.clone(),
                series: vec![series],
            }),
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::super::sizes::sizes;
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn way(name: &str) -> Way {
        Way::named(name).unwrap()
    }

    #[test]
    fn elements_are_the_usual_ones_where_nobody_says_which() {
        let operations = [Operation::Latency, Operation::Allreduce, Operation::Barrier];
        let all = cases(&operations, &[], &[]).unwrap();
        let shown: Vec<_> = all
            .iter()
            .map(|case| (case.dtype.as_str(), case.op.as_deref()))
            .collect();
        assert_eq!(shown, [("u8", None), ("f32", Some("sum")), ("u8", None)]);
    }

    #[test]
    fn each_type_is_measured_with_each_operation_that_takes_it() {
        let of = |dtypes: &[&str], ops: &[&str]| {
            cases(
                &[Operation::Allreduce, Operation::Barrier],
                &words(dtypes),
                &words(ops),
            )
            .map(|cases| cases.len())
        };
        assert_eq!(of(&["f32", "i32"], &["sum", "max"]), Ok(5));
        assert_eq!(of(&["f32", "f32"], &["sum"]), Ok(2));
        let refused = of(&["f32", "i32"], &["avg"]).unwrap_err();
        assert!(
            refused.starts_with("`avg` is not defined on elements of type i32; --op can be sum, prod, "),
            "{refused}"
        );
        let refused = of(&["f64loc"], &[]).unwrap_err();
        assert!(refused.ends_with("--op can be min_loc, max_loc"), "{refused}");
        let refused = cases(&[Operation::Latency], &[], &words(&["sum"])).unwrap_err();
        assert_eq!(refused, "--op is for reductions, and `latency` is none");
        let refused = cases(&[Operation::Barrier], &words(&["f32"]), &[]).unwrap_err();
        assert_eq!(refused, "--dtype is for elements, and `barrier` has none");
    }

    #[test]
    fn lengths_are_whole_numbers_of_elements() {
        let of = |dtype: &str, text: Option<&str>| {
            let cases = cases(&[Operation::Bcast], &words(&[dtype]), &[]).unwrap();
            lengths(&cases, text.map(|text| sizes(text).unwrap()).as_ref(), false)
        };
        assert_eq!(of("u8", Some("0,7")), Ok(vec![0, 7]));
        assert_eq!(of("u8", None).unwrap().first(), Some(&8));
        assert_eq!(of("c64", None).unwrap().first(), Some(&16));
        for (wanted, nearest) in [("1", "4"), ("5", "4"), ("6", "8"), ("1023", "1024")] {
            let refused = of("f32", Some(wanted)).unwrap_err();
            assert!(
                refused.ends_with(&format!("the nearest length is {nearest}")),
                "{refused}"
            );
        }
        let barrier = cases(&[Operation::Barrier], &[], &[]).unwrap();
        assert_eq!(lengths(&barrier, None, false), Ok(vec![0]));
        let refused = lengths(&barrier, Some(&sizes("8").unwrap()), false);
        assert_eq!(
            refused,
            Err("--sizes is for elements, and `barrier` has none".to_owned())
        );
    }

    #[test]
    fn each_path_has_a_job_and_the_baseline_is_in_the_first() {
        let cases = cases(&[Operation::Bcast, Operation::Latency], &[], &[]).unwrap();
        let planned = |ways: &[&str], baseline: Option<&str>| -> Vec<(Option<String>, usize)> {
            let ways: Vec<Way> = ways.iter().map(|name| way(name)).collect();
            let jobs = jobs(series(&cases, &ways, baseline.map(way)));
            jobs.into_iter().map(|job| (job.path, job.series.len())).collect()
        };
        let path = |path: &str| Some(path.to_owned());
        assert_eq!(planned(&["host", "device"], Some("mpi")), [(None, 6)]);
        assert_eq!(planned(&["host"], Some("host")), [(None, 2)]);
        assert_eq!(
            planned(&["host", "staged"], Some("staged")),
            [(path("staged"), 2), (None, 2)]
        );
        assert_eq!(
            planned(&["staged", "same-gpu-ipc"], None),
            [(path("staged"), 2), (path("same-gpu-ipc"), 2)]
        );
    }

    #[test]
    fn what_has_no_elements_is_measured_on_hosts() {
        let cases = cases(&[Operation::Barrier], &[], &[]).unwrap();
        let names = |ways: &[&str], baseline: Option<&str>| -> Vec<String> {
            let ways: Vec<Way> = ways.iter().map(|name| way(name)).collect();
            series(&cases, &ways, baseline.map(way))
                .into_iter()
                .map(|series| series.by)
                .collect()
        };
        assert_eq!(names(&["device", "staged"], Some("mpi")), ["mpi", "warpcomm"]);
        assert_eq!(names(&["host", "pinned"], Some("nccl")), ["warpcomm"]);
    }
}

//! The algebra of groups against a naive model: lists, searched from the front.

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::{Comparison, Group};
use crate::error::ErrorKind;
use crate::message::PROC_NULL;

const WORLD: usize = 9;

fn group(members: &[usize]) -> Group {
    Group::new(members.into(), 4)
}

/// Some ranks of the world, in any order.
fn some_ranks() -> impl Strategy<Value = Vec<usize>> {
    subsequence((0..WORLD).collect::<Vec<_>>(), 0..=WORLD).prop_shuffle()
}

/// Numbers of members, perhaps wrong ones, perhaps twice.
fn numbers() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..WORLD + 1, 0..5)
}

fn is_bad(numbers: &[usize], size: usize) -> bool {
    let twice = |at: usize| numbers[..at].contains(&numbers[at]);
    (0..numbers.len()).any(|at| numbers[at] >= size || twice(at))
}

fn chosen(members: &[usize], is_kept: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut kept = Vec::new();
    for (number, &member) in members.iter().enumerate() {
        if is_kept(number) {
            kept.push(member);
        }
    }
    kept
}

/// The numbers in a range, one step at a time; none if it never ends or leaves the group.
fn walked((first, last, stride): (usize, usize, isize), size: usize) -> Option<Vec<usize>> {
    let (first, last) = (first as isize, last as isize);
    let mut at = first;
    let mut numbers = Vec::new();
    if stride == 0 || (stride > 0 && first > last) || (stride < 0 && first < last) {
        return None;
    }
    while (stride > 0 && at <= last) || (stride < 0 && at >= last) {
        if at < 0 || at >= size as isize {
            return None;
        }
        numbers.push(at as usize);
        at += stride;
    }
    Some(numbers)
}

proptest! {
    #[test]
    fn sets_are_combined(left in some_ranks(), right in some_ranks()) {
        let (a, b) = (group(&left), group(&right));
        let common = chosen(&left, |number| right.contains(&left[number]));
        let own = chosen(&left, |number| !right.contains(&left[number]));
        let others = chosen(&right, |number| !left.contains(&right[number]));
        prop_assert_eq!(a.intersection(&b), group(&common));
        prop_assert_eq!(a.difference(&b), group(&own));
        prop_assert_eq!(a.union(&b), group(&[left.clone(), others.clone()].concat()));
        let expected = match (left == right, own.is_empty() && others.is_empty()) {
            (true, _) => Comparison::Identical,
            (false, true) => Comparison::Similar,
            (false, false) => Comparison::Unequal,
        };
        prop_assert_eq!(a.compare(&b), expected);
        prop_assert_eq!(a.rank(), left.iter().position(|rank| *rank == 4));
        prop_assert_eq!((a.size(), a.is_empty()), (left.len(), left.is_empty()));
    }

    #[test]
    fn members_are_chosen(members in some_ranks(), numbers in numbers()) {
        let whole = group(&members);
        let (included, excluded) = (whole.include(&numbers), whole.exclude(&numbers));
        if is_bad(&numbers, members.len()) {
            prop_assert_eq!(included.unwrap_err().kind(), ErrorKind::InvalidArgument);
            prop_assert_eq!(excluded.unwrap_err().kind(), ErrorKind::InvalidArgument);
        } else {
            let picked: Vec<usize> = numbers.iter().map(|&number| members[number]).collect();
            prop_assert_eq!(included?, group(&picked));
            prop_assert_eq!(excluded?, group(&chosen(&members, |number| !numbers.contains(&number))));
        }
    }

    #[test]
    fn ranges_are_walked(
        members in some_ranks(),
        ranges in prop::collection::vec((0..WORLD + 1, 0..WORLD + 4, -4isize..5), 0..3),
    ) {
        let whole = group(&members);
        let (included, excluded) = (whole.include_ranges(&ranges), whole.exclude_ranges(&ranges));
        let walked: Option<Vec<Vec<usize>>> =
            ranges.iter().map(|&range| walked(range, members.len())).collect();
        let numbers = walked.map(|walked| walked.concat()).filter(|numbers| !is_bad(numbers, members.len()));
        match numbers {
            None => {
                prop_assert_eq!(included.unwrap_err().kind(), ErrorKind::InvalidArgument);
                prop_assert_eq!(excluded.unwrap_err().kind(), ErrorKind::InvalidArgument);
            }
            Some(numbers) => {
                prop_assert_eq!(included?, whole.include(&numbers)?);
                prop_assert_eq!(excluded?, whole.exclude(&numbers)?);
            }
        }
    }

    #[test]
    fn ranks_are_translated(from in some_ranks(), to in some_ranks(), mut numbers in numbers()) {
        let (a, b) = (group(&from), group(&to));
        let translated = a.translate_ranks(&numbers, &b);
        if numbers.iter().any(|&number| number >= from.len()) {
            prop_assert_eq!(translated.unwrap_err().kind(), ErrorKind::InvalidArgument);
        } else {
            let place = |number: usize| to.iter().position(|rank| *rank == from[number]);
            let mut expected: Vec<_> = numbers.iter().map(|&number| place(number)).collect();
            prop_assert_eq!(translated?, expected.clone());
            numbers.push(PROC_NULL);
            expected.push(Some(PROC_NULL));
            prop_assert_eq!(a.translate_ranks(&numbers, &b)?, expected);
        }
    }
}

#[test]
fn nobody_is_in_the_empty_group() {
    let empty = Group::empty();
    assert_eq!((empty.size(), empty.is_empty(), empty.rank()), (0, true, None));
    assert_eq!(empty.include(&[]).unwrap(), empty);
    assert_eq!(
        empty.include(&[0]).unwrap_err().to_string(),
        "Group::include: rank 0: the group is empty"
    );
    // What is joined with it still knows who this process is.
    assert_eq!(empty.union(&group(&[7, 4])).rank(), Some(1));
}

#[test]
fn a_range_that_is_far_too_long_ends_at_once() {
    let error = group(&[0, 1, 2])
        .include_ranges(&[(0, usize::MAX, 1)])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Group::include_ranges: rank 3: the group has 3 ranks, 0 to 2"
    );
    assert!(group(&[0, 1, 2]).include_ranges(&[(1, 1, isize::MIN)]).is_ok());
}

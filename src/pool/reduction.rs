//! A reduction in the canonical order, of values that come in any.

use std::collections::BTreeMap;

/// Combines values 0 to n - 1 along a binary tree over their numbers, [0, n) being split at the largest power of two below
/// n, as soon as their neighbours are there: so what is held is what has no neighbour yet, and the result is the same
/// whatever the order in which they come.
pub(super) struct Reduction<R> {
    /// Whole subtrees by their first number, with how many values they have; a power of two.
    parts: BTreeMap<u64, (u64, R)>,
}

impl<R> Reduction<R> {
    pub(super) fn new() -> Reduction<R> {
        Reduction {
            parts: BTreeMap::new(),
        }
    }

    /// Adds value number `index`, of which there is one.
    pub(super) fn add(&mut self, index: u64, value: R, combine: &mut impl FnMut(R, R) -> R) {
        let (mut first, mut count, mut value) = (index, 1, value);
        loop {
            let is_left = first & count == 0;
            let neighbour = if is_left { first + count } else { first - count };
            if self.parts.get(&neighbour).is_none_or(|part| part.0 != count) {
                break;
            }
            let Some((_, other)) = self.parts.remove(&neighbour) else {
                break;
            };
            value = match is_left {
                true => combine(value, other),
                false => combine(other, value),
            };
            (first, count) = (first.min(neighbour), 2 * count);
        }
        self.parts.insert(first, (count, value));
    }

    /// The result, when all values have been added; none without any.
    pub(super) fn finish(mut self, combine: &mut impl FnMut(R, R) -> R) -> Option<R> {
        let (_, (_, mut right)) = self.parts.pop_last()?;
        while let Some((_, (_, left))) = self.parts.pop_last() {
            right = combine(left, right);
        }
        Some(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, by the definition.
    fn tree(first: u64, end: u64) -> String {
        match end - first {
            1 => first.to_string(),
            count => {
                let middle = first + count.next_power_of_two() / 2;
                format!("({}+{})", tree(first, middle), tree(middle, end))
            }
        }
    }

    proptest! {
        #[test]
        fn any_order_gives_the_tree(
            order in (1u64..70).prop_flat_map(|count| Just((0..count).collect::<Vec<_>>()).prop_shuffle()),
        ) {
            let mut combine = |left: String, right: String| format!("({left}+{right})");
            let mut reduction = Reduction::new();
            for &index in &order {
                reduction.add(index, index.to_string(), &mut combine);
            }
            prop_assert_eq!(reduction.finish(&mut combine), Some(tree(0, order.len() as u64)));
        }
    }

    #[test]
    fn little_is_held_of_what_comes_in_order() {
        let mut reduction = Reduction::new();
        for index in 0..100_000 {
            reduction.add(index, index, &mut |left, right| left + right);
            assert!(reduction.parts.len() <= 17);
        }
        assert_eq!(
            reduction.finish(&mut |left, right| left + right),
            Some(4_999_950_000)
        );
        assert_eq!(Reduction::<u8>::new().finish(&mut |left, _| left), None);
    }
}

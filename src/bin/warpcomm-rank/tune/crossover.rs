//! From which lengths on which algorithm is the fastest.

/// The steps of the fastest: `times` has a row for each of `sizes`, of the times of each of `candidates`.
///
/// Between two sizes of which one algorithm is the fastest at the one and another at the other, the one takes over where
/// their times would be equal, if the logarithm of their ratio changed evenly with the logarithm of the size.
pub fn steps<T: Copy>(candidates: &[T], sizes: &[usize], times: &[Vec<f64>]) -> Vec<(usize, T)> {
    let fastest: Vec<usize> = times.iter().map(|row| fastest(row)).collect();
    let first = fastest.first().map_or(0, |&first| first);
    let mut steps = vec![(0, candidates[first])];
    for (place, pair) in fastest.windows(2).enumerate() {
        let [before, after] = *pair else { continue };
        if before != after {
            let ratio = |row: &[f64]| (row[before] / row[after]).ln();
            let from = crossing(
                (sizes[place], ratio(&times[place])),
                (sizes[place + 1], ratio(&times[place + 1])),
            );
            steps.push((from, candidates[after]));
        }
    }
    steps
}

/// The first of those that take the shortest time.
fn fastest(times: &[f64]) -> usize {
    let shortest = (0..times.len()).min_by(|&left, &right| times[left].total_cmp(&times[right]));
    shortest.unwrap_or(0)
}

/// Where a line through two points is 0, of which the first is below or on 0, and the second above or on it; the sizes are
/// logarithmic. It is above the first size and at most the second.
fn crossing((low, below): (usize, f64), (high, above): (usize, f64)) -> usize {
    let part = match above - below {
        rise if rise > 0.0 => (-below / rise).clamp(0.0, 1.0),
        _ => 0.5,
    };
    let (start, end) = ((low.max(1) as f64).ln(), (high as f64).ln());
    let size = (start + part * (end - start)).exp().round() as usize;
    size.clamp(low + 1, high)
}

#[cfg(test)]
mod tests {
    use warpcomm::Algorithm;

    use super::*;

    const BOTH: [Algorithm; 2] = [Algorithm::Direct, Algorithm::Blocks];
    const SIZES: [usize; 3] = [1 << 12, 1 << 16, 1 << 20];

    fn of(times: [[f64; 2]; 3]) -> Vec<(usize, Algorithm)> {
        steps(&BOTH, &SIZES, &times.map(|row| row.to_vec()))
    }

    #[test]
    fn one_that_is_always_the_fastest_is_all() {
        let faster = [1.0, 2.0];
        assert_eq!(of([faster; 3]), [(0, Algorithm::Direct)]);
        assert_eq!(of([[2.0, 1.0]; 3]), [(0, Algorithm::Blocks)]);
        assert_eq!(of([[1.0, 1.0]; 3]), [(0, Algorithm::Direct)]);
    }

    #[test]
    fn the_crossover_is_where_the_times_meet() {
        // As much slower at one as it is faster at the next: half way between 2^12 and 2^16.
        let half_way = of([[1.0, 2.0], [2.0, 1.0], [2.0, 1.0]]);
        assert_eq!(half_way, [(0, Algorithm::Direct), (1 << 14, Algorithm::Blocks)]);
        // The ratio changes from a half to 8: after a quarter of the way between 2^16 and 2^20.
        let early = of([[1.0, 2.0], [1.0, 2.0], [8.0, 1.0]]);
        assert_eq!(early, [(0, Algorithm::Direct), (1 << 17, Algorithm::Blocks)]);
    }

    #[test]
    fn the_fastest_may_change_back() {
        let back = of([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]]);
        let expected = [
            (0, Algorithm::Direct),
            (1 << 14, Algorithm::Blocks),
            (1 << 18, Algorithm::Direct),
        ];
        assert_eq!(back, expected);
    }

    #[test]
    fn steps_go_up_whatever_the_times_are() {
        for times in [
            [[1.0, 1.0], [1.0, 0.5], [0.5, 0.5]],
            [[f64::INFINITY, 1.0], [1.0, f64::INFINITY], [f64::NAN, 1.0]],
            [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
        ] {
            let steps = of(times);
            assert!(steps.windows(2).all(|pair| pair[0].0 < pair[1].0), "{steps:?}");
        }
    }
}

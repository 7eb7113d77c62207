//! What all measurements of a launch have in common: where its memory lies in the caches, what else ran meanwhile.
//!
//! It is found without a look at which file a launch belongs to, so that launches can be dealt anew as they are.

/// How often the direction is refined; it settles by far sooner, unless it does not matter.
const STEPS: usize = 100;

/// The direction, of length 1, in which the launches differ most over all rows; `None` where they do not differ.
///
/// `rows` have a value for each launch around 0, each row on a scale on which its launches differ as those of any other. The
/// direction is the first principal component.
pub fn direction(rows: &[Vec<f64>], launches: usize) -> Option<Vec<f64>> {
    let mut products = vec![vec![0.0; launches]; launches];
    for row in rows {
        for (products, left) in products.iter_mut().zip(row) {
            for (product, right) in products.iter_mut().zip(row) {
                *product += left * right;
            }
        }
    }
    // The launch that differs most is not perpendicular to it.
    let most = (0..launches).max_by(|&a, &b| products[a][a].total_cmp(&products[b][b]))?;
    let mut direction = unit(products[most].clone())?;
    for _ in 0..STEPS {
        direction = unit(products.iter().map(|row| dot(row, &direction)).collect())?;
    }
    Some(direction)
}

/// The sum of products.
pub fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

/// With length 1; `None` if it has none.
fn unit(vector: Vec<f64>) -> Option<Vec<f64>> {
    let length = dot(&vector, &vector).sqrt();
    (length > 1e-9).then(|| vector.iter().map(|value| value / length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_direction_is_what_rows_share() {
        let shared = [0.5, -0.5, 0.5, -0.5];
        let own = [[0.01, 0.0, -0.01, 0.0], [0.0, 0.02, 0.0, -0.02], [0.0; 4]];
        let row = |own: &[f64; 4]| shared.iter().zip(own).map(|(shared, own)| shared + own).collect();
        let rows: Vec<Vec<f64>> = own.iter().map(row).collect();
        let direction = direction(&rows, 4).unwrap();
        assert!(dot(&direction, &shared).abs() > 0.999, "{direction:?}");
    }

    #[test]
    fn launches_that_do_not_differ_have_no_direction() {
        assert_eq!(direction(&[vec![0.0; 3]], 3), None);
        assert_eq!(direction(&[], 3), None);
        assert_eq!(direction(&[], 0), None);
    }
}

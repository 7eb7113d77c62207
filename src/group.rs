//! Sets of ranks, and their algebra.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::message::PROC_NULL;

/// An ordered set of ranks of the world, from which communicators are made.
///
/// The members are numbered from 0 to [`size`](Self::size) - 1, and operations name them by these numbers. All of them
/// are local: no rank waits for another. Cheap to clone. Two groups are equal if they have the same members in the
/// same order.
///
/// [`Communicator::group`](crate::Communicator::group) gives the group of a communicator;
/// [`Communicator::create`](crate::Communicator::create) and
/// [`Communicator::create_group`](crate::Communicator::create_group) make a communicator of a group.
///
/// MPI standard, section 7.3.
///
/// ```
/// use warpcomm::{Communicator, Comparison};
///
/// Communicator::threads(6, |comm| {
///     let all = comm.group();
///     let even = all.include_ranges(&[(0, 5, 2)])?; // 0, 2, 4
///     let odd = all.difference(&even);
///     assert_eq!((even.size(), even.rank()), (3, (comm.rank() % 2 == 0).then_some(comm.rank() / 2)));
///     assert_eq!(odd.translate_ranks(&[0, 2], &all)?, [Some(1), Some(5)]);
///     assert_eq!(even.union(&odd).compare(&all), Comparison::Similar); // in another order
///     assert!(even.intersection(&odd).is_empty());
///     Ok(())
/// })?
/// .into_iter()
/// .collect::<Result<(), warpcomm::Error>>()
/// # ?; Ok::<(), warpcomm::Error>(())
/// ```
#[derive(Clone)]
pub struct Group {
    /// Their ranks in the world.
    members: Arc<[usize]>,
    /// The rank of this process in the world, if that is known.
    own: Option<usize>,
}

/// How alike two groups or two communicators are.
///
/// MPI standard, sections 7.3.1 (`MPI_Group_compare`) and 7.4.1 (`MPI_Comm_compare`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// The same communicator; of groups, the same members in the same order.
    Identical,
    /// Different communicators of the same ranks in the same order. Groups never are.
    Congruent,
    /// The same ranks in another order.
    Similar,
    /// Not the same ranks.
    Unequal,
}

impl Group {
    /// The group with these members, as rank `own` of the world sees it.
    pub(crate) fn new(members: Arc<[usize]>, own: usize) -> Group {
        Group {
            members,
            own: Some(own),
        }
    }

    /// The group without members.
    ///
    /// MPI standard, section 7.2.1 (`MPI_GROUP_EMPTY`).
    pub fn empty() -> Group {
        Group {
            members: Arc::default(),
            own: None,
        }
    }

    /// The ranks of the members in the world, in the order of the group.
    pub(crate) fn members(&self) -> &Arc<[usize]> {
        &self.members
    }

    /// The number of members.
    ///
    /// MPI standard, section 7.3.1 (`MPI_Group_size`).
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// This rank's number in the group, if it is a member.
    ///
    /// MPI standard, section 7.3.1 (`MPI_Group_rank`).
    pub fn rank(&self) -> Option<usize> {
        self.members.iter().position(|member| Some(*member) == self.own)
    }

    /// The group of the members with these numbers, in this order.
    ///
    /// MPI standard, section 7.3.2 (`MPI_Group_incl`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a number out of range or given twice.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let ranks = Communicator::threads(4, |comm| Ok(comm.group().include(&[3, 1])?.rank()))?;
    /// let ranks: Vec<_> = ranks.into_iter().collect::<Result<_, warpcomm::Error>>()?;
    /// assert_eq!(ranks, [None, Some(1), None, Some(0)]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn include(&self, ranks: &[usize]) -> Result<Group> {
        self.check_ranks(ranks)
            .map_err(|error| error.of("Group::include"))?;
        Ok(self.with(ranks.iter().map(|&rank| self.members[rank])))
    }

    /// The group of the members but for those with these numbers, in the order of this group.
    ///
    /// MPI standard, section 7.3.2 (`MPI_Group_excl`).
    ///
    /// # Errors
    /// As for [`include`](Self::include).
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// Communicator::threads(4, |comm| {
    ///     let all = comm.group();
    ///     let others = all.exclude(&[0, 2])?;
    ///     assert_eq!(others, all.include(&[1, 3])?);
    ///     assert!(others.exclude(&[2]).is_err()); // it has the numbers 0 and 1
    ///     Ok(())
    /// })?
    /// .into_iter()
    /// .collect::<Result<(), warpcomm::Error>>()?;
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn exclude(&self, ranks: &[usize]) -> Result<Group> {
        self.check_ranks(ranks)
            .map_err(|error| error.of("Group::exclude"))?;
        Ok(self.without(ranks))
    }

    /// As [`include`](Self::include), with ranges `(first, last, stride)` of numbers: `first`, `first + stride` and so
    /// on, not beyond `last`. A negative stride counts down.
    ///
    /// MPI standard, section 7.3.2 (`MPI_Group_range_incl`).
    ///
    /// # Errors
    /// As for [`include`](Self::include); [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a stride of 0 or
    /// one that leads away from `last`.
    pub fn include_ranges(&self, ranges: &[(usize, usize, isize)]) -> Result<Group> {
        let ranks = self
            .ranks_of(ranges)
            .map_err(|error| error.of("Group::include_ranges"))?;
        Ok(self.with(ranks.iter().map(|&rank| self.members[rank])))
    }

    /// As [`exclude`](Self::exclude), with ranges as those of [`include_ranges`](Self::include_ranges).
    ///
    /// MPI standard, section 7.3.2 (`MPI_Group_range_excl`).
    ///
    /// # Errors
    /// As for [`include_ranges`](Self::include_ranges).
    pub fn exclude_ranges(&self, ranges: &[(usize, usize, isize)]) -> Result<Group> {
        let ranks = self
            .ranks_of(ranges)
            .map_err(|error| error.of("Group::exclude_ranges"))?;
        Ok(self.without(&ranks))
    }

    /// The members of this group, and behind them those that only the other one has, in its order.
    ///
    /// MPI standard, section 7.3.2 (`MPI_Group_union`).
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// Communicator::threads(4, |comm| {
    ///     let all = comm.group();
    ///     let (some, others) = (all.include(&[2, 0])?, all.include(&[0, 3])?);
    ///     assert_eq!(some.union(&others), all.include(&[2, 0, 3])?);
    ///     Ok(())
    /// })?
    /// .into_iter()
    /// .collect::<Result<(), warpcomm::Error>>()?;
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn union(&self, other: &Group) -> Group {
        let own = self.set();
        let added = other.members.iter().filter(|member| !own.contains(member));
        Group {
            members: self.members.iter().chain(added).copied().collect(),
            own: self.own.or(other.own),
        }
    }

    /// The members that the other group has too, in the order of this one.
    ///
    /// MPI standard, section 7.3.2 (`MPI_Group_intersection`).
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// Communicator::threads(4, |comm| {
    ///     let all = comm.group();
    ///     let (some, others) = (all.include(&[2, 0, 1])?, all.include(&[0, 3, 2])?);
    ///     assert_eq!(some.intersection(&others), all.include(&[2, 0])?);
    ///     Ok(())
    /// })?
    /// .into_iter()
    /// .collect::<Result<(), warpcomm::Error>>()?;
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn intersection(&self, other: &Group) -> Group {
        let others = other.set();
        self.with(
            self.members
                .iter()
                .copied()
                .filter(|member| others.contains(member)),
        )
    }

    /// The members that the other group has not, in the order of this one.
    ///
    /// MPI standard, section 7.3.2 (`MPI_Group_difference`).
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// Communicator::threads(4, |comm| {
    ///     let all = comm.group();
    ///     let (some, others) = (all.include(&[2, 0, 1])?, all.include(&[0, 3])?);
    ///     assert_eq!(some.difference(&others), all.include(&[2, 1])?);
    ///     Ok(())
    /// })?
    /// .into_iter()
    /// .collect::<Result<(), warpcomm::Error>>()?;
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn difference(&self, other: &Group) -> Group {
        let others = other.set();
        self.with(
            self.members
                .iter()
                .copied()
                .filter(|member| !others.contains(member)),
        )
    }

    /// The numbers that members of this group have in another one, `None` where it does not have them.
    /// [`PROC_NULL`] is nobody in every group.
    ///
    /// MPI standard, section 7.3.1 (`MPI_Group_translate_ranks`; `None` is `MPI_UNDEFINED`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a number out of range.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// Communicator::threads(4, |comm| {
    ///     let all = comm.group();
    ///     let some = all.include(&[3, 1])?;
    ///     assert_eq!(some.translate_ranks(&[0, 1], &all)?, [Some(3), Some(1)]);
    ///     assert_eq!(all.translate_ranks(&[0, 3], &some)?, [None, Some(0)]);
    ///     Ok(())
    /// })?
    /// .into_iter()
    /// .collect::<Result<(), warpcomm::Error>>()?;
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn translate_ranks(&self, ranks: &[usize], other: &Group) -> Result<Vec<Option<usize>>> {
        let places: HashMap<usize, usize> = other
            .members
            .iter()
            .enumerate()
            .map(|(at, &member)| (member, at))
            .collect();
        let translate = |&rank: &usize| match rank {
            PROC_NULL => Ok(Some(PROC_NULL)),
            rank => {
                self.check_rank(rank)
                    .map_err(|error| error.of("Group::translate_ranks"))?;
                Ok(places.get(&self.members[rank]).copied())
            }
        };
        ranks.iter().map(translate).collect()
    }

    /// Whether two groups have the same members, and in the same order.
    ///
    /// MPI standard, section 7.3.1 (`MPI_Group_compare`).
    pub fn compare(&self, other: &Group) -> Comparison {
        if self.members == other.members {
            Comparison::Identical
        } else if self.size() == other.size() && self.set() == other.set() {
            Comparison::Similar
        } else {
            Comparison::Unequal
        }
    }

    fn set(&self) -> HashSet<usize> {
        self.members.iter().copied().collect()
    }

    fn with(&self, members: impl Iterator<Item = usize>) -> Group {
        Group {
            members: members.collect(),
            own: self.own,
        }
    }

    fn without(&self, ranks: &[usize]) -> Group {
        let excluded: HashSet<usize> = ranks.iter().copied().collect();
        let kept = (0..self.size()).filter(|rank| !excluded.contains(rank));
        self.with(kept.map(|rank| self.members[rank]))
    }

    fn check_rank(&self, rank: usize) -> Result<()> {
        match self.size() {
            0 => Err(Error::invalid(format!("rank {rank}: the group is empty"))),
            size if rank >= size => Err(Error::invalid(format!(
                "rank {rank}: the group has {size} ranks, 0 to {}",
                size - 1
            ))),
            _ => Ok(()),
        }
    }

    fn check_ranks(&self, ranks: &[usize]) -> Result<()> {
        let mut seen = HashSet::new();
        for &rank in ranks {
            self.check_rank(rank)?;
            if !seen.insert(rank) {
                return Err(Error::invalid(format!("rank {rank} is given twice")));
            }
        }
        Ok(())
    }

    /// The numbers in ranges, checked.
    fn ranks_of(&self, ranges: &[(usize, usize, isize)]) -> Result<Vec<usize>> {
        let mut ranks = Vec::new();
        for &(first, last, stride) in ranges {
            self.check_rank(first)?;
            let distance = last.abs_diff(first);
            let leads_there = match stride {
                0 => false,
                stride => distance == 0 || (stride > 0) == (last > first),
            };
            if !leads_there {
                return Err(Error::invalid(format!(
                    "the range from {first} to {last} with stride {stride} has no end"
                )));
            }
            for step in 0..=distance / stride.unsigned_abs() {
                let way = step * stride.unsigned_abs();
                let rank = if stride > 0 { first + way } else { first - way };
                // Checked in between, so that a range that is far too long ends early.
                self.check_rank(rank)?;
                ranks.push(rank);
            }
        }
        self.check_ranks(&ranks)?;
        Ok(ranks)
    }
}

impl PartialEq for Group {
    fn eq(&self, other: &Group) -> bool {
        self.members == other.members
    }
}

impl Eq for Group {}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group(ranks {:?} of the world)", self.members)
    }
}

#[cfg(test)]
mod properties;

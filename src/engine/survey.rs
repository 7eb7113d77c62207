//! Which rank is behind: rank 0 asks all others where they are.
//!
//! Questions and answers travel in a context of their own, outside of everything that may hang. Nobody keeps a receive
//! posted for them: the thread of the reports looks for them once a second, where it may call the transport; else the
//! calls that wait do, so that a rank which is in no call cannot answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::slab::Slab;
use super::task::{Memory, task};
use super::transfer::Transfer;
use super::whereabouts::{Pending, Standing, Whereabouts};
use super::{Activity, Engine, Phase, reporter};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::message::Status;
use crate::transport::Context;

/// How long rank 0 waits for answers: a second until they look, and what the threads that poll there may take.
const PATIENCE: Duration = Duration::from_secs(4);

const QUESTION: i32 = 0;
const ANSWER: i32 = 1;

/// The questions and answers of a rank.
#[derive(Default)]
pub(super) struct Survey {
    /// Where they travel, once the world is known.
    context: OnceLock<Context>,
    /// Whether rank 0 is to ask.
    is_wanted: AtomicBool,
    /// Questions that rank 0 has asked.
    questions: AtomicU64,
    round: Mutex<Option<Round>>,
}

/// A question that is not answered by all yet.
struct Round {
    question: u64,
    asked: Instant,
    heard: BTreeMap<usize, Whereabouts>,
}

impl Round {
    fn new(question: u64) -> Round {
        Round {
            question,
            asked: Instant::now(),
            heard: BTreeMap::new(),
        }
    }

    /// Takes an answer, unless it is one to an earlier question: that rank was there then.
    fn hear(&mut self, rank: usize, whereabouts: Whereabouts) {
        if whereabouts.question == self.question {
            self.heard.insert(rank, whereabouts);
        }
    }
}

impl Survey {
    pub(super) fn listen_on(&self, context: Context) {
        // A process has one world.
        let _ = self.context.set(context);
    }

    /// Sees to it that the other ranks are asked, if this is the rank that asks.
    pub(super) fn want(&self) {
        let asks = |context: &Context| context.rank == 0 && context.group.len() > 1;
        if self.context.get().is_some_and(asks) {
            self.is_wanted.store(true, Ordering::Relaxed);
        }
    }

    /// Whether somebody is to be asked, or was and has not answered.
    pub(super) fn is_going_on(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed) || self.round.try_lock().is_ok_and(|round| round.is_some())
    }

    /// Waits until nobody attends, and takes what was sent in vain.
    pub(super) fn end(&self, engine: &Engine) {
        let _round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = self.context.get() {
            while let Ok(Some(_)) = next(engine, context) {}
        }
    }
}

/// Asks if that is wanted, answers, and reports once all have answered or had the time to. `pending` says what is
/// pending here.
pub(super) fn attend(engine: &Arc<Engine>, pending: impl Fn() -> Pending) {
    let survey = &engine.survey;
    let Some(context) = survey.context.get() else {
        return;
    };
    let mut round = match survey.round.try_lock() {
        Ok(round) => round,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    if engine.is_stopped() {
        return;
    }
    if survey.is_wanted.swap(false, Ordering::Relaxed) && round.is_none() {
        let question = survey.questions.fetch_add(1, Ordering::Relaxed);
        for other in (0..context.group.len()).filter(|&other| other != context.rank) {
            let asked = Whereabouts {
                question,
                ..Whereabouts::default()
            };
            send(engine, other, QUESTION, &asked);
        }
        *round = Some(Round::new(question));
    }
    // What cannot be received does not make the hang worse.
    while let Ok(Some((source, tag, slab, bytes))) = next(engine, context) {
        let Some(said) = Whereabouts::read(&slab.bytes()[..bytes]) else {
            continue;
        };
        match (tag, &mut *round) {
            (QUESTION, _) => {
                let answer = Whereabouts {
                    question: said.question,
                    ..Whereabouts::of(engine, pending())
                };
                send(engine, source, ANSWER, &answer);
            }
            (_, Some(round)) => round.hear(source, said),
            _ => {}
        }
    }
    let others = context.group.len() - 1;
    let is_over = |round: &mut Round| round.heard.len() >= others || round.asked.elapsed() > PATIENCE;
    if let Some(mut round) = round.take_if(is_over) {
        round
            .heard
            .insert(context.rank, Whereabouts::of(engine, pending()));
        reporter::print(&conclusion(
            &round.heard,
            context.group.len(),
            engine.config().check,
        ));
    }
}

/// Sends in the background, without being listed as pending.
fn send(engine: &Arc<Engine>, dest: usize, tag: i32, whereabouts: &Whereabouts) {
    let mut slab = Slab::take();
    let bytes = whereabouts.write(slab.bytes_mut());
    let activity = Activity::new("report", engine.rank);
    activity.waits_for(Phase::Over);
    let own = Arc::clone(engine);
    let sending = task(Arc::new(activity), Memory::Nothing, async move {
        if let Some(context) = own.survey.context.get() {
            Transfer::send_slab(own.transport(), context, dest, tag, slab, bytes)?.await?;
        }
        Ok(Status::null(Dtype::U8))
    });
    engine.spawn(&sending);
}

/// The next question or answer that has arrived.
fn next(engine: &Engine, context: &Context) -> Result<Option<(usize, i32, Slab, usize)>> {
    let Some(mut transfer) = Transfer::receive_unexpected(engine.transport(), context)? else {
        return Ok(None);
    };
    loop {
        if let std::task::Poll::Ready(delivery) = transfer.poll_once() {
            let delivery = delivery?;
            return Ok(Some((
                delivery.source,
                delivery.tag,
                transfer.into_slab(),
                delivery.bytes,
            )));
        }
        std::thread::yield_now();
    }
}

/// What rank 0 makes of the answers: who is behind and in what, who does not answer, and what all are doing.
fn conclusion(heard: &BTreeMap<usize, Whereabouts>, ranks: usize, is_checked: bool) -> String {
    let mut text = format!("rank 0 has asked the {ranks} ranks where they are:\n");
    let mut add = |line: String| {
        text.push_str("  ");
        text.push_str(&line);
        text.push('\n');
    };
    behind(heard).into_iter().for_each(&mut add);
    for rank in (0..ranks).filter(|rank| !heard.contains_key(rank)) {
        add(silent(heard, rank, is_checked));
    }
    for (rank, whereabouts) in heard {
        match whereabouts.pending.lines.is_empty() {
            true => add(format!("rank {rank}: nothing is pending")),
            false => {
                for line in &whereabouts.pending.lines {
                    add(format!("rank {rank}: {line}"));
                }
            }
        }
    }
    text
}

/// A line for each rank that has not entered a collective in which others are.
fn behind(heard: &BTreeMap<usize, Whereabouts>) -> Vec<String> {
    let mut communicators: BTreeMap<u64, Vec<(usize, Standing)>> = BTreeMap::new();
    for (rank, whereabouts) in heard {
        for standing in whereabouts
            .standings
            .iter()
            .filter(|standing| standing.communicator != 0)
        {
            let members = communicators.entry(standing.communicator).or_default();
            members.push((*rank, *standing));
        }
    }
    let mut lines = Vec::new();
    for members in communicators.into_values() {
        let Some(entered) = members.iter().map(|(_, standing)| standing.entered).max() else {
            continue;
        };
        let (inside, late): (Vec<_>, Vec<_>) = members
            .iter()
            .partition(|(_, standing)| standing.entered == entered);
        let Some((_, first)) = inside.iter().find(|(_, standing)| standing.is_inside == 1) else {
            continue;
        };
        let collective = first.latest().unwrap_or_default();
        let of = match inside.len() + late.len() == first.ranks as usize {
            true => String::new(),
            false => format!(" of {} ranks", first.ranks),
        };
        for (rank, standing) in late {
            let seconds = standing.duration().as_secs();
            let last = match (standing.latest(), standing.is_inside) {
                (None, _) => "it was in no collective of this communicator".to_owned(),
                (Some(last), 1) => format!("it is in {last}, for about {seconds} s"),
                (Some(last), _) => format!("it was last in {last}, which it left about {seconds} s ago"),
            };
            let waiting: Vec<usize> = inside.iter().map(|(rank, _)| *rank).collect();
            lines.push(format!(
                "rank {rank} has not entered {collective}{of}, as {} {}; {last}",
                listed(&waiting),
                if waiting.len() == 1 { "has" } else { "have" },
            ));
        }
    }
    lines
}

/// What is known of a rank that does not answer.
fn silent(heard: &BTreeMap<usize, Whereabouts>, rank: usize, is_checked: bool) -> String {
    for (waiting, whereabouts) in heard {
        let of_rank = whereabouts
            .pending
            .missing
            .iter()
            .find(|missing| missing.rank == rank as u64);
        let Some(missing) = of_rank else { continue };
        let standing = whereabouts
            .standings
            .iter()
            .find(|standing| standing.communicator == missing.communicator);
        let name = |sequence: u64| standing?.name(sequence);
        let collective =
            name(missing.sequence).unwrap_or_else(|| format!("collective #{}", missing.sequence));
        // Nobody leaves a collective that others have not entered, if they agree first.
        let before = missing
            .sequence
            .checked_sub(1)
            .filter(|_| is_checked)
            .and_then(name);
        let last = before.map_or_else(String::new, |before| format!("; it was last in {before}"));
        return format!(
            "rank {rank} has not entered {collective}, for which rank {waiting} waits{last}; it does not answer"
        );
    }
    format!("rank {rank} does not answer: it is in no call and its MPI lets one thread call, or it is gone")
}

/// Ranks in words; the first of many.
fn listed(ranks: &[usize]) -> String {
    const MOST: usize = 8;
    let shown: Vec<String> = ranks.iter().take(MOST).map(ToString::to_string).collect();
    let word = if ranks.len() == 1 { "rank" } else { "ranks" };
    match ranks.len() > MOST {
        true => format!("{word} {} and {} more", shown.join(", "), ranks.len() - MOST),
        false => format!("{word} {}", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::whereabouts::Missing;
    use super::*;
    use crate::plan::Operation;

    fn rank(entered: u64, is_inside: bool) -> Whereabouts {
        let operations = match entered {
            18 => [Operation::Allreduce as u8, Operation::Bcast as u8],
            _ => [Operation::Bcast as u8, Operation::Barrier as u8],
        };
        let since = Instant::now() - Duration::from_secs(12);
        Whereabouts {
            question: 0,
            pending: Pending::default(),
            standings: vec![Standing::new((5, 3), entered, operations, is_inside, since)],
        }
    }

    #[test]
    fn who_has_not_entered_is_behind() {
        let heard = BTreeMap::from([(0, rank(18, true)), (1, rank(17, false)), (2, rank(18, true))]);
        assert_eq!(
            behind(&heard),
            [
                "rank 1 has not entered allreduce #17, as ranks 0, 2 have; it was last in bcast #16, which it left about 12 s ago"
            ]
        );
    }

    #[test]
    fn a_late_answer_does_not_count_for_a_later_question() {
        let answer = |question| Whereabouts {
            question,
            ..rank(18, true)
        };
        let mut round = Round::new(3);
        round.hear(1, answer(2));
        assert!(round.heard.is_empty());
        round.hear(1, answer(3));
        round.hear(1, answer(2));
        assert_eq!(round.heard[&1].question, 3);
    }

    #[test]
    fn nobody_is_behind_where_nobody_waits() {
        let heard = BTreeMap::from([(0, rank(18, false)), (1, rank(17, false))]);
        assert!(behind(&heard).is_empty());
    }

    #[test]
    fn a_silent_rank_is_known_by_those_who_wait_for_it() {
        let mut waiting = rank(18, true);
        waiting.pending.missing.push(Missing {
            communicator: 5,
            sequence: 17,
            rank: 1,
        });
        let heard = BTreeMap::from([(0, waiting)]);
        assert_eq!(
            silent(&heard, 1, true),
            "rank 1 has not entered allreduce #17, for which rank 0 waits; it was last in bcast #16; it does not answer"
        );
        assert!(!silent(&heard, 1, false).contains("bcast"));
        assert!(silent(&heard, 2, true).starts_with("rank 2 does not answer"));
    }
}
